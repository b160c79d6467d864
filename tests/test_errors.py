"""Errors say what, with which value, and what to do; and they travel between processes."""

import pickle

import pytest

from emovoice import errors

KINDS = [errors.InputError, errors.AudioError, errors.ModelError, errors.OutputError, errors.LengthError]


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_share_one_root(kind: type[errors.EmovoiceError]) -> None:
    assert issubclass(kind, errors.EmovoiceError)
    assert not issubclass(kind, (ValueError, OSError))


def test_message_says_what_which_and_remedy() -> None:
    error = errors.InputError("intensity must lie in 0..1", field="intensity", value=1.5, remedy="Use 0.7.")
    assert str(error) == "intensity must lie in 0..1 (intensity=1.5). Use 0.7."
    assert str(errors.InputError("the text is empty")) == "the text is empty"


def test_a_long_value_is_shortened_in_the_message_only() -> None:
    error = errors.InputError("too long", field="text", value="x\n" * 5000)
    assert len(str(error)) < 120 and "\n" not in str(error)
    assert error.value == "x\n" * 5000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, 1.5, "word", (1, "a"), [float("inf")]])
def test_errors_can_be_pickled(kind: type[errors.EmovoiceError], value: object) -> None:
    error = kind("wrong", field="field", value=value, remedy="Do this.")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error) and again.value == value


def test_an_unpicklable_value_travels_as_its_repr() -> None:
    error = errors.InputError("wrong", field="field", value=lambda: None)
    assert "lambda" in pickle.loads(pickle.dumps(error)).value
