"""Does whoever waits learn how long it still takes?"""

from __future__ import annotations

import io
import itertools
import logging
import time

import pytest

from clippan_cli.console import PlainConsole, Terminal
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
    terminal.stderr = PlainConsole(file=out, force_terminal=True, width=100)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.running() as control:
        for step in (4, 5):
            control.report(Progress("validate", step, 6, note="scene [/b] \x1b]0;mine\x07"))
        logging.getLogger("clippan_cli.x").warning("logged \x1b]0;mine\x07 [/b]")
    shown = out.getvalue()
    assert "scene [/b] \\x1b]0;mine\\x07" in shown and "5/6" in shown and "logged " in shown
    assert "\x1b]" not in shown and "\x07" not in shown


def test_tables_hold_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table("of [b]", ["", "[i]\x1b[1m"], [["one", "\x9b[/b]"], ["two", "22.5"]])
    assert capsys.readouterr().out.splitlines() == [
        "of [b]",
        "     [i]\\x1b[1m",
        "one    \\x9b[/b]",
        "two        22.5",
    ]
