"""How the published models are run: where their parts are, how codes are drawn, how text is cut. Plain values.

    Options(beams=3, placement=Placement.parse("t2s=cuda/fp16,vocoder=cuda"))
    options_of(["beams=3", "place=t2s=cuda/fp16,vocoder=cuda"])

Defaults are those of the published pipeline, but for single draws where it searches with three beams, code positions
as in training, and sentences that are not packed together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from emovoice.errors import InputError

PARTS = ("t2s", "w2v_bert", "campplus", "codec", "s2mel", "vocoder", "qwen")
"""Parts that can be placed one by one. The small tables (statistics, prototypes) go where they are used."""

PRECISIONS = ("fp32", "fp16", "bf16")
INT8 = "int8"
"""Of the decoder of `t2s` alone, on a CPU: 8-bit weights; the rest of the part is fp32."""


@dataclass(frozen=True)
class Place:
    """A device such as "cpu" or "cuda:0", and a precision: fp32, fp16, bf16, or int8 for t2s on a CPU."""

    device: str = "cpu"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in (*PRECISIONS, INT8):
            raise InputError("no such precision", field="precision", value=self.precision,
                             remedy=f"Use one of {', '.join((*PRECISIONS, INT8))}")  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """Where each part is, and in which precision. Parts that are not named are where `default` says."""

    default: Place = Place()
    parts: tuple[tuple[str, Place], ...] = ()

    def __post_init__(self) -> None:
        for part, place in self.parts:
            if part not in PARTS:
                raise InputError("no such part", field="place", value=part, remedy=f"Use one of {', '.join(PARTS)}")
            if place.precision == INT8 and (part != "t2s" or not place.device.startswith("cpu")):
                raise InputError("8-bit weights are for t2s on a CPU", field="place", value=part,
                                 remedy="Use fp32, fp16 or bf16")  # fmt: skip
        if self.default.precision == INT8:
            raise InputError("8-bit weights are for t2s alone", field="place", value=INT8, remedy="Use t2s=cpu/int8")

    def of(self, part: str) -> Place:
        """Where that part is."""
        return dict(self.parts).get(part, self.default)

    def on(self, device: str) -> Placement:
        """The same with another default device."""
        return replace(self, default=replace(self.default, device=device))

    @classmethod
    def parse(cls, text: str, device: str = "cpu") -> Placement:
        """Of text: "t2s=cuda:0/fp16,vocoder=cpu,fp16". A device, a precision or both, of one part or, without a name,
        of all others. What is left out is `device` and fp32. Raises InputError."""
        default, parts = Place(device), {}
        for entry in filter(None, (entry.strip() for entry in text.split(","))):
            name, _, place = entry.rpartition("=")
            if name:
                parts[name.strip()] = place
            else:
                default = _place(place, default)
        return cls(default, tuple((name, _place(place, default)) for name, place in parts.items()))


def _place(text: str, default: Place) -> Place:
    device, precision = default.device, default.precision
    for word in text.strip().split("/"):
        if word in (*PRECISIONS, INT8):
            precision = word
        elif word:
            device = word
    return Place(device, precision)


@dataclass(frozen=True)
class Options:
    """All that can be chosen; hashable, so that engines can be shared.

    Attributes:
        placement: devices and precisions. None: everything where the engine is, in fp32.
        beams: 1 draws one sequence of codes; the published pipeline searches with 3.
        sample: False takes the likeliest code instead of drawing.
        temperature, top_k, top_p, repetition_penalty, length_penalty: of the draws.
        max_codes: most codes of a segment; 50 a second, 25 for IndexTTS-2.5. The published models have positions for
            1815.
        positions: "trained" or "upstream" (one off from training from the second code on).
        penalise_prefix, allow_start: two more slips of the published loop; see `ar_tts.sampling.CodeSampling`.
        together: most requests, of several threads or of one batch, whose codes are written together; others wait. For
            IndexTTS-2 in half precision each takes 0.2 GB for 1500 codes; on CUDA that memory is kept.
        steady: compute the same numbers for a request whatever it is written together with, by always computing
            `together` rows of the greatest length: slower, and 2.5 GB for 8 rows of IndexTTS-2 in half precision. For
            those who compare runs to the bit. Single draws only.
        ask_length: tell IndexTTS-2 the wanted number of codes in a duration slot. It is a finding of users, not of
            the makers. Without it the length comes from when it may stop and from the length regulator alone.
        slot_order: which of the two slots takes the number: "A" or "B".
        length_tolerance: how far the number of codes may be off the asked one, as a share of it; the length regulator
            takes the difference. 0 for exactly as many.
        solver_steps, guidance: of the flow from codes to mel.
        frames_per_feature: mel frames per feature at 50 Hz where no length is asked for; 1.72 as published, where
            22,050 / 256 / 50 = 1.7227 would be true.
        prompt_s: how much of the prompt the flow continues, seconds; it is computed again in every step.
        gap_ms: silence between two segments.
        max_tokens, language, glossary, merge_sentences, upstream_text: see `emovoice.indextts.text.read`; glossary is
            the path of a file.
        emotion_by: "text" for one emotion from the words of a whole text, "sentence" for one each.
        calibrated: eight weights are evenly scaled, so that intensity 1 is what the published demo gives for a slider
            at its end. False takes them as they are, as the published function does.
        random_rows: prototypes by chance instead of by likeness; more variety, less likeness.
    """

    placement: Placement | None = None
    beams: int = 1
    sample: bool = True
    temperature: float = 0.8
    top_k: int = 30
    top_p: float = 0.8
    repetition_penalty: float = 10.0
    length_penalty: float = 0.0
    max_codes: int = 1500
    positions: str = "trained"
    penalise_prefix: bool = False
    allow_start: bool = False
    together: int = 8
    steady: bool = False
    ask_length: bool = True
    slot_order: str = "A"
    length_tolerance: float = 0.05
    solver_steps: int = 25
    guidance: float = 0.7
    frames_per_feature: float = 1.72
    prompt_s: float = 15.0
    gap_ms: float = 200.0
    max_tokens: int = 120
    language: str = "auto"
    glossary: str = ""
    merge_sentences: bool = False
    upstream_text: bool = False
    emotion_by: str = "text"
    calibrated: bool = True
    random_rows: bool = False

    def __post_init__(self) -> None:
        for name, good, allowed in (
            ("beams", 1 <= self.beams <= 64, "1 to 64"),
            ("temperature", 0 < self.temperature <= 100, "above 0; sample=false takes the likeliest"),
            ("top_k", self.top_k >= 0, "0 for all, or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and up to 1"),
            ("repetition_penalty", 0 < self.repetition_penalty <= 1000, "above 0; 1 for none"),
            ("length_penalty", -100 <= self.length_penalty <= 100, "-100 to 100"),
            ("max_codes", self.max_codes >= 1, "1 or more"),
            ("together", 1 <= self.together <= 64, "1 to 64"),
            ("positions", self.positions in ("trained", "upstream"), "trained or upstream"),
            ("slot_order", self.slot_order in ("A", "B"), "A or B"),
            ("length_tolerance", 0 <= self.length_tolerance < 1, "0 to below 1"),
            ("solver_steps", 1 <= self.solver_steps <= 1000, "1 to 1000"),
            ("guidance", 0 <= self.guidance <= 100, "0 to 100"),
            ("frames_per_feature", 0.5 <= self.frames_per_feature <= 6, "0.5 to 6"),
            ("prompt_s", 0.5 <= self.prompt_s <= 15, "0.5 to 15"),
            ("gap_ms", 0 <= self.gap_ms <= 60_000, "0 to 60000"),
            ("emotion_by", self.emotion_by in ("text", "sentence"), "text or sentence"),
        ):
            if not good:
                raise InputError(f"{name} is out of range", field=name, value=getattr(self, name),
                                 remedy=f"Allowed is {allowed}")  # fmt: skip


def options_of(settings: Iterable[str], device: str = "cpu") -> Options:
    """Options of lines "name=value"; "place=..." is read by `Placement.parse`. Raises InputError."""
    hints = get_type_hints(Options)
    known = {field.name: hints[field.name] for field in fields(Options) if field.name != "placement"}
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if name == "place" and equals:
            found["placement"] = Placement.parse(value, device)
        elif name in known and equals:
            found[name] = _read(name, value, known[name])
        else:
            raise InputError("no such option", field="option", value=setting,
                             remedy=f"Give NAME=VALUE, with one of place, {', '.join(known)}")  # fmt: skip
    return Options(**found)


def _read(name: str, value: str, kind: Any) -> Any:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    assert not get_args(kind)
    try:
        return words[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError) as error:
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise InputError(f"{name} must be {wanted}", field=name, value=value, remedy=f"Give {wanted}") from error
