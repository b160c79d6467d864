"""The suites: what is asked of the model, and the rows that come of it.

All share one rotation: text i is spoken by voice i mod V, so that suites share what was spoken. An item that
the engine refuses counts as badly as it can (all words wrong, length missed) and is listed in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emovoice.emotion.names import EMOTIONS
from emovoice.errors import ModelError
from emovoice.evaluation import prosody, speed, suites_convert, suites_encoder, suites_steps
from emovoice.evaluation.bench import Bench, Item, Take
from emovoice.evaluation.material import Bar, Prompt
from emovoice.evaluation.measures import cosine
from emovoice.evaluation.rows import Row, mean_row, ratio_row, value_row
from emovoice.evaluation.teacher import read_renders

LENGTHS = (0.75, 0.9, 1.1, 1.25)
"""Lengths asked for, over the free length."""
_WORDS_AT = (0.75, 1.25)
_TOLERANCE_S = 0.020


@dataclass(frozen=True)
class Plan:
    """What a run works with.

    Attributes:
        texts: the held-out texts of this run.
        prompts: voices to clone. Without trained ones the default voice speaks.
        model: what `Engine` and `--model` were given, for the suite that starts fresh processes.
        teacher: folder of teacher renders, or None.
        encoder: gives the pipeline whose encoders are judged, or None.
        corpus: folder of a corpus to probe the encoders with and to fit the judge of emotions on, or None.
        engine: gives the engine whose conversions are judged, or None.
    """

    bench: Bench
    texts: Sequence[str]
    bars: Mapping[str, Bar]
    prompts: Sequence[Prompt] = ()
    emotions: Sequence[str] = EMOTIONS
    model: str = "mini"
    teacher: Path | None = None
    encoder: Callable[[], suites_encoder.Encoder] | None = None
    corpus: Path | None = None
    engine: Callable[[], Any] | None = None
    voices: Sequence[str] = field(init=False)
    held_out: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        trained = tuple(prompt.voice for prompt in self.prompts if not prompt.held_out)
        object.__setattr__(self, "voices", trained or ("",))
        object.__setattr__(
            self, "held_out", tuple(prompt.voice for prompt in self.prompts if prompt.held_out)
        )

    def items(
        self, emotion: str = "neutral", intensity: float = 0.0, voices: Sequence[str] = ()
    ) -> list[Item]:
        """Every text once, voices in rotation."""
        voices = voices or self.voices
        return [Item(text, voices[i % len(voices)], emotion, intensity) for i, text in enumerate(self.texts)]

    def mixed(self) -> list[Item]:
        """Every text once at intensity 1, voices and emotions in rotation."""
        kinds = self.emotions
        # The step between voices is a whole round of emotions, so that every voice meets every emotion.
        return [
            self.items(kinds[(i // len(self.voices)) % len(kinds)], 1.0)[i] for i in range(len(self.texts))
        ]


def wer_neutral(plan: Plan) -> list[Row]:
    """Words of neutral speech."""
    return [_wer(plan, plan.items(), "wer neutral", plan.bars["wer_neutral"])]


def wer_emotions(plan: Plan) -> list[Row]:
    """Words of each emotion at full strength."""
    bar = plan.bars["wer_emotion"]
    return [_wer(plan, plan.items(e, 1.0), f"wer {e}", bar, f"{bar.what}, {e}") for e in plan.emotions]


def length(plan: Plan) -> list[Row]:
    """Lengths asked for: met or not, filled with speech or with silence, and still understood."""
    bench, bars = plan.bench, plan.bars
    met: list[float] = []
    rows: list[Row] = []
    for factor in LENGTHS:
        off: list[float] = []
        filled: list[float] = []
        pairs: list[tuple[int, int]] = []
        for neutral in bench.each(plan.items(), f"length {factor:g}"):
            free = bench.seconds(bench.take(neutral))
            # Milliseconds are what people ask for.
            asked = round(free * factor, 3)
            take = (
                bench.take(Item(neutral.text, neutral.voice, duration_s=asked))
                if free
                else Take("", neutral.text, None)
            )
            off.append(abs(bench.seconds(take) - asked) if free and take.path else float("inf"))
            if take.path:
                filled.append(bench.speech_s(take) / asked)
            if factor in _WORDS_AT:
                pairs.append(bench.word_errors(take))
        met += [float(value <= _TOLERANCE_S) for value in off]
        rows.append(
            mean_row([float(v <= _TOLERANCE_S) for v in off], what=f"length met at {factor:g}", unit="%")
        )
        rows.append(mean_row(filled, what=f"part of the length with speech in it, at {factor:g}", unit="%"))
        if pairs:
            rows.append(ratio_row(pairs, bars[f"wer_at_{factor:g}"]))
    return [mean_row(met, bars["length_met"]), *rows]


def timbre(plan: Plan) -> list[Row]:
    """How alike the output and the prompt sound, for voices the model knows and for ones it never met."""
    rows = []
    for name, voices in (("timbre_trained", plan.voices), ("timbre_held_out", plan.held_out)):
        if not any(voices):
            rows.append(value_row(float("nan"), 0, plan.bars[name], note="no prompts of such voices"))
            continue
        items = plan.items(voices=voices)
        rows.append(mean_row(_similarities(plan, items, name.replace("_", " ")), plan.bars[name]))
    return rows


def timbre_lost(plan: Plan) -> list[Row]:
    """How much of the likeness an emotion at full strength costs, in the same text and voice."""
    bar = plan.bars["timbre_lost"]
    if not any(plan.voices):
        return [value_row(float("nan"), 0, bar, note="no prompts of trained voices")]
    neutral = _similarities(plan, plan.items(), "timbre neutral")
    lost = {
        emotion: _differences(neutral, _similarities(plan, plan.items(emotion, 1.0), f"timbre {emotion}"))
        for emotion in plan.emotions
    }
    # One value per text, since the emotions of a text are no independent items.
    per_text = [sum(values) / len(values) for values in zip(*lost.values(), strict=True)]
    rows = [mean_row(values, what=f"timbre similarity lost, {emotion}") for emotion, values in lost.items()]
    return [mean_row(per_text, bar), *rows]


def prosody_moves(plan: Plan) -> list[Row]:
    """Pitch, range, rate and level against the data file of correlates."""
    return prosody.measure(plan.bench, plan.items(), plan.emotions, plan.bars)


def quality(plan: Plan) -> list[Row]:
    """DNSMOS of neutral speech and of all emotions in rotation."""
    bench = plan.bench
    neutral = [bench.dnsmos(bench.take(item)) for item in bench.each(plan.items(), "quality neutral")]
    mixed = [bench.dnsmos(bench.take(item)) for item in bench.each(plan.mixed(), "quality emotions")]
    return [
        mean_row(neutral + mixed, plan.bars["quality"], note="half neutral, half at intensity 1"),
        mean_row(neutral, what="DNSMOS, neutral"),
        mean_row(mixed, what="DNSMOS, emotions in rotation at intensity 1"),
    ]


def fresh_processes(plan: Plan) -> list[Row]:
    """Real-time factor, memory and start-up, in processes of their own."""
    return speed.measure(plan.model, plan.texts, plan.bars)


def teacher(plan: Plan) -> list[Row]:
    """The same judges on renders of the teacher: what the bars stand beside."""
    if plan.teacher is None:
        raise ModelError(
            "the suite 'teacher' needs a folder of renders", remedy="Give it with --teacher DIR."
        )
    renders = read_renders(plan.teacher)
    takes = [(plan.bench.recording(render.path, render.text), render.voice) for render in renders]
    known = {prompt.voice for prompt in plan.prompts}
    pairs, scores, alike = [], [], []
    for take, voice in plan.bench.each(takes, "teacher"):
        pairs.append(plan.bench.word_errors(take))
        scores.append(plan.bench.dnsmos(take))
        if voice in known:
            alike.append(cosine(plan.bench.embedding(take), plan.bench.embedding(plan.bench.prompt(voice))))
    rows = [ratio_row(pairs, what="teacher: WER"), mean_row(scores, what="teacher: DNSMOS")]
    return [*rows, mean_row(alike, what="teacher: timbre similarity to the prompt")] if alike else rows


@dataclass(frozen=True)
class Suite:
    """A suite and the judges that it asks."""

    run: Callable[[Plan], list[Row]]
    judges: tuple[str, ...]


SUITES: Mapping[str, Suite] = {
    "wer_neutral": Suite(wer_neutral, ("recogniser",)),
    "wer_emotions": Suite(wer_emotions, ("recogniser",)),
    "length": Suite(length, ("recogniser",)),
    "timbre": Suite(timbre, ("speaker",)),
    "timbre_lost": Suite(timbre_lost, ("speaker",)),
    "prosody": Suite(prosody_moves, ("pitch",)),
    "quality": Suite(quality, ("quality",)),
    "copy": Suite(suites_encoder.copy, ("recogniser", "speaker", "pitch")),
    "leak": Suite(suites_encoder.leak, ()),
    "speed": Suite(fresh_processes, ()),
    "teacher": Suite(teacher, ("recogniser", "speaker", "quality")),
    "convert": Suite(suites_convert.convert, ("recogniser", "speaker", "pitch")),
    "solvers": Suite(suites_convert.solvers, ("recogniser", "speaker")),
    "tradeoff": Suite(suites_convert.tradeoff, ("recogniser", "speaker", "pitch")),
    "steps": Suite(suites_steps.steps, ("recogniser", "speaker", "quality")),
}


def _wer(plan: Plan, items: Sequence[Item], label: str, bar: Bar, what: str = "") -> Row:
    bench = plan.bench
    return ratio_row([bench.word_errors(bench.take(item)) for item in bench.each(items, label)], bar, what)


def _similarities(plan: Plan, items: Sequence[Item], label: str) -> list[float]:
    bench = plan.bench
    return [
        cosine(bench.embedding(bench.take(item)), bench.embedding(bench.prompt(item.voice)))
        for item in bench.each(items, label)
    ]


def _differences(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(before, after, strict=True)]
