"""Does whoever waits learn how long it still takes?"""

from __future__ import annotations

import io
import itertools
import time

import pytest
from rich.console import Console

from clippan_cli.console import Terminal
from clippan_cli.running.control import Progress


def test_lines_of_progress_say_how_long_it_still_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A minute between steps; what a training that goes on did before counts for nothing."""
    monkeypatch.setattr(time, "monotonic", itertools.count(0, 60).__next__)
    with Terminal().running() as control:
        for step in (1001, 1002, 1003):
            control.report(Progress("adapt", step, 1100, note="loss [/b] 0.5"))
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "adapt 1003/1100  loss [/b] 0.5  1:37:00 left"


def test_bars_of_progress_show_what_notes_say(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    terminal = Terminal()
    terminal.stderr = Console(file=out, force_terminal=True, width=100)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.running() as control:
        for step in (4, 5):
            control.report(Progress("validate", step, 6, note="scene [/b]"))
    assert "scene [/b]" in out.getvalue() and "5/6" in out.getvalue()
