"""The bench of codes on the debug model: every way is timed, and the compiled decoder writes what torch writes."""

from __future__ import annotations

import pytest

from emovoice.testing import bench_codes


@pytest.mark.slow
def test_all_ways_are_timed() -> None:
    found = bench_codes.measure("debug", rounds=1)
    named = {f"{what}, {size}" for what in ("compiled", "8 bits") for size in bench_codes.BATCHES}
    assert set(found["ways"]) == {"transformers", "torch", "compiled, a thread a core, 8"} | named
    assert all(row["cpu"] > 0 for row in found["ways"].values())
    assert found["same"] == 10 and 0.5 < found["agree"] <= 1
    assert 0 < found["bytes"]["8 bits"] < found["bytes"]["compiled"]
    shown = bench_codes.table(found)
    assert "| compiled | 8 |" in shown and "| torch | 1 |" in shown and "| compiled, a thread a core | 8 |" in shown
