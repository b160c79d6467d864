"""Timelines: every format round-trips, and the usual defects of real files give a remark and a result."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.dubbing import timelines
from emovoice.dubbing.cues import Cue, Key, Timeline
from emovoice.emotion.names import EMOTIONS
from emovoice.errors import EmovoiceError, InputError

ENDINGS = (".srt", ".vtt", ".ass", ".json", ".jsonl", ".csv", ".tsv", ".otio")
PLAIN = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:03,000 --> 00:00:04,000\nAnd you?\n"


def need(ending: str) -> None:
    if ending in (".ass", ".ssa"):
        pytest.importorskip("pysubs2")
    if ending == ".otio":
        pytest.importorskip("opentimelineio")


def read(tmp_path: Path, content: str | bytes, ending: str = ".srt", **options: object) -> Timeline:
    path = tmp_path / f"timeline{ending}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return timelines.read(path, **options)  # type: ignore[arg-type]


def kinds(found: Timeline) -> list[str]:
    return [remark.kind for remark in found.remarks]


# ---- round trips ---------------------------------------------------------------------------------

words = st.lists(st.from_regex(r"[a-z]{1,8}[,.!?]?", fullmatch=True), min_size=1, max_size=6).map(" ".join)
weights = st.tuples(*[st.integers(0, 12).map(lambda n: n / 100)] * 8).map(lambda w: ",".join(f"{x:g}" for x in w))
shares = st.integers(0, 100).map(lambda n: n / 100)
curves = st.lists(st.tuples(st.sampled_from(EMOTIONS), shares), max_size=3).map(
    lambda rows: tuple(Key(0.5 * at, name, much) for at, (name, much) in enumerate(rows))
)


@st.composite
def cue_lists(draw: Callable) -> tuple[Cue, ...]:
    cues, at_ms = [], 0
    for number in range(1, draw(st.integers(1, 5)) + 1):
        start_ms = at_ms + 10 * draw(st.integers(0, 300))
        at_ms = start_ms + 10 * draw(st.integers(1, 300))
        cues.append(
            Cue(
                number,
                start_ms,
                at_ms,
                draw(words),
                draw(st.sampled_from(["", "ANNA", "Bert", "SPEAKER_01"])),
                draw(st.none() | st.just("auto") | st.sampled_from(EMOTIONS) | weights),
                draw(st.none() | shares),
                draw(st.none() | words),
                draw(curves),
            )
        )
    return tuple(cues)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=40, deadline=None)
@given(cues=cue_lists())
def test_what_is_written_is_read_again(
    ending: str, cues: tuple[Cue, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    need(ending)
    path = tmp_path_factory.mktemp("timelines") / f"cues{ending}"
    timelines.write(Timeline(cues), path)
    assert timelines.read(path).cues == cues


def test_an_unknown_ending_and_a_missing_file(tmp_path: Path) -> None:
    for name in ("film.mov", "film.srt"):
        with pytest.raises(InputError):
            timelines.read(tmp_path / name)
    with pytest.raises(InputError, match="plain file"):
        (tmp_path / "folder.srt").mkdir()
        timelines.read(tmp_path / "folder.srt")


# ---- defects of real files -----------------------------------------------------------------------


def test_a_plain_file_has_nothing_to_remark(tmp_path: Path) -> None:
    found = read(tmp_path, PLAIN)
    assert found.remarks == ()
    assert [(cue.start_ms, cue.end_ms, cue.text) for cue in found.cues] == [
        (1000, 2500, "Hello there."),
        (3000, 4000, "And you?"),
    ]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("bom", b"\xef\xbb\xbf" + PLAIN.encode()),
        ("line-ends", PLAIN.replace("\n", "\r\n").encode()),
        ("line-ends", PLAIN.replace("\n", "\r").encode()),
        ("utf-16", PLAIN.encode("utf-16")),
        ("utf-16", PLAIN.encode("utf-16-le")),
        ("utf-16", PLAIN.encode("utf-16-be")),
        ("utf-32", PLAIN.encode("utf-32")),
        ("counters", re.sub(r"^\d\n", "", PLAIN, flags=re.M).encode()),
        ("nul", PLAIN.replace("there", "th\0ere").encode()),
    ],
)
def test_odd_bytes_read_like_plain_ones(kind: str, content: bytes, tmp_path: Path) -> None:
    found = read(tmp_path, content)
    assert found.cues == read(tmp_path, PLAIN).cues
    assert kinds(found) == [kind]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_latin_1(encoding: str, tmp_path: Path) -> None:
    found = read(tmp_path, PLAIN.replace("Hello there", "Où est le café").encode(encoding))
    assert found.cues[0].text == "Où est le café." and kinds(found) == ["latin-1"]


def srt(*rows: tuple[str, str, str]) -> str:
    return "".join(f"{number}\n{start} --> {end}\n{text}\n\n" for number, (start, end, text) in enumerate(rows, 1))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("overlap", srt(("00:00:01,000", "00:00:03,000", "One."), ("00:00:02,000", "00:00:04,000", "Two."))),
        ("zero-length", srt(("00:00:01,000", "00:00:01,000", "One."), ("00:00:02,000", "00:00:04,000", "Two."))),
        ("backwards", srt(("00:00:02,000", "00:00:01,000", "One."), ("00:00:03,000", "00:00:04,000", "Two."))),
        ("unsorted", srt(("00:00:05,000", "00:00:06,000", "Two."), ("00:00:01,000", "00:00:02,000", "One."))),
        ("long-stamps", srt(("100:00:01,000", "100:00:02,000", "One."), ("101:00:03,000", "101:00:04,000", "Two."))),
        ("blank", srt(("00:00:01,000", "00:00:02,000", ""), ("00:00:03,000", "00:00:04,000", "Two."))),
        ("repeated", srt(("00:00:01,000", "00:00:02,000", "One."), ("00:00:01,000", "00:00:02,000", "One."))),
        ("negative", srt(("-00:00:01,000", "00:00:02,000", "One."), ("00:00:03,000", "00:00:04,000", "Two."))),
    ],
)
def test_a_defect_is_remarked_and_both_cues_are_there(kind: str, content: str, tmp_path: Path) -> None:
    found = read(tmp_path, content)
    assert len(found.cues) == 2 and kind in kinds(found)
    assert [cue.start_ms for cue in found.cues] == sorted(cue.start_ms for cue in found.cues)


def test_a_hundred_hours_are_a_hundred_hours(tmp_path: Path) -> None:
    found = read(tmp_path, srt(("100:00:01,250", "100:00:02,000", "One.")))
    assert found.cues[0].start_ms == 100 * 3_600_000 + 1250
    assert (
        read(tmp_path, srt(("100:00:01,250", "100:00:02,000", "One.")), offset_ms=-360_000_000).cues[0].start_ms == 1250
    )


def test_twenty_thousand_cues(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        srt(
            *[
                (f"00:{i // 60 % 60:02d}:{i % 60:02d},000", f"00:{i // 60 % 60:02d}:{i % 60:02d},900", f"Line {i}.")
                for i in range(20_000)
            ]
        ),
    )
    assert len(found.cues) == 20_000 and "many" in kinds(found)
    assert len(found.remarks) < 10, "defects are told once, not once a cue"


def test_lines_that_are_numbers_are_spoken(tmp_path: Path) -> None:
    uncounted = "00:00:01,000 --> 00:00:02,000\nHow many?\n42\n\n00:00:03,000 --> 00:00:04,000\n1984\n"
    assert [cue.text for cue in read(tmp_path, uncounted).cues] == ["How many? 42", "1984"]
    counted = srt(("00:00:01,000", "00:00:02,000", "How many?\n42"), ("00:00:03,000", "00:00:04,000", "1984"))
    assert [cue.text for cue in read(tmp_path, counted).cues] == ["How many? 42", "1984"]


def test_stamps_of_many_kinds(tmp_path: Path) -> None:
    for times in (
        "0:0:1.5 --> 0:0:2.5",
        "00:00:01:500 --> 00:00:02:500",
        "00:01,500-->00:02,500",
        "00:00:01,500 --> 00:00:02,500 X1:10 X2:20",
    ):
        cue = read(tmp_path, f"1\n{times}\nHi.\n").cues[0]
        assert (cue.start_ms, cue.end_ms) == (1500, 2500), times


def test_webvtt_notes_styles_identifiers_and_voices(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "WEBVTT - a title\n\nSTYLE\n::cue { color: red }\n\nNOTE by me\n\nintro\n00:01.000 --> 00:02.000 align:start\n"
        "<v.loud Anna>Hello <c.red>there</c> &amp; <00:00:01.500><i>you</i>.</v>\n\nNOTE not\nspoken\n\noutro\n"
        "00:00:03.000 --> 00:00:04.000\n<v Anna>Hi.\n<v Bert>Ho.\n",
        ".vtt",
    )
    assert [(cue.id, cue.character, cue.text) for cue in found.cues] == [
        ("1", "Anna", "Hello there & you."),
        ("2.1", "Anna", "Hi."),
        ("2.2", "Bert", "Ho."),
    ]
    assert found.cues[1].end_ms == found.cues[2].start_ms == 3500


def test_ass_actors_effects_drawings_and_comments(tmp_path: Path) -> None:
    pytest.importorskip("pysubs2")
    head = (
        "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\n\n[Events]\n"
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    )
    found = read(
        tmp_path,
        head + "Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,not this\n"
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,Anna,0,0,0,emotion=angry|intensity=0.8,"
        "{\\an8}Get {\\i1}out{\\i0},\\Nnow!\n"
        "Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{\\p1}m 0 0 l 1 1{\\p0}\n"
        "Dialogue: 0,0:00:03.00,0:00:04.00,Default,Bert,0,0,0,Banner;5,{\\k20}So {\\k30}what\n",
        ".ass",
    )
    assert [(c.character, c.text, c.emotion, c.intensity) for c in found.cues] == [
        ("Anna", "Get out, now!", "angry", 0.8),
        ("Bert", "So what", None, None),
    ]
    assert "drawing" in kinds(found)


# ---- tables --------------------------------------------------------------------------------------


def test_json_in_the_ways_people_write_it(tmp_path: Path) -> None:
    rows = [
        {
            "start": 1.5,
            "end": "00:00:02,500",
            "line": "Hi.",
            "speaker": "SPEAKER_00",
            "emotion": {"happy": 0.5},
            "curve": [[0, "calm", 0.2], [1, "rage", 1]],
            "mood": 1,
        }
    ]
    for content in (rows, {"cues": rows}, {"segments": rows, "language": "en"}):
        found = read(tmp_path, json.dumps(content), ".json")
        assert found.cues[0] == Cue(
            1, 1500, 2500, "Hi.", "SPEAKER_00", "0.5,0,0,0,0,0,0,0", curve=(Key(0, "calm", 0.2), Key(1, "angry", 1.0))
        )
        assert kinds(found) == ["unknown-fields"]
    assert read(tmp_path, "start;end;speaker;text\n1,5;2;A;x\n".replace("1,5", "1.5"), ".csv").cues[0].start_ms == 1500


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        ("", ".json"),
        ("{}", ".json"),
        ("[]", ".json"),
        ("[1]", ".json"),
        ("[" * 100_000, ".json"),
        ("{", ".jsonl"),
        ('[{"start": NaN, "end": 1, "text": "x"}]', ".json"),
        ('[{"start": 1e999, "end": 1, "text": "x"}]', ".json"),
        ('[{"start": 1, "start": 2, "end": 3, "text": "x"}]', ".json"),
        ('[{"start": true, "end": 3}]', ".json"),
        ('[{"start": 1, "end": 2, "text": ["x"]}]', ".json"),
        ('[{"start": 1, "end": 2, "emotion": "hapy"}]', ".json"),
        ('[{"start": 1, "end": 2, "intensity": 2}]', ".json"),
        ('[{"start": 1, "end": 2, "curve": [[1], 2]}]', ".json"),
        ('[{"start": 1, "end": 2, "curve": "1 sad 1; 0 sad 1"}]', ".json"),
        ("text\nhello\n", ".csv"),
        ("", ".srt"),
        ("nothing here", ".srt"),
        ("WEBVTT\n\n", ".vtt"),
        ("[angry:2]", ".srt"),
        ("{}", ".otio"),
        ("x", ".otio"),
        ("1\n00:00:01,000 --> 00:00:02,000\n[angry:7] Hi.\n", ".srt"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(content: str, ending: str, tmp_path: Path) -> None:
    need(ending)
    with pytest.raises(InputError):
        read(tmp_path, content, ending)


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=300) | st.text(max_size=300).map(lambda t: (PLAIN + t).encode("utf-8", "replace")),
    ending=st.sampled_from([".srt", ".vtt", ".json", ".jsonl", ".csv"]),
)
def test_anything_gives_a_timeline_or_an_error_of_ours(
    content: bytes, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        found = read(tmp_path_factory.mktemp("fuzz"), content, ending)
    except EmovoiceError:
        return
    assert found.cues


# ---- the side file -------------------------------------------------------------------------------


def test_the_side_file_wins_and_defaults_fill(tmp_path: Path) -> None:
    content = srt(
        *[
            (f"00:00:0{i},000", f"00:00:0{i},900", f"[sad:0.3] Line {i}." if i == 1 else f"Line {i}.")
            for i in range(1, 6)
        ]
    )
    side = tmp_path / "side.yaml"
    side.write_text(
        "defaults: {emotion: calm}\ncues:\n  2: {emotion: angry, intensity: 0.8}\n  3-4: {character: ANNA}\n"
        "  9: {emotion: auto}\n"
    )
    found = timelines.with_side(read(tmp_path, content), timelines.read_yaml(side, "side"))
    assert [(cue.emotion, cue.intensity, cue.character) for cue in found.cues] == [
        ("sad", 0.3, ""),
        ("angry", 0.8, ""),
        ("calm", None, "ANNA"),
        ("calm", None, "ANNA"),
        ("calm", None, ""),
    ]
    assert kinds(found) == ["unspoken"] * 0 + ["side"]


@pytest.mark.parametrize(
    "text",
    [
        "- 1",
        "a: [",
        "cues: {1: 5}",
        "cues: {x: {}}",
        "cues: {1: {mood: 5}}",
        "other: 1",
        "cues: {1: {emotion: hapy}}",
        "x: !!python/object/apply:os.getcwd []",
    ],
)
def test_a_side_file_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    side = tmp_path / "side.yaml"
    side.write_text(text)
    with pytest.raises(InputError):
        timelines.with_side(read(tmp_path, PLAIN), timelines.read_yaml(side, "side"))


def test_ranges_of_cues() -> None:
    assert timelines.numbers("12, 40-44,12") == (12, 40, 41, 42, 43, 44)
    for text in ("", "a", "4-2", "1-9999999", "1-", "-3"):
        with pytest.raises(InputError):
            timelines.numbers(text)


def test_otio_ranges_are_those_of_the_whole_timeline(tmp_path: Path) -> None:
    otio = pytest.importorskip("opentimelineio")
    rate = 25
    clip = otio.schema.Clip(
        "a",
        source_range=otio.opentime.TimeRange(
            otio.opentime.RationalTime(100, rate), otio.opentime.RationalTime(50, rate)
        ),
    )
    clip.markers.append(
        otio.schema.Marker(
            "Hello.",
            otio.opentime.TimeRange(otio.opentime.RationalTime(110, rate), otio.opentime.RationalTime(25, rate)),
            metadata={"emovoice": {"character": "ANNA", "emotion": "sad"}},
        )
    )
    timeline = otio.schema.Timeline("t")
    track = otio.schema.Track("one")
    track.append(otio.schema.Gap(duration=otio.opentime.RationalTime(50, rate)))
    track.append(clip)
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(tmp_path / "in.otio"))
    cue = timelines.read(tmp_path / "in.otio").cues[0]
    assert cue == Cue(1, 2400, 3400, "Hello.", "ANNA", "sad")
