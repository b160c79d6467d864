"""Time is shared out to the last sample, and impossible lengths are refused with possible ones."""

import random
import re

import pytest

from emovoice.errors import InputError, LengthError
from emovoice.timing import allot, asked_samples, check_pace


@pytest.mark.parametrize("seed", range(200))
def test_shares_add_up_and_are_proportional(seed: int) -> None:
    rng = random.Random(seed)
    estimates = [rng.choice([0, rng.randrange(10), rng.randrange(10**7)]) for _ in range(rng.randrange(1, 40))]
    total = rng.choice([0, 1, rng.randrange(100), rng.randrange(10**9)])
    shares = allot(total, estimates)
    assert sum(shares) == total and len(shares) == len(estimates)
    if any(estimates):
        for share, estimate in zip(shares, estimates, strict=True):
            assert abs(share * sum(estimates) - total * estimate) < sum(estimates)
    else:
        assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("seed", range(100))
def test_a_larger_estimate_never_gets_less(seed: int) -> None:
    """Equal ones may differ by the one sample that is left over."""
    rng = random.Random(seed)
    estimates = sorted(rng.sample(range(1000), 9))
    shares = allot(rng.randrange(5000), estimates)
    assert shares == sorted(shares)


@pytest.mark.parametrize(("total", "estimates"), [(1, []), (-1, [1]), (1, [2, -1])])
def test_a_caller_s_mistake_is_a_value_error(total: int, estimates: list[int]) -> None:
    with pytest.raises(ValueError):
        allot(total, estimates)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "2", True, 0.0, [2]])
def test_a_duration_must_be_a_number_above_zero(value: object) -> None:
    with pytest.raises(InputError) as caught:
        asked_samples(value, 24_000)  # type: ignore[arg-type]
    assert caught.value.field == "duration_s"


def test_a_duration_in_samples() -> None:
    assert asked_samples(None, 24_000) is None
    assert asked_samples(1.5, 24_000) == 36_000
    assert asked_samples(1e-9, 24_000) == 1


def test_the_pace_is_commented_on_or_refused() -> None:
    second = 24_000
    assert check_pace(6 * second, 6 * second, second) == ()
    assert "fast" in check_pace(3 * second, 6 * second, second)[0]
    assert "slow" in check_pace(12 * second, 6 * second, second)[0]
    for asked in (2, 19):
        with pytest.raises(LengthError):
            check_pace(asked * second, 6 * second, second)


def test_pauses_keep_their_length() -> None:
    second = 24_000
    assert check_pace(16 * second, 6 * second, second, fixed=10 * second) == ()
    assert "10.00 s of it pauses" in check_pace(13 * second, 6 * second, second, fixed=10 * second)[0]
    with pytest.raises(LengthError, match=r"16.00 s, 10.00 s of it pauses, and .* Ask for 12.40 to 28.00 s"):
        check_pace(10 * second, 6 * second, second, fixed=10 * second)


@pytest.mark.parametrize("free", [1000, 24_001, 77_777, 10**6])
def test_the_range_in_the_remedy_is_accepted(free: int) -> None:
    with pytest.raises(LengthError) as caught:
        check_pace(1, free, 24_000)
    low_s, high_s = map(float, re.findall(r"\d+\.\d+", caught.value.remedy or ""))
    for seconds in (low_s, high_s):
        asked = asked_samples(seconds, 24_000)
        assert asked is not None
        check_pace(asked, free, 24_000)
