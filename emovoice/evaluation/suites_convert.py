"""The suites of conversion.

    convert    words, strength, timbre, emotion, length and speed of recordings that were given another emotion
    solvers    quality and time against the number of steps, for each solver
    tradeoff   strength against words and likeness, over how much of the recording is kept and the guidance of emotion

Sources are the prompts whose text is known and, where a folder of them is given, the teacher's renders; trained and
held-out voices are told apart. An emotion is asked for with its tempo (`tempo=True`). The judge of emotions is fitted
on the real recordings of a corpus and printed with its accuracy on texts of it that were kept out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emovoice.emotion.names import EMOTIONS
from emovoice.errors import InputError, ModelError
from emovoice.evaluation.bench import Take
from emovoice.evaluation.emotion_judge import STRONG, EmotionJudge, accuracy
from emovoice.evaluation.measures import cosine, spearman
from emovoice.evaluation.probes import split
from emovoice.evaluation.rows import Row, mean_row, ratio_row, value_row
from emovoice.evaluation.suites_encoder import pitch_difference
from emovoice.evaluation.teacher import read_renders

if TYPE_CHECKING:
    from emovoice.evaluation.suites import Plan

INTENSITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
LENGTHS = (0.8, 1.25)
STEPS = (2, 4, 6, 10, 20, 30)
KEPT = (0.0, 0.5, 0.8, 0.9, 1.0)
GUIDED = (1.0, 2.0)
_TOLERANCE_S = 0.020
_HELD_SHARE = 0.25
_MOST_PAIRS, _MOST_ALIKE = 400, 40
_FULL = 0.95
_REFERENCE_STEPS = 60
_FLOOR_DB = -60.0
_REMEDY = "Give one with --corpus DIR: neutral and emotional recordings of the same texts."


@dataclass(frozen=True)
class Source:
    """A recording to convert."""

    path: Path
    text: str
    held_out: bool


@dataclass(frozen=True)
class Fitted:
    """The judge of emotions, how right it is on each real pair kept out, what full strength is there, and how alike the
    voices of a neutral recording and one of full intensity are."""

    judge: EmotionJudge
    right: list[float]
    full: np.ndarray  # (E,) mean strength heard in real recordings of full intensity
    alike: list[float]


def sources(plan: Plan) -> list[Source]:
    """As many as texts are asked for, voices in turn.

    Raises:
        InputError: there is none.
    """
    found = [Source(p.path, p.text, p.held_out) for p in plan.prompts if p.text]
    if plan.teacher is not None:
        known = {prompt.voice: prompt.held_out for prompt in plan.prompts}
        found += [Source(r.path, r.text, known.get(r.voice, False)) for r in read_renders(plan.teacher)]
    if not found:
        raise InputError("there are no recordings to convert", field="prompts", value=None,
                         remedy="Give prompts with texts, or renders with --teacher DIR.")
    return found[: len(plan.texts)]


class Studio:
    """Converts each source once in each way, and keeps it in the work folder of the bench."""

    def __init__(self, plan: Plan, first: Source) -> None:
        if plan.engine is None:
            raise ModelError("this model cannot be asked to convert", field="model", value=plan.model)
        self.plan, self.engine = plan, plan.engine()
        # a model is named by how it converts, so that what another one made is never taken for its own
        digest = hashlib.sha256()
        for emotion in ("sad", "happy"):
            made = self.engine.convert(first.path, emotion, 1.0, tempo=True)
            digest.update(np.round(np.asarray(made.samples) * 2048).astype(np.int32).tobytes())
        self.version = digest.hexdigest()[:16]

    def source(self, source: Source) -> Take:
        """The recording itself."""
        return self.plan.bench.recording(source.path, source.text)

    def take(self, source: Source, emotion: str, intensity: float, **more: Any) -> Take:
        """A conversion; at no intensity all emotions are one."""
        emotion = emotion if intensity > 0 else "neutral"
        options = {"tempo": True} | more
        how = f"{self.version} {emotion} {intensity:g} {sorted(options.items())}"

        def make() -> np.ndarray:
            return np.asarray(self.engine.convert(source.path, emotion, intensity, **options).samples)

        return self.plan.bench.made_of(self.source(source), how, make, self._rate(source))

    def plain(self, source: Source) -> Take:
        """The recording through mel and vocoder alone: the best that any conversion can sound."""
        from emovoice.audio import read_whole

        pipeline = self.engine.pipeline

        def make() -> np.ndarray:
            return np.asarray(pipeline.converter().vocoded(read_whole(source.path).samples))

        return self.plan.bench.made_of(self.source(source), f"{self.version} vocoded", make, pipeline.sample_rate)

    def difference(self, source: Source, take: Take) -> np.ndarray:
        """(F,) features of a conversion less those of its source."""
        bench = self.plan.bench
        return bench.hand_features(take) - bench.hand_features(self.source(source))

    @staticmethod
    def _rate(source: Source) -> int:
        import soundfile

        return int(soundfile.info(source.path).samplerate)


def fit_judge(plan: Plan) -> Fitted:
    """The judge of emotions by the corpus of the plan.

    Raises:
        InputError: no corpus, or too few pairs in it.
    """
    from emovoice.corpus.build import read_manifest

    if plan.corpus is None:
        raise InputError("the suite 'convert' needs a corpus", field="corpus", value=None, remedy=_REMEDY)
    corpus, bench = plan.corpus, plan.bench
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in read_manifest(corpus / "manifest.jsonl"):
        groups.setdefault((row["group"], row["voice"]), []).append(row)
    pairs = [(a, b) for rows in groups.values() for a in rows if a["emotion"] == "neutral"
             for b in rows if b["emotion"] in EMOTIONS]
    order = np.random.default_rng(0).permutation(len(pairs))[:_MOST_PAIRS]
    pairs = [pairs[i] for i in order]
    weights = np.zeros((len(pairs), len(EMOTIONS)))
    for i, (_, row) in enumerate(pairs):
        weights[i, EMOTIONS.index(row["emotion"])] = row["intensity"]
    differences = np.array([bench.hand_features(bench.recording(corpus / b["file"]))
                            - bench.hand_features(bench.recording(corpus / a["file"]))
                            for a, b in bench.each(pairs, "judge of emotions")])
    held = split([a["text"] for a, _ in pairs], _HELD_SHARE, 0)
    try:
        judge = EmotionJudge.fit(differences[~held], weights[~held])
    except (ValueError, IndexError) as error:
        raise InputError(f"the corpus has too few pairs to judge by: {error}", field="corpus", value=str(corpus),
                         remedy=_REMEDY) from error
    told = held & (weights.max(1) >= STRONG)
    right = accuracy(judge.names(differences[told]), weights[told].argmax(1)) if told.any() else []
    heard = judge.strengths(differences)
    rows = np.arange(len(pairs))
    own = heard[rows, weights.argmax(1)] / np.maximum(weights.max(1), 1e-6)
    # by label at full strength; where the kept out pairs have none of an emotion, all pairs speak
    full = np.ones(len(EMOTIONS))
    for k in range(len(EMOTIONS)):
        mine = (weights.argmax(1) == k) & (weights.max(1) >= STRONG)
        chosen = mine & held if (mine & held).any() else mine
        full[k] = own[chosen].mean() if chosen.any() else 1.0
    strongest = [pair for pair in pairs if pair[1]["intensity"] >= _FULL][:_MOST_ALIKE]
    alike = [cosine(*(bench.embedding(bench.recording(corpus / row["file"])) for row in pair)) for pair in strongest]
    return Fitted(judge, right, full, alike)


def convert(plan: Plan) -> list[Row]:
    """All figures of conversion; see the module."""
    every = sources(plan)
    studio, fitted = Studio(plan, every[0]), fit_judge(plan)
    return [
        *_words(plan, studio, every),
        *_strength(plan, studio, every, fitted),
        *_timbre(plan, studio, every),
        mean_row(fitted.alike, what="convert: timbre similarity of real recordings at full intensity to neutral ones",
                 note="one text and voice"),
        *_floor(plan, studio, every),
        *_lengths(plan, studio, every),
        _speed(plan, studio, every),
        mean_row(fitted.right, what="convert: judge of emotions on real recordings, texts kept out", unit="%"),
    ]


def _words(plan: Plan, studio: Studio, every: Sequence[Source]) -> list[Row]:
    bench, rows = plan.bench, []
    for name, held_out in (("trained", False), ("held_out", True)):
        mine = [s for s in every if s.held_out == held_out]
        bar = plan.bars[f"convert_wer_{name}"]
        if not mine:
            rows.append(value_row(float("nan"), 0, bar, note="no recordings of such voices"))
            continue
        asked = [(s, e) for s in mine for e in plan.emotions]
        pairs = [bench.word_errors(studio.take(s, e, 1.0)) for s, e in bench.each(asked, f"convert {name}")]
        rows.append(ratio_row(pairs, bar, note="all emotions at intensity 1"))
        before = [bench.word_errors(studio.source(s)) for s in mine]
        rows.append(ratio_row(before, what=f"convert: WER of the recordings themselves, {name} voices"))
        plain = [bench.word_errors(studio.take(s, "neutral", 0.0)) for s in mine]
        rows.append(ratio_row(plain, what=f"convert: WER at intensity 0, {name} voices"))
    return rows


def _strength(plan: Plan, studio: Studio, every: Sequence[Source], fitted: Fitted) -> list[Row]:
    """Spearman, range and accuracy by the judge of emotions."""
    told, systems, ranges, hits, by_none = [], [], [], [], []
    by_utterance: list[list[float]] = []
    for emotion in plan.emotions:
        k = EMOTIONS.index(emotion)
        table = np.array([
            [fitted.judge.strengths(studio.difference(s, studio.take(s, emotion, i)))[k] for i in INTENSITIES]
            for s in plan.bench.each(every, f"strength {emotion}")
        ])
        mean = table.mean(0)
        systems.append(spearman(INTENSITIES, mean.tolist()))
        own = [spearman(INTENSITIES, row) for row in table.tolist()]
        by_utterance.append(own)
        ranges.append(float((mean[-1] - mean[0]) / fitted.full[k]))
        heard = [int(fitted.judge.names(studio.difference(s, studio.take(s, emotion, 1.0)))) for s in every]
        hits.append(accuracy(heard, [k] * len(heard)))
        none = [studio.difference(s, studio.take(s, emotion, 0.0)) for s in every]
        full = [studio.difference(s, studio.take(s, emotion, 1.0)) for s in every]
        moved = [int(fitted.judge.names(b - a)) for a, b in zip(none, full, strict=True)]
        by_none += accuracy(moved, [k] * len(moved))
        steps = ", ".join(f"{value:.2f}" for value in mean)
        told += [
            value_row(systems[-1], len(every), what=f"convert: Spearman by system, {emotion}", note=f"at {steps}"),
            mean_row(own, what=f"convert: Spearman by utterance, {emotion}"),
            value_row(ranges[-1], len(every), what=f"convert: range of strength, {emotion}", unit="%"),
            mean_row(hits[-1], what=f"convert: heard as {emotion} at intensity 1", unit="%"),
        ]
    per_source = [float(np.mean(values)) for values in zip(*by_utterance, strict=True)]
    bars = plan.bars
    return [
        mean_row(systems, bars["convert_spearman_system"], note="mean of emotions"),
        mean_row(per_source, bars["convert_spearman_utterance"]),
        mean_row(ranges, bars["convert_range"], note="of the corpus's own, mean of emotions"),
        mean_row([hit for row in hits for hit in row], bars["convert_accuracy"], note="chance 12.5 %"),
        mean_row(by_none, what="convert: emotion heard between intensity 0 and 1", unit="%",
                 note="what mel and vocoder do to any voice does not count"),
        *told,
    ]


def _timbre(plan: Plan, studio: Studio, every: Sequence[Source]) -> list[Row]:
    bench = plan.bench
    at_full, at_none, drops = [], [], []
    for source in bench.each(every, "timbre"):
        own = bench.embedding(studio.source(source))
        none = cosine(bench.embedding(studio.take(source, "neutral", 0.0)), own)
        full = [cosine(bench.embedding(studio.take(source, e, 1.0)), own) for e in plan.emotions]
        at_full.append(float(np.mean(full)))
        at_none.append(none)
        drops.append(none - at_full[-1])
    return [
        mean_row(at_full, plan.bars["convert_timbre"]),
        mean_row(drops, plan.bars["convert_timbre_drop"]),
        mean_row(at_none, what="convert: timbre similarity at intensity 0"),
    ]


def _floor(plan: Plan, studio: Studio, every: Sequence[Source]) -> list[Row]:
    """What no emotion at all changes, against mel and vocoder alone."""
    bench = plan.bench
    spectral, melodic = [], []
    for source in bench.each(every, "intensity 0"):
        plain, none = studio.plain(source), studio.take(source, "neutral", 0.0)
        spectral.append(log_spectral_db(*plain.read(), *none.read()))
        melodic.append(pitch_difference(bench.pitch_track(plain), bench.pitch_track(none))[0])
    return [
        mean_row(spectral, what="convert: log-spectral distance of intensity 0 to the vocoder's copy", unit="dB"),
        mean_row(melodic, what="convert: pitch RMSE of intensity 0 to the vocoder's copy", unit="st"),
    ]


def log_spectral_db(a: np.ndarray, rate_a: int, b: np.ndarray, rate_b: int) -> float:
    """Root mean square difference of two log spectra over the louder frames, in 26 bands; decibels."""
    from emovoice.evaluation.judges import at_16k

    one, other = at_16k(a, rate_a), at_16k(b, rate_b)
    count = min(len(one), len(other))
    bands = [_bands_db(part[:count]) for part in (one, other)]
    loud = bands[0].max(1) > bands[0].max() + _FLOOR_DB + 20
    return float(np.sqrt(np.mean((bands[0][loud] - bands[1][loud]) ** 2)))


def _bands_db(samples: np.ndarray) -> np.ndarray:
    """(N, 26) power of mel bands, at most 60 dB below the loudest."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 256), 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = (257 * (10 ** (np.linspace(0.0, 1.0, 28)) - 1) / 9).astype(int)
    bands = np.stack([power[:, a : max(b, a + 1)].mean(1) for a, b in zip(edges[:-2], edges[2:])], 1)
    db = 10 * np.log10(bands + 1e-20)
    return np.maximum(db, db.max() + _FLOOR_DB)


def _lengths(plan: Plan, studio: Studio, every: Sequence[Source]) -> list[Row]:
    bench, met = plan.bench, []
    for index, source in enumerate(bench.each(every, "lengths")):
        own = bench.seconds(studio.source(source))
        for factor in LENGTHS:
            asked = round(own * factor, 3)
            emotion = plan.emotions[index % len(plan.emotions)]
            take = studio.take(source, emotion, 1.0, duration_s=asked)
            met.append(float(abs(bench.seconds(take) - asked) <= _TOLERANCE_S))
        kept = studio.take(source, plan.emotions[0], 1.0, tempo=False)
        met.append(float(bench.samples(kept) == bench.samples(studio.source(source))))
    return [mean_row(met, plan.bars["convert_length"])]


def _speed(plan: Plan, studio: Studio, every: Sequence[Source]) -> Row:
    """In this process, with the threads it has; the model is warm."""
    factors = []
    for source in every[:5]:
        begun = time.perf_counter()
        made = studio.engine.convert(source.path, plan.emotions[0], 1.0)
        factors.append((time.perf_counter() - begun) / (len(made.samples) / made.rate))
    return mean_row(factors, plan.bars["convert_speed"])


def solvers(plan: Plan) -> list[Row]:
    """Each solver at each number of steps: distance to 60 steps, words, likeness, and time."""
    from emovoice.conversion.converter import Decoding

    every = sources(plan)
    studio, bench, rows = Studio(plan, every[0]), plan.bench, []
    asked = [(source, plan.emotions[i % len(plan.emotions)]) for i, source in enumerate(every)]
    best = [studio.take(s, e, 1.0, decoding=Decoding("dpm", _REFERENCE_STEPS)) for s, e in asked]
    for solver in ("dpm", "ddim", "ml"):
        for steps in STEPS:
            how, seconds = Decoding(solver, steps), 0.0
            begun = time.perf_counter()
            made = studio.engine.convert(asked[0][0].path, asked[0][1], 1.0, tempo=True, decoding=how)
            seconds = (time.perf_counter() - begun) / (len(made.samples) / made.rate)
            takes = [studio.take(s, e, 1.0, decoding=how) for s, e in bench.each(asked, f"{solver} {steps}")]
            far = [log_spectral_db(*a.read(), *b.read()) for a, b in zip(takes, best, strict=True)]
            words = [bench.word_errors(take) for take in takes]
            alike = [cosine(bench.embedding(t), bench.embedding(studio.source(s)))
                     for t, (s, _) in zip(takes, asked, strict=True)]
            wrong = sum(a for a, _ in words) / max(sum(b for _, b in words), 1)
            note = f"WER {100 * wrong:.1f} %, similarity {np.mean(alike):.3f}, real-time factor {seconds:.2f}"
            rows.append(mean_row(far, what=f"solvers: {solver}, {steps} steps, distance to 60 of dpm", unit="dB",
                                 note=note))
    return rows


def tradeoff(plan: Plan) -> list[Row]:
    """What more emotion costs: by `keep` and guidance the range of strength, words and likeness at intensity 1."""
    from emovoice.conversion.converter import Decoding

    every = sources(plan)
    studio, fitted, bench, rows = Studio(plan, every[0]), fit_judge(plan), plan.bench, []
    asked = [(s, e) for s in every for e in plan.emotions]
    for keep in KEPT:
        for guidance in GUIDED:
            how = Decoding(keep=keep, guidance=(1.0, guidance))
            ranges, words, alike = [], [], []
            for source, emotion in bench.each(asked, f"keep {keep:g}, guidance {guidance:g}"):
                k = EMOTIONS.index(emotion)
                take = studio.take(source, emotion, 1.0, decoding=how)
                heard = fitted.judge.strengths(np.stack([studio.difference(source, take), studio.difference(
                    source, studio.take(source, emotion, 0.0, decoding=how))]))[:, k]
                ranges.append(float((heard[0] - heard[1]) / fitted.full[k]))
                words.append(bench.word_errors(take))
                alike.append(cosine(bench.embedding(take), bench.embedding(studio.source(source))))
            wrong = sum(a for a, _ in words) / max(sum(b for _, b in words), 1)
            what = f"tradeoff: range of strength, keep {keep:g}, guidance of emotion {guidance:g}"
            note = f"WER {100 * wrong:.1f} %, similarity {np.mean(alike):.3f}"
            rows.append(mean_row(ranges, what=what, unit="%", note=note))
    return rows
