"""Names, cards and streams that come from outside: does the terminal stay ours, and is a refusal told at the start?"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clippan_cli.console import Terminal
from clippan_cli.pages.content import IndexContent, IndexLine
from clippan_cli.pages.render import render_index
from clippan_cli.report.files import write_text
from clippan_cli.writing.cells import table_text
from clippan_models.networks.registry import find_backbone
from clippan_models.store.card import CardBand, ModelCard
from clippan_models.store.checkpoint import Checkpoint, save_checkpoint
from clippan_models.store.temporary import new_token, part_path
from tests.cli.conftest import PAN_PIXEL, Desk, Outcome, RunClippan, RunMain

EVIL = "\x1b[2J\x9b31m\r\u202e[red]"
USAGE, OUTPUT = 2, 5
FULL = Path("/dev/full")
LEARNING = ["--steps", "0", "--method", "network", "--backbone", "apnn"]


def said(outcome: Outcome) -> str:
    """All that reached the terminal, which is safe."""
    text = outcome.stdout + outcome.stderr
    assert all(letter.isprintable() or letter == "\n" for letter in text), text
    return text


@pytest.fixture
def evil(desk: Desk) -> Desk:
    """A desk whose names move the cursor, clear the screen and turn the text around."""
    desk.ms(f"{EVIL}_ms.tif")
    desk.pan(f"{EVIL}_pan.tif")
    return desk


def test_a_name_with_a_line_break_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal, name = Terminal(), "one\nother.tif"
    terminal.fact("PAN", [name, "8x8"])
    terminal.table("pair", ["", "PAN"], [["files", name]])
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 4 and sum(r"one\nother.tif" in line for line in told) == 2


def test_no_command_prints_control_characters_of_names(evil: Desk, run_main: RunMain) -> None:
    ms, pan = evil.path(f"{EVIL}_ms.tif"), evil.path(f"{EVIL}_pan.tif")
    shown = "\\x1b[2J\\x9b31m\\r\\u202e[red]_ms.tif"
    assert shown in said(run_main(["info", ms, pan]))
    out = evil.out.with_name(f"{EVIL}.tif")
    arguments = evil.sharpen("--quicklook", str(out.with_suffix(".png")), "-v", ms=ms, pan=pan)
    arguments[arguments.index("-o") + 1] = str(out)
    assert "\\x1b[2J" in said(run_main(arguments))
    assert run_main([*arguments, "--overwrite", "-q"]).code == 0
    assert "\\x1b[2J" in said(run_main(["assess", str(out), "--ms", ms, "--pan", pan]))
    batch = ["batch", str(evil.folder), "-o", str(evil.folder / "results"), "--method", "exp", "--coregister", "off"]
    assert "\\x1b[2J" in said(run_main([*batch, "--dry-run"]))
    evil.pan(f"{EVIL}_pan.tif", bands=2)
    assert "\\x1b[2J" in said(run_main(["sharpen", ms, pan, "-o", evil.path("x.tif"), "-vv"]))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("größe\x1b.tif", "größe\\x1b.tif"), ("two\nlines.tif", "two\\nlines.tif"), ("a b.tif", "a b.tif")],
)
def test_an_error_escapes_no_more_of_a_name_than_other_messages(
    name: str, shown: str, desk: Desk, run_main: RunMain
) -> None:
    arguments = desk.sharpen()
    arguments[arguments.index("-o") + 1] = desk.path(name)
    Path(desk.path(name)).touch()
    outcome = run_main(arguments)
    assert outcome.code == OUTPUT and f"{desk.folder}/{shown} " in outcome.error_line


def test_a_card_prints_no_control_characters(desk: Desk, run_main: RunMain) -> None:
    card = ModelCard("generic", (CardBand(EVIL),), 11, 4.0, scenes=(EVIL,), licence=EVIL, prompts={"ms": EVIL})
    path = desk.folder / "w.safetensors"
    save_checkpoint(Checkpoint("apnn", 1, find_backbone("apnn").build(1), about={EVIL: EVIL}, card=card), path)
    assert said(run_main(["models", "show", str(path)])).count("\\x1b[2J") == 6
    document = run_main(["models", "show", str(path), "--json"])
    assert json.loads(document.stdout)["card"]["licence"] == EVIL and said(document)


def test_json_holds_the_very_names(evil: Desk, run_main: RunMain) -> None:
    (evil.folder / os.fsdecode(b"\xff_pan.tif")).write_bytes((evil.folder / f"{EVIL}_pan.tif").read_bytes())
    outcome = run_main(["batch", str(evil.folder), "-o", evil.path("out"), "--dry-run", "--json"])
    document = json.loads(outcome.stdout)
    assert document["pairs"][0]["ms"] == [evil.path(f"{EVIL}_ms.tif")] and said(outcome)
    assert document["left_out"][0]["path"] == evil.path("\udcff_pan.tif")


@pytest.mark.parametrize("cell", ["=1+1", "+x", "-x", "@x", "\tx", "\uff1dx", '=HYPERLINK("http://x","a,b")'])
def test_no_cell_of_a_table_is_a_formula(cell: str) -> None:
    (row,) = csv.reader(io.StringIO(table_text([[cell, "-0.5", "-inf", "=a\r=b\n=c", "plain", 3]]), newline=""))
    assert row == [f"'{cell}", "-0.5", "-inf", "'=a =b =c", "plain", "3"]


def test_the_numbers_of_an_image_are_a_table_without_formulas(
    desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ms("=image.tif", side=64, transform=PAN_PIXEL)
    numbers = desk.folder / "numbers.csv"
    monkeypatch.chdir(desk.folder)
    assert run_main(["assess", "=image.tif", "--ms", desk.ms(), "--pan", desk.pan(), "--csv", str(numbers)]).code == 0
    rows = list(csv.reader(io.StringIO(numbers.read_text(), newline="")))
    assert {row[1] for row in rows[1:]} >= {"'=image.tif"} and not any(c.startswith("=") for row in rows for c in row)


def test_a_name_that_is_not_utf8_has_a_place_on_a_page(tmp_path: Path) -> None:
    assert write_text(tmp_path / "page.html", "\udcff").read_text() == "\\udcff"


def test_a_name_of_megabytes_does_not_fill_a_page(tmp_path: Path) -> None:
    name = "<b>" + "n" * 2_000_000
    content = IndexContent(name, "assess", (IndexLine(name, remark=name),), (), notes=(name,), data={"names": [name]})
    page = render_index(content)
    assert len(page) < 200_000 and "&lt;b&gt;nnn" in page and "<b>nnn" not in page


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("more", [["--help"], [], ["--json"]])
def test_a_full_stream_ends_in_one_line(more: list[str], desk: Desk) -> None:
    command = [sys.executable, "-m", "clippan_cli", "info", desk.ms(), desk.pan(), "--coregister", "off", *more]
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    words = "clippan: cannot write to the standard output: No space left on device"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (OUTPUT, words) and "Traceback" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_a_refusal_that_cannot_be_told_still_has_its_code(desk: Desk) -> None:
    command = [sys.executable, "-m", "clippan_cli", "info", desk.ms(), desk.path("absent.tif")]
    with FULL.open("w") as full:
        assert subprocess.run(command, stdout=full, stderr=full, timeout=60).returncode == 3


def test_names_that_python_does_not_take_for_utf8_are_refused_at_once(desk: Desk, run_clippan: RunClippan) -> None:
    arguments = desk.sharpen(ms=desk.ms("\u00e9.tif"))
    refused = run_clippan(arguments, env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert refused.code == USAGE and "unset PYTHONUTF8" in refused.error_line
    assert not desk.out.exists()


def longest(ending: str, more: int = 0) -> str:
    """A name as long as names can be, or longer."""
    return "n" * (255 - len(ending) + more) + ending


@pytest.mark.parametrize(
    ("option", "ending"), [("--quicklook", ".png"), ("--save-weights", ".safetensors"), ("--report", ".html")]
)
def test_the_longest_names_do_and_longer_ones_are_refused_before_the_work(
    option: str, ending: str, desk: Desk, run_main: RunMain
) -> None:
    extra = LEARNING if option == "--save-weights" else []
    path, before = desk.out.with_name(longest(ending)), desk.sharpen(*extra)
    done = run_main([*before, option, str(path)])
    assert done.code == 0 and path.exists(), done.stderr
    desk.out.unlink()
    refused = run_main([*before, option, str(desk.out.with_name(longest(ending, 1)))])
    assert refused.code == OUTPUT and "name too long" in refused.error_line
    assert list(desk.out.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("output", "report", "words"),
    [
        ("n" * 238 + ".safetensors", None, "safetensors.snapshot: File name too long"),
        ("w.safetensors", "\udcff.html", "is not a UTF-8 name"),
        ("w.safetensors", longest(".html", 1), "name too long"),
    ],
)
def test_adapt_refuses_names_before_it_learns(
    output: str, report: str | None, words: str, desk: Desk, run_main: RunMain
) -> None:
    desk.ms()
    desk.pan()
    more = ["--report", desk.path(report)] if report else []
    refused = run_main(["adapt", str(desk.folder), "-o", desk.path(output), "--coregister", "off", *more])
    assert refused.code == OUTPUT and words in refused.error_line
    assert sorted(path.name for path in desk.folder.iterdir()) == ["ms.tif", "pan.tif"]


def test_what_a_killed_run_left_of_a_report_is_removed_by_the_next(desk: Desk, run_main: RunMain) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    system, running, chance = new_token().split("-")
    pages = [desk.out.with_name(name) for name in ("report.html", "numbers.csv")]
    parts = [part_path(page, f"{system}-{ended.pid}-{chance}") for page in pages]
    ours = part_path(pages[0], f"{system}-{running}-{chance}")
    for part in (*parts, ours):
        part.write_text("half")
    image = desk.ms("image.tif", side=64, transform=PAN_PIXEL)
    arguments = ["assess", image, "--ms", desk.ms(), "--pan", desk.pan()]
    assert run_main([*arguments, "--report", str(pages[0]), "--csv", str(pages[1])]).code == 0
    assert sorted(desk.out.parent.iterdir()) == sorted([*pages, ours])
