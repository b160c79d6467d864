"""The published pipeline from text and recordings to a wave, on small random models in the published layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from emovoice import shared as shared_module
from emovoice.audio import Audio
from emovoice.cli import main
from emovoice.engine import Engine
from emovoice.errors import EmovoiceError, InputError, LengthError, ModelError
from emovoice.hub import convert
from emovoice.indextts import loading
from emovoice.indextts import pipeline as pipeline_module
from emovoice.indextts.options import Options, Placement
from emovoice.indextts.pipeline import IndexPipeline, Job
from emovoice.indextts.qwen import EmotionReader
from emovoice.pipelines import EmotionRequest
from emovoice.voice import Voice
from tests.indextts import folders

RATE = 22_050
PROMPTS = Path(__file__).resolve().parents[2] / "emovoice" / "evaluation" / "data" / "prompts"
TEXT = "Hello world. How are you?"
RELEASES = ("indextts-2", "indextts-2.5")
QUICK = {"max_codes": 40, "solver_steps": 2}
Maker = Callable[..., Engine]


def recording(name: str, seconds: float = 1.5) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(PROMPTS / f"{name}.flac", dtype="float32")
    return samples[rate : rate + int(seconds * rate)], rate


ANNA, BERT = recording("af_bella"), recording("am_eric", 2.0)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both releases, as published and converted."""
    home = tmp_path_factory.mktemp("models")
    for release in RELEASES:
        convert.convert(folders.write(home / release, release))
    return {release: home / release for release in RELEASES}


@pytest.fixture(scope="session")
def load_once() -> Callable[..., loading.Modules]:
    return cache(loading.load)


@pytest.fixture
def make(homes: dict[str, Path], load_once: Any, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Engines with options, on modules that are loaded once."""
    monkeypatch.setattr(pipeline_module, "load", load_once)
    monkeypatch.setattr(shared_module, "_shared", {})

    def engine(release: str = "indextts-2", **options: Any) -> Engine:
        return Engine(str(homes[release]), options=Options(**{**QUICK, **options}))

    return engine


def same(one: Audio, other: Audio) -> bool:
    return np.array_equal(one.samples, other.samples)


def scripted(engine: Engine, answer: Callable[[str], str]) -> list[str]:
    """Put a script in place of the emotion model; the texts that it was asked about."""
    asked: list[str] = []

    def answered(text: str) -> str:
        asked.append(text)
        return answer(text)

    engine.pipeline._reader = EmotionReader(answered)
    return asked


# ---- text and two recordings in, a wave out ---------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_speaks(make: Maker, release: str) -> None:
    engine = make(release)
    request = {"timbre": ANNA, "emotion_audio": BERT, "intensity": 0.6}
    audio = engine.synthesize(TEXT, **request, seed=3)
    assert audio.rate == RATE and audio.samples.dtype == np.float32 and np.isfinite(audio.samples).all()
    assert audio.duration_s > 0.3 and np.abs(audio.samples).max() > 1e-4
    chunks = list(engine.stream(TEXT, **request, seed=3))
    assert len(chunks) == 3 and not chunks[1].any() and len(chunks[1]) == 0.2 * RATE
    assert np.array_equal(np.concatenate(chunks), audio.samples)
    assert same(audio, make(release).synthesize(TEXT, **request, seed=3))
    assert not same(audio, engine.synthesize(TEXT, **request, seed=4))
    assert not same(audio, engine.synthesize(TEXT, BERT, emotion_audio=BERT, intensity=0.6, seed=3))


EVERY = [
    ({}, {"emotion": "angry"}), ({}, {"emotion": "angry", "intensity": 0.2}),
    ({}, {"emotion": [0, 0, 0.3, 0.2, 0, 0, 0, 0.1]}), ({}, {"emotion_audio": BERT}),
    ({}, {"emotion_audio": BERT, "intensity": 0.5}), ({"calibrated": False}, {"emotion": "angry"}),
    ({"random_rows": True}, {"emotion": "angry"}), ({"beams": 3}, {}), ({"sample": False}, {}),
    ({"temperature": 3.0, "top_p": 1.0}, {}), ({"top_k": 2}, {}), ({"repetition_penalty": 1.0}, {}),
    ({"positions": "upstream"}, {}), ({"solver_steps": 3}, {}), ({"guidance": 0.0}, {}), ({"gap_ms": 0}, {}),
    ({"frames_per_feature": 2.0}, {}), ({"prompt_s": 1.0}, {}), ({"max_tokens": 6}, {}),
    ({"merge_sentences": True}, {}),
    ({"length_tolerance": 0.0}, {"duration_s": 1.5}), ({"slot_order": "B"}, {"duration_s": 1.5}),
    ({"ask_length": False}, {"duration_s": 1.5}), ({}, {"duration_s": 1.5}),
]  # fmt: skip


def test_every_control_is_heard_and_repeatable(make: Maker) -> None:
    """On the release that has them all; no two of these sound the same."""
    heard: list[bytes] = [make().synthesize(TEXT, ANNA).samples.tobytes()]
    for options, request in EVERY:
        heard.append(make(**options).synthesize(TEXT, ANNA, **request).samples.tobytes())
    doubles = [EVERY[i - 1] for i, one in enumerate(heard) if one in heard[:i]]
    assert doubles == []
    options, request = EVERY[7]
    assert make(**options).synthesize(TEXT, ANNA, **request).samples.tobytes() == heard[8]


def test_upstream_and_other_positions_give_codes_of_their_own_latents(make: Maker) -> None:
    """Latents kept from decoding are those of a second pass, which upstream positions make."""
    for positions in ("trained", "upstream"):
        pipeline = make(positions=positions).pipeline
        job = Job(pipeline.read("Hello.")[0][0], *speaker(pipeline), seed=1)
        (written,) = pipeline._codes([job], [job.manner.vector], [None])
        t2s = pipeline.modules.t2s
        rows = t2s.prompt(job.speaker.rows, job.manner.vector, torch.tensor(job.line.segment.ids))
        again = t2s.latents(rows, written.codes[None])[0]
        assert len(written.codes) and torch.allclose(written.latents, again, atol=1e-4), positions


def speaker(pipeline: IndexPipeline, source: Any = ANNA, **asked: Any) -> tuple[Any, Any]:
    heard = pipeline.hear(source)
    voice = Voice("v", heard.timbre, heard.emotion, recording=heard.recording, recording_hz=heard.recording_hz)
    who = pipeline.who(voice)[0]
    return who, pipeline.how(who, EmotionRequest(**asked))[0]


@pytest.mark.parametrize("release", RELEASES)
def test_a_prompt_is_read_once_and_does_not_grow(
    make: Maker, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a minute as much is kept as of its first 15 s; a voice that was there before costs no encoder."""
    engine, (samples, rate) = make(release), recording("af_bella", 3.0)
    long = engine.voice_from((np.tile(samples, 20), rate))
    assert long.recording is not None and len(long.recording) == 15 * RATE
    who, short = engine.pipeline.who(long)[0], engine.pipeline.who(engine.voice_from(ANNA))[0]
    assert who.prompt.mel.shape[-1] <= 15 * RATE / 256 + 1 and who.rows.shape == short.rows.shape
    monkeypatch.setattr(pipeline_module.prompts, "encoded", None)
    assert engine.pipeline.who(long)[0] is who and engine.synthesize("Hello.", long).duration_s > 0


# ---- alone and in a batch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("beams", [1, 3])
def test_alone_and_in_a_batch(make: Maker, release: str, beams: int) -> None:
    pipeline = make(release, beams=beams).pipeline
    lines = pipeline.read("Hello. [pause:0.3s] How are you? Hello world, it is a test!")[0]
    anna, bert = speaker(pipeline), speaker(pipeline, BERT, weights=(0, 0.5, 0, 0, 0, 0, 0, 0))
    jobs = [Job(lines[0], *anna, None, 5), Job(lines[1], *bert, 30_001, 6), Job(lines[2], *anna, 20_000, 7),
            Job(lines[1], *bert, None, 8)]  # fmt: skip
    together = pipeline.speak_batch(jobs)
    for job, spoken in zip(jobs, together, strict=True):
        (alone,) = pipeline.speak_batch([job])
        assert alone.codes == spoken.codes and alone.warnings == spoken.warnings
        assert alone.samples.shape == spoken.samples.shape
        assert np.allclose(alone.samples, spoken.samples, atol=2e-4)
    assert [len(spoken.samples) for spoken in together[1:3]] == [30_001, 20_000]


# ---- lengths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("duration_s", [1.0, 1.77777, 3.0])
def test_the_length_asked_for_is_met_to_the_sample(make: Maker, release: str, duration_s: float) -> None:
    text = f"Hello world.{' [pause:0.25s]' if duration_s > 1 else ''} How are you?"
    audio = make(release).synthesize(text, ANNA, duration_s=duration_s)
    assert len(audio.samples) == round(duration_s * RATE) and np.isfinite(audio.samples).all()


@pytest.mark.parametrize(("tolerance", "beams"), [(0.0, 1), (0.2, 1), (0.2, 3), (0.0, 3)])
def test_codes_come_as_near_as_is_tolerated(make: Maker, tolerance: float, beams: int) -> None:
    pipeline = make(length_tolerance=tolerance, beams=beams, max_codes=100).pipeline
    line, (who, how) = pipeline.read("Hello world, how are you?")[0][0], speaker(pipeline)
    for seed, samples in enumerate((15_000, 22_050, 30_333)):
        (spoken,) = pipeline.speak_batch([Job(line, who, how, samples, seed)])
        wanted = round(samples / RATE * 50)
        assert abs(len(spoken.codes) - wanted) <= round(tolerance * wanted)
        assert len(spoken.samples) == samples and not spoken.warnings


def test_without_a_slot_the_length_regulator_does_it_all(make: Maker) -> None:
    pipeline = make("indextts-2.5").pipeline
    line, (who, how) = pipeline.read("Hello world.")[0][0], speaker(pipeline)
    free, asked = pipeline.speak_batch([Job(line, who, how), Job(line, who, how, 40_000)])
    assert free.codes == asked.codes and len(asked.samples) == 40_000
    assert len(free.samples) == 256 * int(1.72 * 2 * len(free.codes))


def test_a_pace_that_nobody_can_speak(make: Maker) -> None:
    with pytest.raises(LengthError):
        make().synthesize(TEXT, ANNA, duration_s=0.1)
    pipeline = make().pipeline
    line = pipeline.read("Hello. [pause:2s]")[0][0]
    with pytest.raises(LengthError, match="silences"):
        pipeline.speak_batch([Job(line, *speaker(pipeline), 22_050)])


def test_accents_play_no_part(make: Maker) -> None:
    engine = make()
    british = engine.synthesize("Hello.", ANNA, accent="gb")
    assert same(british, engine.synthesize("Hello.", ANNA)) and any("no accents" in text for text in british.warnings)


def test_what_does_not_come_to_an_end_is_told(make: Maker) -> None:
    audio = make(max_codes=2).synthesize("Hello world, how are you?", ANNA)
    assert any("did not come to an end within 2 codes" in warning for warning in audio.warnings)
    strained = make(max_codes=10).synthesize("Hello world, how are you?", ANNA, duration_s=1.5)
    assert any("stretched" in warning for warning in strained.warnings)


def test_silences_are_where_they_were_asked_for(make: Maker) -> None:
    audio = make().synthesize("[pause:0.5s] Hello. [pause:1s] How are you?", ANNA)
    assert not audio.samples[: RATE // 2].any() and audio.samples[RATE // 2 : RATE].any()
    zeros = np.diff(np.flatnonzero(np.concatenate([[1], audio.samples, [1]]))).max()
    assert zeros >= 1.2 * RATE  # the pause, and the gap between two lines


# ---- emotions ---------------------------------------------------------------------------------------------


def test_neutral_is_the_voice_s_own_emotion_and_a_recording_lies_beyond_it(make: Maker) -> None:
    pipeline = make().pipeline
    who, neutral = speaker(pipeline)
    assert torch.equal(neutral.vector, who.own)
    full, half, none = (pipeline.how(who, EmotionRequest(recording=BERT, intensity=share))[0].vector
                        for share in (1.0, 0.5, 0.0))  # fmt: skip
    assert torch.equal(none, who.own) and torch.allclose(half, (full + who.own) / 2, atol=1e-5)
    assert not torch.allclose(full, who.own)


def test_emotion_in_words(make: Maker) -> None:
    whole, each = make(), make(emotion_by="sentence")
    answers = {"Hello world.": "sad", "How are you?": "happy"}
    asked = scripted(whole, lambda text: "angry")
    audio = whole.synthesize(TEXT, ANNA, instruction="as if betrayed")
    assert asked == ["as if betrayed"] and not same(audio, whole.synthesize(TEXT, ANNA))
    assert not same(audio, whole.synthesize(TEXT, ANNA, instruction="as if betrayed", intensity=0.2))
    whole.synthesize(TEXT, ANNA, emotion="auto")
    assert asked[-1] == TEXT
    asked = scripted(each, lambda text: answers[text])
    audio = each.synthesize(TEXT, ANNA, emotion="auto")
    assert asked == list(answers)
    first = audio.samples[: len(each.synthesize("Hello world.", ANNA, emotion="auto").samples)]
    assert np.array_equal(first, each.synthesize("Hello world.", ANNA, emotion="auto").samples)


def test_warnings_of_the_emotion_model_reach_the_result(make: Maker) -> None:
    engine = make(emotion_by="sentence")
    scripted(engine, lambda text: "I would rather not say")
    assert any("calm was taken" in warning for warning in engine.synthesize(TEXT, ANNA, emotion="auto").warnings)


def test_without_the_emotion_model(make: Maker) -> None:
    with pytest.raises(ModelError, match="emotion model is missing"):
        make().synthesize(TEXT, ANNA, instruction="sad")


@pytest.mark.parametrize("second", [{"emotion_audio": BERT}, {"instruction": "sad"}])
def test_an_emotion_is_given_once(make: Maker, second: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="not both"):
        make().synthesize(TEXT, ANNA, emotion="sad", **second)


# ---- voices -----------------------------------------------------------------------------------------------


def test_a_voice_is_kept_with_its_recording(make: Maker, homes: dict[str, Path], tmp_path: Path) -> None:
    engine = make()
    voice = Voice.from_audio(ANNA, name="anna", model=str(homes["indextts-2"]))
    assert voice.recording is not None and voice.recording_hz == RATE and voice.model == "indextts-2"
    again = Voice.load(voice.save(tmp_path / "anna.safetensors"))
    assert again == voice == engine.voice(ANNA)
    direct = engine.synthesize("Hello.", ANNA)
    assert same(direct, engine.synthesize("Hello.", again))
    assert same(direct, engine.synthesize("Hello.", str(tmp_path / "anna.safetensors")))


def test_a_voice_without_its_recording(make: Maker) -> None:
    for timbre in (None, Voice("mini", np.zeros(192), np.zeros(256), model="mini")):
        with pytest.raises(ModelError, match=r"no recording.*Give a recording"):
            make().synthesize(TEXT, timbre)


# ---- where and how precisely ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "place"), [("indextts-2", "bf16"), ("indextts-2.5", "bf16,s2mel=fp32"), ("indextts-2", "t2s=int8")]
)
def test_precisions(make: Maker, release: str, place: str) -> None:
    engine = make(release, placement=Placement.parse(place))
    audio = engine.synthesize("Hello world.", ANNA, emotion="sad", duration_s=0.8)
    assert len(audio.samples) == round(0.8 * RATE) and np.isfinite(audio.samples).all() and audio.samples.any()
    assert same(audio, engine.synthesize("Hello world.", ANNA, emotion="sad", duration_s=0.8))
    if "bf16" in place:
        assert engine.pipeline.modules.t2s.text_embedding.weight.dtype == torch.bfloat16


# ---- by name, and on the command line ---------------------------------------------------------------------


def test_by_name_on_the_command_line(
    make: Maker, homes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("EMOVOICE_MODELS", str(homes["indextts-2"].parent))
    monkeypatch.chdir(tmp_path)
    soundfile.write("prompt.wav", *ANNA)
    options = ["--option", "max_codes=40", "--option", "solver_steps=2", "--option", "beams=2", "--seed", "4"]
    common = ["--model", "indextts-2", "--voice", "prompt.wav", *options]
    assert main(["say", "Hello world.", "-o", "a.wav", "--duration", "0.8", "--emotion", "sad", *common]) == 0
    assert soundfile.info("a.wav").frames == round(0.8 * RATE) and soundfile.info("a.wav").samplerate == RATE
    assert main(["say", "Hello world.", "-o", "b.wav", *common[:4], "--option", "beams=x"]) == 2
    assert main(["voices", "make", "prompt.wav", "-o", "v.safetensors", "--model", "indextts-2"]) == 0
    assert main(["info", "--model", "indextts-2", "--json"]) == 0
    assert '"t2s"' in capsys.readouterr().out
    monkeypatch.setenv("EMOVOICE_MODELS", str(tmp_path))
    assert main(["say", "Hello.", "-o", "c.wav", *common]) == 0  # the engine is shared


# ---- folders that are not as they should be ---------------------------------------------------------------


def damaged(homes: dict[str, Path], tmp_path: Path, harm: Callable[[Path], object]) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(homes["indextts-2"], folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    harm(folder)
    return folder


def rewritten(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.unlink()
    path.write_text(text.replace(old, new))


HARMS: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: (f / "config.yaml").unlink(), "configuration cannot be read.*pull"),
    (lambda f: rewritten(f / "config.yaml", "gpt:", "gpt: ["), "configuration cannot be read"),
    (lambda f: rewritten(f / "config.yaml", "model_dim: 64", "model_dim: 96"), "do not fit"),
    (lambda f: rewritten(f / "config.yaml", "\n  heads: 2", "\n  heads: 7"), "describes no t2s"),
    (lambda f: rewritten(f / "config.yaml", "conformer_perceiver", "perceiver"), "configuration cannot be read"),
    (lambda f: rewritten(f / "config.yaml", "number_text_tokens: 200", "number_text_tokens: 20"), "vocabulary has"),
    (lambda f: rewritten(f / "config.yaml", "semantic_codec", "codec"), "section of the configuration is missing"),
    (lambda f: (f / "bpe.model").unlink(), "no published model"),
    (lambda f: (f / "converted/t2s.safetensors").unlink(), "gpt.pth is not converted yet.*models convert"),
    (lambda f: [(f / name).unlink() for name in ("converted/s2mel.safetensors", "s2mel.pth")], "s2mel.pth is missing"),
    (lambda f: (f / "hf_cache/bigvgan/config.json").unlink(), "configuration cannot be read"),
    (lambda f: (f / "hf_cache/w2v-bert-2.0/config.json").unlink(), "configuration cannot be read"),
    (lambda f: (f / "hf_cache/w2v-bert-2.0/model.safetensors").unlink(), "is missing.*models pull"),
]


@pytest.mark.parametrize("number", range(len(HARMS)))
def test_a_damaged_folder(homes: dict[str, Path], tmp_path: Path, number: int) -> None:
    harm, what = HARMS[number]
    with pytest.raises(ModelError, match=what):
        Engine(str(damaged(homes, tmp_path, harm)))


def test_wrong_requests_to_models(homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="device cannot be used"):
        Engine(str(homes["indextts-2"]), "nonsense")
    with pytest.raises(InputError, match="published models"):
        Engine("debug", options=Options())
    monkeypatch.setenv("EMOVOICE_MODELS", str(tmp_path))
    with pytest.raises(EmovoiceError, match="models pull"):
        Engine("indextts-2.5")


def test_published_models_say_that_they_do_not_convert(make: Maker) -> None:
    with pytest.raises(ModelError, match="do not convert"):
        make().convert(np.zeros(24_000, np.float32), "sad")
