import pytest

from emovoice.text import symbols


def test_the_order_is_frozen() -> None:
    # Trained models count on this string; new symbols go to the end only.
    frozen = ';:,.!?—…"()“” ˈˌːAIOQWYaiuæɐɑɒɔəɛɜɪʊʌᵊᵻbdfhjklmnpstvwzðŋɡɹɾʃʒʔʤʧθT'
    assert symbols.SYMBOLS.startswith(frozen)


def test_symbols_are_single_and_counted() -> None:
    assert len(set(symbols.SYMBOLS)) == len(symbols.SYMBOLS)
    assert 2 + len(symbols.SYMBOLS) == symbols.VOCAB_SIZE


def test_encode_and_decode_are_inverse() -> None:
    numbers = symbols.encode(symbols.SYMBOLS)
    assert numbers == list(range(symbols.FIRST, symbols.VOCAB_SIZE))
    assert symbols.decode(numbers) == symbols.SYMBOLS
    assert symbols.encode("") == []


def test_decode_leaves_out_start_and_stop() -> None:
    assert symbols.decode([symbols.START, *symbols.encode("həlˈO."), symbols.STOP]) == "həlˈO."


def test_encode_names_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="ж"):
        symbols.encode("hжə")


@pytest.mark.parametrize("number", [-1, symbols.VOCAB_SIZE])
def test_decode_refuses_other_numbers(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        symbols.decode([number])
