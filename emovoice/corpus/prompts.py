"""Short neutral recordings of teacher voices, for evaluation.

    python -m emovoice.corpus.prompts --out DIR --voices DIR --cache DIR
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile

from emovoice.corpus.build import phonemes_of
from emovoice.corpus.correlates import Correlates
from emovoice.corpus.plan import held_out
from emovoice.corpus.render import render
from emovoice.corpus.teacher import RATE_HZ, Teacher

TEXT = (
    "The harbour was quiet that morning, and a thin fog lay over the water. "
    "We waited by the old stone steps until the ferry came in."
)
TRAINED = ("af_heart", "af_bella", "am_michael", "am_fenrir", "bf_emma", "bm_george")


def main() -> None:
    """Render one prompt a voice, and `prompts.json` that says which voices were held out."""
    from hibari.g2p import G2P

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--voices", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(args.cache, args.voices)
    g2p = {british: G2P(british=british) for british in (False, True)}
    rows = []
    for voice in (*TRAINED, *held_out()["voices"]):
        made = render(teacher, phonemes_of(TEXT, voice, g2p), voice, Correlates(), np.random.default_rng(0))
        soundfile.write(args.out / f"{voice}.flac", made.samples, RATE_HZ, subtype="PCM_16")
        rows.append({"voice": voice, "file": f"{voice}.flac", "held_out": voice not in TRAINED, "text": TEXT,
                     "accent": "gb" if voice.startswith("b") else "us"})
    (args.out / "prompts.json").write_text(json.dumps({"prompts": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
