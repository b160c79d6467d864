"""Casts: who speaks whom, and references cut out of the original."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from emovoice.dubbing import cast as casts
from emovoice.dubbing.cast import Cast, Member, emotion_fields, load, parse, voice_key
from emovoice.dubbing.cues import Cue, Key, Timeline
from emovoice.dubbing.directions import direct
from emovoice.dubbing.suggest import stretches, suggest
from emovoice.emotion.names import EMOTIONS, NEUTRAL
from emovoice.emotion.names import parse as weights
from emovoice.errors import AudioError, InputError
from emovoice.testing.meters import RATE, make_video


def test_a_cast_file(tmp_path: Path) -> None:
    (tmp_path / "cast.yaml").write_text(
        "characters:\n  ANNA: {voice: anna.wav, emotion: calm, intensity: 0.3, accent: gb, gain_db: -2}\n"
        "  BERT: george\n"
        "default: {voice: bella, personality: dry}\n"
    )
    cast = load(tmp_path / "cast.yaml")
    assert cast.member("anna") == Member(str(tmp_path / "anna.wav"), "calm", 0.3, None, "gb", -2.0)
    assert cast.member("BERT").voice == "george" and cast.member("CARL") == Member("bella", personality="dry")
    assert cast.knows("Bert") and not cast.knows("CARL")


@pytest.mark.parametrize(
    "found",
    [
        {"people": {}},
        {"characters": ["A"]},
        {"characters": {"A": 5}},
        {"characters": {"A": {"vioce": "x"}}},
        {"characters": {"A": {"emotion": "hapy"}}},
        {"characters": {"A": {"intensity": 2}}},
        {"characters": {"A": {"accent": "fr"}}},
        {"characters": {"A": {"gain_db": "loud"}}},
        {"characters": {"A": {"gain_db": 400}}},
    ],
)
def test_a_cast_that_cannot_be_used(found: dict) -> None:
    with pytest.raises(InputError):
        parse(found)


def test_the_key_of_a_voice_follows_its_content(tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    soundfile.write(recording, np.zeros(100), 24_000)
    first = voice_key(Member(str(recording)), "sha")
    renamed = recording.rename(tmp_path / "b.wav")
    assert voice_key(Member(str(renamed)), "sha") == first
    soundfile.write(renamed, np.ones(100) / 2, 24_000)
    assert voice_key(Member(str(renamed)), "sha") != first
    assert voice_key(Member("bella"), "sha") == voice_key(Member("bella"), "other model")
    assert voice_key(Member("bella"), "sha") != voice_key(Member("bella", accent="gb"), "sha")
    for name in ("nobody_of_that_name", str(tmp_path / "missing.wav")):
        with pytest.raises(InputError):
            voice_key(Member(name), "sha")


# ---- which emotion -------------------------------------------------------------------------------

CALM = Member(emotion="calm", intensity=0.4)
HEARD = weights("sad", 0.5)


@pytest.mark.parametrize(
    ("cue", "member", "measured", "expected", "source"),
    [
        (Cue(1, 0, 9, "x", emotion="angry"), CALM, HEARD, weights("angry"), "line"),
        (Cue(1, 0, 9, "x", emotion="angry", intensity=0.2), CALM, HEARD, weights("angry", 0.2), "line"),
        (Cue(1, 0, 9, "x"), CALM, HEARD, HEARD, "original"),
        (Cue(1, 0, 9, "x", intensity=1.0), CALM, HEARD, weights("sad", 1.0), "original"),
        (Cue(1, 0, 9, "x"), CALM, None, weights("calm", 0.4), "cast"),
        (Cue(1, 0, 9, "x", intensity=0.9), CALM, None, weights("calm", 0.9), "cast"),
        (Cue(1, 0, 9, "x"), Member(), None, NEUTRAL, "neutral"),
        (Cue(1, 0, 9, "x", emotion="neutral"), CALM, HEARD, NEUTRAL, "line"),
    ],
)
def test_the_users_own_fields_win(
    cue: Cue, member: Member, measured: tuple | None, expected: tuple, source: str
) -> None:
    found = direct(cue, member, measured)
    assert found.weights == pytest.approx(expected) and found.source == source


def test_a_curve_becomes_its_mean_and_says_so() -> None:
    found = direct(Cue(1, 0, 2000, "x", curve=(Key(0, "sad", 0.0), Key(2, "sad", 1.0))), CALM)
    assert found.weights == pytest.approx(weights("sad", 0.5)) and found.remarks[0].kind == "curve"
    steady = direct(Cue(1, 0, 2000, "x", curve=(Key(0, "sad", 0.6),)), CALM)
    assert steady.weights == pytest.approx(weights("sad", 0.6)) and steady.remarks == ()


def test_words_are_understood() -> None:
    told = direct(Cue(1, 0, 9, "x", instruction="furious"), CALM)
    assert EMOTIONS[int(np.argmax(told.weights))] == "angry" and told.source == "line"
    softer = direct(Cue(1, 0, 9, "x", instruction="furious", intensity=0.2), CALM)
    assert sum(softer.weights) == pytest.approx(0.2, abs=0.02)
    read = direct(Cue(1, 0, 9, "I am so scared of the dark.", emotion="auto"), CALM)
    assert EMOTIONS[int(np.argmax(read.weights))] == "afraid"
    assert emotion_fields(Cue(1, 0, 9, "x"), Member(personality="dry")) == (None, None, "dry")


# ---- references out of the original --------------------------------------------------------------


def test_stretches_are_of_one_character_alone() -> None:
    cues = [
        Cue(1, 0, 1000, "x", "A"),
        Cue(2, 900, 2000, "x", "B"),
        Cue(3, 3000, 5000, "x", "A"),
        Cue(4, 6000, 6100, "x", "A"),
        Cue(5, 7000, 9000, "x", "A"),
    ]
    found = stretches(cues, "A", 8 * RATE)
    assert [cue for *_, cue in found] == ["3", "5"]
    assert found[1][:2] == (7 * RATE, 8 * RATE)


def test_suggested_references(tmp_path: Path) -> None:
    pytest.importorskip("av")
    random = np.random.default_rng(0)
    sound = np.zeros((8 * RATE, 1), np.float32)
    sound[RATE : 3 * RATE, 0] = 0.3 * np.sin(np.arange(2 * RATE) * 2 * np.pi * 200 / RATE)
    sound[4 * RATE : 8 * RATE, 0] = 0.1 * random.standard_normal(4 * RATE)
    video = make_video(tmp_path / "in.mkv", 8, sound=sound)
    timeline = Timeline(
        (
            Cue(1, 1000, 3000, "x", "ANNA"),
            Cue(2, 4000, 8000, "y", "Bert Ü/.."),
            Cue(3, 0, 900, "z", "C"),
            Cue(4, 0, 900, "z"),
        )
    )
    made, remarks = suggest(str(video), timeline, tmp_path / "cast.yaml")
    assert [(one.character, one.path is not None, one.cues) for one in made] == [
        ("ANNA", True, ("1",)),
        ("Bert Ü/..", True, ("2",)),
        ("C", False, ()),
    ]
    assert {remark.message.split(":")[0] for remark in remarks} == {"ANNA", "C"}
    cast = load(tmp_path / "cast.yaml")
    anna, _ = soundfile.read(cast.member("ANNA").voice)
    peak = np.argmax(np.abs(np.fft.rfft(anna[: 2 * RATE]))) / 2
    assert peak == pytest.approx(200, abs=2), "it is ANNA's own stretch"
    assert Path(cast.member("Bert Ü/..").voice).parent == tmp_path / "cast.references"
    assert cast.member("C").voice == "default"
    with pytest.raises(InputError, match="names a character"):
        suggest(str(video), Timeline((Cue(1, 0, 9, "x"),)), tmp_path / "b.yaml")
    with pytest.raises(AudioError, match="no sound"):
        suggest(str(make_video(tmp_path / "mute.mp4", 1)), timeline, tmp_path / "b.yaml")


def test_the_default_cast_is_the_default_voice() -> None:
    assert Cast().member("ANYBODY").voice == casts.DEFAULT_VOICE
