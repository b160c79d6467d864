"""Labels on the grid of codes, and batches, from hand-made manifest rows."""

import json
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emovoice.corpus.plan import EMOTIONS
from emovoice.text import symbols
from emovoice.training.data import bucketed, load, load_scores, pad, phone_classes, split, utterance

PHONEMES = "hˈɛlO, wˌɜɹld."


def row(phonemes: str = PHONEMES, **changes: Any) -> dict[str, Any]:
    """A manifest row: every phoneme lasts 3 frames of 25 ms, the silences at both ends 2; 120 Hz throughout."""
    durations = [2, *[3] * len(phonemes), 2]
    return {
        "id": "000007a", "group": 7, "voice": "af_heart", "emotion": "sad", "intensity": 0.4, "warp": 1.0,
        "phonemes": phonemes, "durations": durations, "f0_hz": [120.0] * (2 * sum(durations)), **changes,
    }  # fmt: skip


def sound(seconds: float, amplitude: int = 3277) -> np.ndarray:
    return np.full(round(seconds * 24_000), amplitude, np.int16)


def class_of(symbol: str) -> int:
    return symbols.encode(symbol)[0]


# ---- utterances -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warp", [0.87, 1.0, 1.15])
@pytest.mark.parametrize("phonemes", [PHONEMES, "a", "nˈO."])
def test_the_pointer_reads_in_order_to_the_end(phonemes: str, warp: float) -> None:
    u = utterance(row(phonemes, warp=warp), None)
    assert u.codes == len(u.pointer) == len(u.pitch_hz) == len(u.level_db)
    assert u.pointer[0] == 0 and all(0 <= b - a <= 3 for a, b in pairwise(u.pointer))
    assert len(u.text) == len(phonemes) + 2
    # The last code may end up to 40 ms early, and its middle lies 20 ms before that: the silence lasts 50 / warp ms.
    assert u.pointer[-1] in ((len(u.text) - 1,) if warp <= 1 else (len(u.text) - 2, len(u.text) - 1))
    assert u.text[0] == symbols.START and u.text[-1] == symbols.STOP
    assert u.codes == pytest.approx((3 * len(phonemes) + 4) * 0.025 / warp / 0.04, abs=1)


def test_the_pointer_stands_where_the_middle_of_a_code_lies() -> None:
    u = utterance(row("ab", durations=[1, 4, 3, 1]), None)  # ends at 25, 125, 200 and 225 ms
    assert u.pointer.tolist() == [0, 1, 1, 2, 2]  # middles at 20, 60, 100, 140 and 180 ms


def test_a_warp_plays_everything_faster() -> None:
    slow, fast = utterance(row(warp=1.0), None), utterance(row(warp=2.0), None)
    assert fast.codes == slow.codes // 2 and fast.pitch_hz.max() == pytest.approx(120, rel=1e-4)


def test_sound_is_cut_to_whole_codes() -> None:
    u = utterance(row(), sound(0.5))
    assert u.codes == 12 and u.samples is not None and len(u.samples) == 12 * 960
    assert np.allclose(u.level_db, 20 * np.log10(3277 / 32_768), atol=0.01)
    longer = utterance(row(), sound(5))
    assert longer.samples is not None and len(longer.samples) == longer.codes * 960
    assert longer.codes == utterance(row(), None).codes


def test_silence_in_the_score_has_no_pitch() -> None:
    f0 = np.array(row()["f0_hz"])
    f0[: len(f0) // 2] = 0
    pitch = utterance(row(f0_hz=f0.tolist()), None).pitch_hz
    assert (pitch[:10] == 0).all() and np.allclose(pitch[-10:], 120)


def test_weights_and_speakers() -> None:
    weights = utterance(row(), None).weights
    assert weights[EMOTIONS.index("sad")] == np.float32(0.4) and weights.sum() == np.float32(0.4)
    assert not utterance(row(emotion="neutral", intensity=0.0), None).weights.any()
    speakers = [utterance(row(warp=warp), None).speaker for warp in (0.9, 0.98, 1.0, 1.02, 1.1)]
    assert speakers == ["af_heart-", "af_heart", "af_heart", "af_heart", "af_heart+"]


# ---- phone classes ----------------------------------------------------------------------------------------


def test_phones_are_told_twice_a_code() -> None:
    u = utterance(row(), None)
    classes = phone_classes(u)
    assert classes.shape == (2 * u.codes,) and (classes[::2] == classes[1::2]).all()
    assert classes.min() == 0 and classes.max() < symbols.VOCAB_SIZE


def test_marks_count_as_the_sound_they_belong_to() -> None:
    u = utterance(row("ˈaˌɑːb"), None)
    heard = {int(at): int(phone) for at, phone in zip(u.pointer, phone_classes(u)[::2], strict=True)}
    a, long_a, b = (class_of(symbol) for symbol in "aɑb")
    assert heard == {0: 0, 1: a, 2: a, 3: long_a, 4: long_a, 5: long_a, 6: b, 7: 0}


@pytest.mark.parametrize("symbol", ' ;:,.!?—…"()“”')
def test_spaces_and_punctuation_are_silence(symbol: str) -> None:
    u = utterance(row(f"a{symbol}b"), None)
    assert set(phone_classes(u)[np.repeat(u.pointer, 2) == 2]) == {0}


def test_the_text_itself_stays_as_it_is() -> None:
    u = utterance(row(), None)
    before = u.text.copy()
    phone_classes(u)
    assert np.array_equal(u.text, before)


# ---- batches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [50, 200, 10_000])
def test_an_epoch_has_every_item_once_within_the_budget(seed: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {name: int(rng.integers(1, 60)) for name in range(101)}
    stream = bucketed(list(sizes), sizes.__getitem__, budget, rng)
    for _ in range(3):
        epoch: list[int] = []
        while len(epoch) < len(sizes):
            batch = next(stream)
            largest = max(sizes[name] for name in batch)
            assert largest * len(batch) <= budget * 1.25 or len(batch) == 1
            epoch += batch
        assert sorted(epoch) == sorted(sizes)


def test_batches_hold_items_of_similar_size() -> None:
    rng = np.random.default_rng(0)
    sizes = {name: int(rng.integers(20, 400)) for name in range(400)}
    batches = list(islice(bucketed(list(sizes), sizes.__getitem__, 2000, rng), 40))
    spreads = [max(map(sizes.get, b)) / min(map(sizes.get, b)) for b in batches]  # type: ignore[type-var, operator]
    assert np.median(spreads) < 1.3


def test_padding() -> None:
    arrays = [np.ones((2, 3)), np.ones((4, 3)), np.zeros((0, 3))]
    assert pad(arrays, 7).shape == (3, 4, 3)
    assert pad(arrays, 7)[0, 2:].min() == 7 and pad(arrays, 7)[2].min() == 7
    assert pad([np.array([1]), np.array([2, 3])]).tolist() == [[1, 0], [2, 3]]


def test_a_split_keeps_groups_together() -> None:
    items = [utterance(row("a", group=group), None) for group in range(300) for _ in "ab"]
    trained, held = split(items)
    assert len(trained) + len(held) == len(items) and len(held) == 12
    assert not {u.group for u in trained} & {u.group for u in held}


# ---- folders ----------------------------------------------------------------------------------------------


def test_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    rows = [row(id=f"00000{number}a", file=f"wavs/{number}.flac") for number in range(3)]
    for number in range(3):
        soundfile.write(tmp_path / f"wavs/{number}.flac", sound(1.2), 24_000)
    lines = "".join(json.dumps(one) + "\n" for one in rows)
    (tmp_path / "manifest.jsonl").write_text(f'{lines}{{"id": "cut sho', encoding="utf-8")
    (tmp_path / "scores.jsonl").write_text(lines, encoding="utf-8")
    items = load(tmp_path)
    assert [u.id for u in items] == ["000000a", "000001a", "000002a"] and len(load(tmp_path, 2)) == 2
    assert items[0].samples is not None and items[0].samples[0] == 3277
    scores = load_scores(tmp_path)
    assert len(scores) == 3 and scores[0].samples is None and not scores[0].level_db.any()


def test_a_folder_at_another_rate_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(1), 22_050)
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row(file="a.wav")) + "\n")
    with pytest.raises(ValueError, match="22050 Hz"):
        load(tmp_path)
