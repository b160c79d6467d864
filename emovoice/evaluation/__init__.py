"""Judging what a model speaks: the bars of the project, each printed by `emovoice evaluate`.

    material   held-out texts, prompts, expected directions, bars         (data files)
    bench      speaks every item once, keeps audio and verdicts           (work folder)
    judges     recogniser, speaker encoder, pitch tracker, quality        (packages of the extra `judges`)
    measures   levels, pitch statistics, Spearman, bootstrap; words: WER  (numpy)
    suites     what is asked of the model; rows of figures
    probes     what a linear reader gets out of a vector              (numpy)
    emotion_judge  by how much of which emotion two recordings differ (numpy)
    speed      real-time factor, memory and start, in fresh processes
    report     JSON and markdown

Only the public API is used (`Engine`, `Voice`), so that every model that emovoice can load is judged alike.
No judge takes part in any training.
"""

SUITE_NAMES = (
    "wer_neutral",
    "wer_emotions",
    "length",
    "timbre",
    "timbre_lost",
    "prosody",
    "quality",
    "copy",
    "leak",
    "speed",
    "teacher",
    "convert",
    "solvers",
    "tradeoff",
    "steps",
)
"""In the order of the report; `teacher` and `leak` only run when their folders are given."""

ONLY_WHEN_ASKED_FOR = ("convert", "solvers", "tradeoff", "steps")
"""Not every model converts, or has a number of steps to choose."""
