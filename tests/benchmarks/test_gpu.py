"""The benchmark of a GPU, where there is none: does each case work, before time on a GPU is spent on it?"""

from __future__ import annotations

import json
from pathlib import Path

import gpu
import pytest


@pytest.mark.slow
def test_each_case_works_on_the_cpu(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rows = gpu.main(["--small", "--device", "cpu", "--threads", "1", "--log", str(log)])
    assert [json.loads(line) for line in log.read_text().splitlines()] == rows
    notes = {row["case"]: row.get("note", "") for row in rows}
    assert not [note for note in notes.values() if "failed" in note or "not reached" in note]
    assert notes["default, again"] == "the same file"
    unchanged = "differs by at most 0 DN"
    assert unchanged in notes["its weights in float32"] and unchanged in notes["its weights on the CPU"]
    assert notes["its weights in too little memory"].startswith(f"1 tiles begun; {unchanged}")


def test_a_case_that_fails_or_comes_too_late_says_so() -> None:
    rows = gpu.main(["--small", "--device", "cpu", "--seconds", "0"])
    assert {row["note"] for row in rows} == {"not reached"}
    assert gpu.tried("halves", lambda: {"total": 1 / 0})["note"] == "failed: ZeroDivisionError: division by zero"
