"""Does whoever waits learn what is going on, on a terminal, in a log, and in a program?"""

from __future__ import annotations

import io
import itertools
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from clippan_cli import progress
from clippan_cli.console import PlainConsole, Terminal, laid_out
from clippan_cli.progress import Stages, clock
from clippan_cli.running.control import Control, Progress
from tests.cli.conftest import PAN_PIXEL, PAN_SIDE, Desk, RunMain

NARROW = 80


def on_terminal(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> io.StringIO:
    """What the terminal shows, on one of 80 columns."""
    out = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    terminal.stderr = terminal.stdout = PlainConsole(file=out, force_terminal=True, width=NARROW)
    return out


def lines(shown: str) -> list[str]:
    """Without colours and movements of the cursor."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))


def test_what_was_done_before_tells_nothing_of_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes of preparations, then a minute between steps, of a training that goes on with step 1001."""
    clock_shows = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock_shows)
    control = Control()
    stages = Stages(control)
    with control.timed("adapt"):
        for step in (1001, 1002, 1003):
            clock_shows = 600.0 + 60 * (step - 1001)
            control.report(Progress("adapt", step, 1100))
        stage = stages.current
        assert stage is not None and stage.elapsed == 720 and stage.left == 97 * 60


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (9.97, "10 s"), (59.4, "59 s"), (185.2, "3:05 min"), (5820, "1:37:00 h")]
)
def test_times_are_read_at_once(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_without_a_terminal_a_line_comes_now_and_then_even_when_nothing_is_heard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.05)
    with Terminal().running() as control, control.timed("estimate"):
        time.sleep(0.3)
        control.report(Progress("adapt", 2, 100, unit="steps"))
        time.sleep(0.01)
        control.report(Progress("adapt", 3, 100, note="loss [/b] 0.5", unit="steps"))
        time.sleep(0.3)
    told = capsys.readouterr().err.splitlines()
    assert 4 <= len(told) <= 12
    assert re.fullmatch(r"\d\d:\d\d:\d\d estimate 0\.\d s elapsed", told[0])
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d adapt 3/100 steps  0\.\d s elapsed, \d+(\.\d)? s left  loss \[/b\] 0\.5", told[-1]
    )


def test_a_stage_is_one_line_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    out = on_terminal(monkeypatch, terminal)
    with terminal.running() as control, control.timed("assess"):
        for done in range(17):
            time.sleep(0.02)
            control.report(Progress("assess a_long_name.tif", done, 16, done * 65536, "scene [/b]", "windows"))
    shown = lines(out.getvalue())
    assert max(map(len, shown)) <= NARROW and not any(" 0/16" in line for line in shown)
    (last,) = (line for line in shown if "took" in line)
    assert not any("a_lo" in line and "elapsed" in line for line in shown[shown.index(last) :])
    assert re.fullmatch(r"assess a_lo…\s+━+ 16/16 windows  took \d\.\d s  \d\.\d\d Mpx/s  scene \[/b\]\s*", last)


def test_speed_counts_from_the_beginning_of_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.chain([0.0], itertools.repeat(2.0))  # all but the beginning is two seconds later
    monkeypatch.setattr(time, "monotonic", now.__next__)
    control = Control()
    stages, ends = Stages(control), []
    stages.on_change.append(lambda stage: ends.extend(stage.words()) if stage.ended else None)
    with control.timed("sharpen"):
        control.report(Progress("sharpen", 1, 1, 4_000_000))
    assert "2.00 Mpx/s" in ends


def shown_of(control: Control) -> tuple[Stages, list[str]]:
    """The stages of a run, and what is shown of them: "+" as one begins, "-" as it ends."""
    stages, shown = Stages(control), []
    stages.on_change.append(lambda stage: shown.append(f"{'-' if stage.ended else '+'}{stage.label} {stage.part}"))
    return stages, shown


def test_what_is_heard_within_a_stage_under_another_name_is_a_stage_of_its_own() -> None:
    control = Control()
    stages, shown = shown_of(control)
    with control.timed("write"):
        control.report(Progress("translate", 0, 100))
        control.report(Progress("verify", 100, 100))
    assert shown == ["+write 1", "+translate 1", "-translate 1", "+verify 1", "-verify 1", "-write 1"]
    assert stages.current is None


def test_a_stage_goes_on_after_those_within_it_and_its_time_stands_still_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock_shows = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock_shows)
    control = Control()
    stages, shown = shown_of(control)
    with control.timed("write"):
        clock_shows = 1.0
        with control.timed("fit"):
            clock_shows = 11.0
        assert shown == ["+write 1", "+fit 1", "-fit 1"]
        clock_shows = 13.0
        assert stages.current is not None and (stages.current.label, stages.current.elapsed) == ("write", 3.0)


def test_a_count_goes_on_after_the_stages_of_each_unit() -> None:
    control = Control()
    stages, shown = shown_of(control)
    for number in range(2):
        control.report(Progress("bench", number, 2))
        with control.timed("open"):
            pass
    stages.close()
    assert shown == ["+bench 1", "+open 1", "-open 1", "+bench 1", "+open 2", "-open 2", "-bench 1"]


def test_a_count_that_is_complete_ends_as_a_stage_begins() -> None:
    control = Control()
    _, shown = shown_of(control)
    control.report(Progress("compare", 3, 3))
    with control.timed("sharpen"):
        pass
    assert shown == ["+compare 1", "-compare 1", "+sharpen 1", "-sharpen 1"]


def test_times_of_stages_within_others_count_once() -> None:
    control = Control()
    started = time.perf_counter()
    with control.timed("write"):
        with control.timed("estimate"):
            time.sleep(0.05)
        time.sleep(0.02)
    assert sum(control.seconds.values()) == pytest.approx(time.perf_counter() - started, abs=0.01)
    assert control.seconds["estimate"] > control.seconds["write"] > 0.015


@pytest.mark.parametrize("texts", [["shifts     +0.60,-0.40", *["+0.60,-0.40"] * 7, "(PAN px down,right per band)"],
                                   ["quality    D_lambda 0.2590", "D_s 0.3015", "QNR 0.5176", "D_lambda_K 0.3490",
                                    "HQNR 0.8486", "D_rho 0.0440"]])  # fmt: skip
def test_nothing_is_cut_in_two_at_80_columns(texts: Sequence[str]) -> None:
    console = PlainConsole(file=io.StringIO(), force_terminal=True, width=NARROW)
    shown = laid_out(texts, console, 11).splitlines()
    assert len(shown) > 1 and max(map(len, shown)) <= NARROW
    assert all(any(text in line for line in shown) for text in texts)
    assert all(line.startswith(" " * 11) for line in shown[1:])


def test_a_table_that_is_too_wide_becomes_paragraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    out = on_terminal(monkeypatch, terminal)
    columns = ["scene", *(f"index_{number}" for number in range(8))]
    terminal.table("batch", columns, [["a" * 30, *("0.8486" for _ in columns[1:])]])
    shown = lines(out.getvalue())
    assert max(map(len, shown)) <= NARROW
    assert all(any(f"index_{number} 0.8486" in line for line in shown) for number in range(8))


def test_a_table_in_a_pipe_is_as_wide_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table("batch", ["scene", *"abcdefgh"], [["x" * 60, *["0.8486"] * 8]])
    title, _, row = capsys.readouterr().out.splitlines()
    assert title.rstrip() == "batch" and row.split() == ["x" * 60, *["0.8486"] * 8]


def test_nothing_from_outside_moves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    out = on_terminal(monkeypatch, terminal)
    with terminal.running() as control:
        for step in (4, 5):
            control.report(Progress("validate", step, 6, note="[/b] \x1b]0;m\x07"))
        logging.getLogger("clippan_cli.x").warning("logged \x1b]0;mine\x07 [/b]")
    shown = out.getvalue()
    assert "[/b] \\x1b]0;m" in shown and "5/6" in shown and "logged " in shown
    assert "\x1b]" not in shown and "\x07" not in shown


def test_tables_hold_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table("of [b]", ["", "[i]\x1b[1m"], [["one", "\x9b[/b]"], ["two", "22.5"]])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "of [b]",
        "     [i]\\x1b[1m",
        "one    \\x9b[/b]",
        "two        22.5",
    ]


# --- Runs -------------------------------------------------------------------------------------------------------------


def test_facts_come_before_the_result(desk: Desk, run_main: RunMain) -> None:
    found = [line.split()[0] for line in run_main(desk.sharpen()).stdout.splitlines()]
    assert found == ["MS", "PAN", "sensor", "MTF", "shifts", "grid", "time", "result"]


def test_progress_as_json(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("--progress", "json", "-v"))
    told = [json.loads(line) for line in outcome.stderr.splitlines()]
    stages = [each for each in told if "stage" in each]
    assert {each["stage"] for each in stages} >= {"open", "start", "sharpen", "write"}
    last = next(each for each in stages if each["stage"] == "sharpen" and each["ended"])
    assert (last["done"], last["total"], last["unit"]) == (1, 1, "tiles") and last["elapsed"] >= 0
    assert any(each.get("fact") == "sensor" for each in told) and any("log" in each for each in told)
    assert outcome.stdout.splitlines()[-1] == f"result     {desk.out}"


@pytest.mark.parametrize(
    ("command", "options", "within"),
    [
        ("sharpen", ("--driver", "cog"), {"write", "translate", "verify"}),
        ("assess", (), {"assess", "assess fused.tif", "report"}),
        ("batch", (), {"look", "compare", "sharpen"}),
    ],
)
def test_each_stage_in_json_begins_once_and_ends_once(
    command: str, options: tuple[str, ...], within: set[str], desk: Desk, run_main: RunMain
) -> None:
    fused = desk.ms("fused.tif", side=PAN_SIDE, transform=PAN_PIXEL)
    pair = ("--ms", desk.ms(), "--pan", desk.pan())
    commands: dict[str, Callable[..., list[str]]] = {
        "sharpen": desk.sharpen,
        "assess": lambda *more: ["assess", fused, *pair, "--report", desk.path("page.html"), *more],
        "batch": lambda *more: ["batch", str(desk.folder), "-o", desk.path("results"), "--method", "exp", *more],
    }
    outcome = run_main(commands[command](*options, "--progress", "json"))
    assert outcome.code == 0, outcome.stderr
    stages = [told for told in map(json.loads, outcome.stderr.splitlines()) if "stage" in told]
    ended: dict[tuple[str, int], list[bool]] = {}
    for each in stages:
        ended.setdefault((each["stage"], each["part"]), []).append(each["ended"])
    assert {name for name, _ in ended} >= within
    assert all(len(each) > 1 and each == [False] * (len(each) - 1) + [True] for each in ended.values()), ended


def test_a_log_file_has_it_all_and_is_continued(desk: Desk, run_main: RunMain, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    argv = [word for word in desk.sharpen("-q", "--log-file", str(log)) if word not in ("--sensor", "generic")]
    assert run_main(argv).code == 0
    assert run_main(argv).code == 5
    kinds = [line.split()[1] for line in log.read_text().splitlines()]
    assert set(kinds) >= {"command", "fact", "warning", "log"}
    assert kinds.count("command") == 2 and kinds[-1] == "error"


def test_a_log_file_that_cannot_be_written_is_refused(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("--log-file", desk.path("no/log.txt")))
    assert outcome.code == 5 and "no/log.txt" in outcome.error_line


def test_verbose_says_more(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("-v"))
    assert "computing on cpu, with 1 threads" in outcome.stderr and "sharpen 0." in outcome.stderr
