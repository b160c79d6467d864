"""One report of a dub: as data, and as one self-contained page with a row, a waveform and a player for each cue.

It holds nothing that changes when the same dub is made again: no times of day, no speeds of this machine.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from emovoice.dubbing import PROGRAMME_RATE_HZ
from emovoice.dubbing.cues import Cue, Remark
from emovoice.dubbing.measure import emotion_match
from emovoice.dubbing.plan import MS, Fit
from emovoice.dubbing.takes import Chosen, Line
from emovoice.emotion import names
from emovoice.writing import whole_file

SCHEMA = 1
MOST_PLAYERS = 600
"""Cues beyond this get a player only if there is something to say about them: a page has to open."""

_COLUMNS = ("cue", "character", "text", "slot", "asked", "got", "placed", "stretch", "WER", "timbre", "emotion asked",
            "emotion measured", "LUFS", "take", "sound", "remarks")  # fmt: skip


def row(cue: Cue, line: Line | None, chosen: Chosen | None, fit: Fit | None, lufs: float | None,
        remarks: Sequence[Remark]) -> dict[str, Any]:
    """One cue as data: milliseconds, seconds, LUFS; None where nothing was spoken or measured."""
    record: Mapping[str, Any] = chosen.record if chosen else {}
    asked = line.direction.weights if line else None
    measured = record.get("emotion")
    return {
        "cue": cue.id, "start_ms": cue.start_ms, "end_ms": cue.end_ms, "character": cue.character, "text": cue.text,
        "unspoken": list(cue.unspoken),
        "slot_s": _s(line.slot.length) if line else None, "verdict": line.slot.verdict if line else None,
        "free_s": record.get("free_s"), "asked_s": record.get("asked_s"), "got_s": record.get("got_s"),
        "placed_start_s": _s(fit.start) if fit else None, "placed_s": _s(fit.length) if fit else None,
        "off_slot_ms": _off_slot_ms(line, fit), "stretch": round(fit.stretch, 4) if fit else None,
        "borrowed_s": _s(fit.borrowed) if fit else None, "shifted_s": _s(fit.shifted) if fit else None,
        "overflow_s": _s(fit.overflow) if fit else None, "cut_s": _s(fit.cut) if fit else None,
        "wer": record.get("wer"), "heard": record.get("heard"), "timbre": record.get("timbre"),
        "emotion_asked": names.named(asked) if asked else None,
        "emotion_source": line.direction.source if line else None,
        "emotion_measured": names.named(measured) if measured else None,
        "emotion_match": round(emotion_match(asked, measured), 4) if asked and measured else None,
        "lufs": lufs, "take": chosen.take if chosen else None, "takes": chosen.of if chosen else 0,
        "remarks": [{"kind": remark.kind, "message": remark.message, "fault": remark.fault} for remark in remarks],
    }  # fmt: skip


def summary(rows: Sequence[Mapping[str, Any]], remarks: Sequence[Remark], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The whole report as data."""
    faults = [remark for remark in remarks if remark.fault]
    on_slot = [row for row in rows if row["off_slot_ms"] is not None and row["off_slot_ms"] <= 40]
    spoken = [row for row in rows if row["take"] is not None]
    heard = [row["wer"] for row in spoken if row["wer"] is not None]
    alike = [row["timbre"] for row in spoken if row["timbre"] is not None]
    return {
        "schema": SCHEMA,
        "verdict": "faults" if faults else "pass",
        **facts,
        "cues": len(rows), "spoken": len(spoken), "within_40_ms_of_slot": len(on_slot), "faults": len(faults),
        "mean_wer": _mean(heard), "mean_timbre": _mean(alike),
        "remarks": [{"kind": remark.kind, "message": remark.message, "fault": remark.fault} for remark in remarks
                    if not remark.cue],
        "rows": list(rows),
    }  # fmt: skip


def write(report: Mapping[str, Any], clips: Mapping[str, Path], folder: Path) -> None:
    """Write report.json and report.html.

    Args:
        clips: sound files by the id of their cue.
    """
    with whole_file(folder / "report.json") as file:
        file.write(json.dumps(report, indent=1, ensure_ascii=False, default=str).encode())
    with whole_file(folder / "report.html") as file:
        for piece in _page(report, clips):
            file.write(piece.encode())


def clip_samples(path: Path) -> np.ndarray:
    """`(N,)` float32 of a clip."""
    samples, _ = soundfile.read(path, dtype="float32")
    return np.asarray(samples)


def _off_slot_ms(line: Line | None, fit: Fit | None) -> int | None:
    """How far the take's start or end lies from its slot's, the larger of both."""
    if line is None or fit is None:
        return None
    return round(max(abs(fit.start - line.slot.start), abs(fit.end - line.slot.end)) / MS)


def _s(samples: int) -> float:
    return round(samples / PROGRAMME_RATE_HZ, 4)


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}
table{border-collapse:collapse}td,th{padding:.25em .5em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
th{position:sticky;top:0;background:#fff}tr.fault{background:#fff0ee}td.n{text-align:right;white-space:nowrap}
.pass{color:#176b2c}.faults{color:#a3210f}svg{display:block}audio{width:180px;height:30px}.small{color:#666}
@media(prefers-color-scheme:dark){body,th{background:#161616;color:#ddd}td,th{border-color:#333}
tr.fault{background:#3a1d18}}
"""


def _page(report: Mapping[str, Any], clips: Mapping[str, Path]) -> Any:
    """The page, piece by piece."""
    title = html.escape(f"Dub: {report.get('output', '')}")
    yield ("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
           f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
           f"<p class={report['verdict']}><b>verdict: {report['verdict']}</b></p><table>")  # fmt: skip
    for name, value in report.items():
        if name not in ("rows", "remarks", "schema", "verdict", "output"):
            yield f"<tr><th>{html.escape(name.replace('_', ' '))}<td>{html.escape(_shown(value))}"
    yield "</table><ul>"
    for remark in report["remarks"]:
        yield f"<li>{'<b>fault</b> ' if remark['fault'] else ''}{html.escape(remark['message'])}"
    yield f"</ul><table><tr>{''.join(f'<th>{name}' for name in _COLUMNS)}"
    for number, entry in enumerate(report["rows"]):
        yield _html_row(entry, clips.get(entry["cue"]), number < MOST_PLAYERS)
    yield "</table></html>\n"


def _html_row(entry: Mapping[str, Any], clip: Path | None, in_front: bool) -> str:
    fault = any(remark["fault"] for remark in entry["remarks"])
    player = ""
    if clip is not None and (in_front or fault):
        samples = clip_samples(clip)
        player = _waveform(samples) + _player(samples)
    remarks = "<br>".join(html.escape(remark["message"]) for remark in entry["remarks"])
    cells = [html.escape(entry["cue"]), html.escape(entry["character"]), html.escape(entry["text"])]
    numbers = [_figure(entry[name], unit) for name, unit in (
        ("slot_s", " s"), ("asked_s", " s"), ("got_s", " s"), ("placed_s", " s"), ("stretch", ""))]
    scores = ["" if entry["wer"] is None else f"{100 * entry['wer']:.0f} %", _figure(entry["timbre"], "")]
    emotions = [html.escape(_shown(entry[name] or "neutral" if entry["take"] is not None else "")) for name in
                ("emotion_asked", "emotion_measured")]
    take = f"{entry['take']} of {entry['takes']}" if entry["take"] is not None else ""
    lufs = _figure(entry["lufs"], "")
    columns = [*(f"<td>{cell}" for cell in cells), *(f"<td class=n>{cell}" for cell in [*numbers, *scores]),
               *(f"<td>{cell}" for cell in emotions), f"<td class=n>{lufs}<td class=n>{take}<td>{player}<td>{remarks}"]
    return f"<tr{' class=fault' if fault else ''}>{''.join(columns)}\n"


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.2f}{unit}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number:.2f}" if isinstance(number, float) else f"{name} {number}"
                         for name, number in value.items())
    return "" if value is None else str(value)


def _waveform(samples: np.ndarray, width: int = 180, height: int = 36) -> str:
    """An inline picture of the samples: for each column the range they span."""
    edges = np.linspace(0, len(samples), width + 1).astype(int)
    spans = [(samples[a : max(b, a + 1)].min(initial=0.0), samples[a : max(b, a + 1)].max(initial=0.0))
             for a, b in pairwise(edges)]
    middle = height / 2
    path = "".join(f"M{x} {middle - middle * high:.1f}V{middle - middle * low + 0.5:.1f}"
                   for x, (low, high) in enumerate(spans))
    return f"<svg width={width} height={height} viewBox='0 0 {width} {height}'><path d='{path}' stroke=#47a /></svg>"


def _player(samples: np.ndarray) -> str:
    """A player that carries its own sound: half the rate, 16 bit flac, which every browser plays."""
    from emovoice import waveform

    small = waveform.resample(samples, PROGRAMME_RATE_HZ, PROGRAMME_RATE_HZ // 2)
    data = io.BytesIO()
    soundfile.write(data, np.clip(small, -1, 1), PROGRAMME_RATE_HZ // 2, subtype="PCM_16", format="FLAC")
    carried = base64.b64encode(data.getvalue()).decode()
    return f"<audio controls preload=none src='data:audio/flac;base64,{carried}'></audio>"


