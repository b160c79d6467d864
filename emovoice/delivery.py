"""How each sentence of a request is to be spoken: emotion, pace and level. Pure but for the model that reads words.

Whoever is most specific decides: a tag around a sentence, else the request's emotion, instruction or "auto". Pace and
level of tags and of instructions go together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from emovoice.emotion import names
from emovoice.emotion.instructions import Understanding, understand
from emovoice.errors import InputError
from emovoice.text import tags
from emovoice.text.tags import LOUDNESS_DB, RATES, Style

if TYPE_CHECKING:
    from emovoice.emotion.path import Waypoint
    from emovoice.pipelines import AnySentence

    S = TypeVar("S", bound=AnySentence)

AUTO = "auto"
"""The emotion that asks for each sentence's own."""

Instruction: TypeAlias = "str | Understanding | None"
Weights: TypeAlias = tuple[float, ...]

_UNSURE = 0.4
_SAME = 0.3  # a weight that changes by less within a sentence is not worth a warning


@dataclass(frozen=True)
class Delivery:
    """How one sentence is spoken.

    Attributes:
        weights: eight of them, or None where a recording, or a model that reads words, gives the emotion.
        rate: times the usual pace.
        loudness_db: beside the usual level.
    """

    weights: Weights | None
    rate: float = 1.0
    loudness_db: float = 0.0


def is_auto(emotion: object) -> bool:
    """Whether the emotion is to be found in the text."""
    return isinstance(emotion, str) and emotion.strip().casefold() == AUTO


def check(emotion: object, instruction: Instruction, **recording: object) -> None:
    """Refuse a request that says twice what is to be felt. Raises InputError."""
    given = {"emotion": emotion, "instruction": instruction, **recording}
    asked = [name for name, value in given.items() if value is not None]
    if isinstance(instruction, str) and not instruction.strip():
        raise InputError("the instruction is empty", field="instruction", value=instruction,
                         remedy="Say the emotion in words, or leave it out.")  # fmt: skip
    if len(asked) > 1:
        what = "an emotion and a recording of one" if "instruction" not in asked else f"{asked[0]} and {asked[1]}"
        raise InputError(
            f"{what} are given",
            field=asked[0],
            value=given[asked[0]],
            remedy=f"Give {' or '.join(asked)}, not both.",
        )


def read(
    text: str, read_plain: Callable[[str], tuple[tuple[S, ...], tuple[str, ...]]]
) -> tuple[tuple[tuple[S, Style], ...], tuple[str, ...]]:
    """The sentences of a text, each with the style of the tags around it, and the warnings.

    A change of style ends a sentence. Raises InputError as `read_plain`, and for a tag whose value cannot be used.
    """
    script = tags.parse(text)
    found: list[tuple[S, Style]] = []
    warnings: dict[str, None] = dict.fromkeys(script.warnings)
    for span in script.spans or (tags.Span("", Style()),):
        sentences, notes = read_plain(span.text)
        found += [(sentence, span.style) for sentence in sentences]
        warnings.update(dict.fromkeys(notes))
    return tuple(found), tuple(warnings)


def deliveries(
    spoken: Sequence[tuple[AnySentence, Style]],
    weights: Weights | None = None,
    instruction: Instruction = None,
    auto: bool = False,
    intensity: float | None = None,
    points: Sequence[Waypoint] = (),
    length_s: float = 0.0,
) -> tuple[tuple[Delivery, ...], tuple[str, ...]]:
    """One delivery a sentence, and what there is to say about them.

    Args:
        spoken: sentences with the style of the tags around them.
        weights: the request's eight weights; None where something else gives the emotion.
        instruction: words, or what was understood of them.
        auto: find the emotion of each sentence in it and its neighbours.
        intensity: 0..1, what an instruction's or line's own intensity is multiplied by; None for 1.
        points: emotions at points in time, instead of any of these; see `emovoice.emotion.path.waypoints`.
        length_s: how long all sentences take together, by which the times of points are told.
    """
    factor = names.check_intensity(intensity, default=names.GIVEN_INTENSITY)
    warnings: tuple[str, ...] = ()
    if instruction is not None:
        found = understand(instruction) if isinstance(instruction, str) else instruction
        base, warnings = _instructed(found, [len(sentence.text) for sentence, _ in spoken]), doubts(found)
    elif auto:
        base = _from_lines([sentence.text for sentence, _ in spoken])
    elif points:
        (base, warnings), factor = _passing(points, [len(sentence.text) for sentence, _ in spoken], length_s), 1.0
    else:
        base, factor = (Delivery(weights),) * len(spoken), 1.0
    styled = tuple(_styled(_scaled(each, factor), style) for each, (_, style) in zip(base, spoken, strict=True))
    whispers = any(style.whisper for _, style in spoken) or (instruction is not None and found.whisper)
    if whispers:
        warnings += ("this model has no whisper: what shall be whispered is spoken softly",)
    return styled, warnings


def _instructed(found: Understanding, lengths: Sequence[int]) -> tuple[Delivery, ...]:
    """The curve of an instruction spread over sentences; pace and level are those of the nearest stage."""
    weights = found.curve.spread(lengths)
    stages = [
        found.moments[round(i * (len(found.moments) - 1) / max(1, len(lengths) - 1))] for i in range(len(lengths))
    ]
    if len(lengths) == 1:
        return (Delivery(weights[0], found.rate, found.loudness_db),)
    return tuple(Delivery(each, stage.rate, stage.loudness_db) for each, stage in zip(weights, stages, strict=True))


def _passing(
    points: Sequence[Waypoint], lengths: Sequence[int], length_s: float
) -> tuple[tuple[Delivery, ...], tuple[str, ...]]:
    """Each sentence with the mean of what lies on its stretch of time, shared out by the length of the texts."""
    from emovoice.emotion.path import weights_within

    ends = [0, *accumulate(max(1, length) for length in lengths)]
    spans = [(a * length_s / ends[-1], b * length_s / ends[-1]) for a, b in pairwise(ends)]
    weights = weights_within(points, spans)
    changed = weights.max(1) - weights.min(1)
    base = tuple(Delivery(tuple(row)) for row in weights.mean(1).tolist())
    if changed.max() <= _SAME:
        return base, ()
    return base, ("the emotion changes within a sentence, which is spoken with the mean",)


def _from_lines(texts: Sequence[str]) -> tuple[Delivery, ...]:
    from emovoice.emotion.lines import understand_lines

    found = understand_lines(texts)
    return tuple(Delivery(tuple(each.emotion[name] for name in names.EMOTIONS)) for each in found)


def doubts(found: Understanding) -> tuple[str, ...]:
    """What there is to say about an instruction that was not understood, or hardly."""
    said = []
    if found.not_understood:
        said.append(f"not understood in the instruction: {', '.join(found.not_understood)}")
    if found.confidence < _UNSURE:
        said.append(
            f"the instruction was hardly understood (confidence {found.confidence:.2f}); see emovoice explain"
        )
    return tuple(said)


def _scaled(delivery: Delivery, factor: float) -> Delivery:
    if delivery.weights is None or factor == 1:
        return delivery
    return replace(delivery, weights=tuple(weight * factor for weight in delivery.weights))


def _styled(delivery: Delivery, style: Style) -> Delivery:
    rate = min(RATES[1], max(RATES[0], delivery.rate * style.rate))
    level = min(LOUDNESS_DB[1], max(LOUDNESS_DB[0], delivery.loudness_db + style.loudness_db))
    return Delivery(delivery.weights if style.emotion is None else style.emotion, rate, level)
