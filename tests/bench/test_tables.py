"""Are means, deviations, places and confidence intervals those that a statistician would find?"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from scipy.stats import bootstrap

from clippan_cli.bench.tables import Row, bootstrap_mean, differences, table_of
from clippan_cli.bench.texts import latex_table, latex_text, markdown_table


def row(scene: str, method: str, seed: int | None = None, **metrics: float) -> Row:
    return Row(scene, method, seed, "with truth", metrics, 2.0, error="" if metrics else "it failed")


ROWS = (
    row("a", "first", SAM=2.0, PSNR=30.0),
    row("b", "first", SAM=4.0, PSNR=32.0),
    row("a", "se_eds & more", 0, SAM=1.0, PSNR=33.0),
    row("a", "se_eds & more", 1, SAM=2.0, PSNR=35.0),
    row("b", "se_eds & more", 0, SAM=1.0, PSNR=30.0),
    row("b", "se_eds & more", 1, SAM=2.0, PSNR=30.0),
    row("a", "half", SAM=0.1, PSNR=50.0),
    row("b", "half"),
)


def test_a_scene_counts_with_the_mean_of_its_seeds() -> None:
    table = table_of("with truth", ROWS, ["PSNR", "QNR"])
    assert table is not None and table.indices == ("PSNR",) and table.scenes == 2
    first, second, half = (line.cells[0] for line in table.lines)
    assert first and second and half
    assert (first.mean, second.mean) == (31.0, 32.0)
    assert first.deviation == pytest.approx(2**0.5) and second.deviation == pytest.approx(8**0.5)
    assert half.deviation is None


def test_a_method_that_lacks_a_scene_is_not_ranked() -> None:
    table = table_of("with truth", ROWS, ["PSNR", "SAM"])
    assert table is not None
    places = {line.method: [cell.place for cell in line.cells if cell] for line in table.lines}
    assert places == {"first": [2, 2], "se_eds & more": [1, 1], "half": [None, None]}


def test_of_one_scene_the_deviation_is_that_of_the_seeds() -> None:
    table = table_of("with truth", [each for each in ROWS if each.scene == "a"], ["PSNR"])
    assert table is not None
    first, seeds, _ = (line.cells[0] for line in table.lines)
    assert first and first.deviation is None
    assert seeds and seeds.deviation == pytest.approx(2**0.5)


def test_differences_are_paired_by_scene() -> None:
    found = {(each.method, each.index): each for each in differences("with truth", ROWS, ["PSNR", "SAM"])}
    paired = found["se_eds & more", "PSNR"]
    assert (paired.against, paired.scenes, paired.mean) == ("first", 2, 1.0)
    assert (paired.low, paired.high) == (-2.0, 4.0)
    alone = found["half", "SAM"]
    assert (alone.scenes, alone.low, alone.high) == (1, None, None) and alone.mean == pytest.approx(-1.9)


@pytest.mark.parametrize("count", [3, 10, 40])
def test_intervals_are_those_of_scipy(count: int) -> None:
    values = np.random.default_rng(count).gamma(2.0, 1.5, count)
    ours = bootstrap_mean(values)
    theirs = bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", random_state=1).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03 * values.std())
    assert bootstrap_mean(values) == ours


def cells_of(latex: str) -> Sequence[Sequence[str]]:
    body = latex.partition("\\toprule")[2].partition("\\bottomrule")[0]
    return [re.split(r"(?<!\\)&", line) for line in body.splitlines() if line.endswith(r"\\")]


def test_latex_is_a_complete_table_with_escaped_names() -> None:
    table = table_of("with truth", ROWS, ["PSNR", "SAM"])
    assert table is not None
    latex = latex_table(table, "50 % of #1_2")
    columns = re.search(r"\\begin{tabular}{(\w+)}", latex)
    assert columns and {len(row) for row in cells_of(latex)} == {len(columns[1])} == {4}
    assert re.findall(r"\\begin{(\w+)}", latex) == re.findall(r"\\end{(\w+)}", latex)[::-1]
    unescaped = re.sub(r"\\[{}]", "", latex)
    assert unescaped.count("{") == unescaped.count("}") and latex.count("$") % 2 == 0
    assert r"50 \% of \#1\_2" in latex and r"se\_eds \& more" in latex
    assert r"\textbf{32.00 $\pm$ 2.83}" in latex and r"\underline{31.00 $\pm$ 1.41}" in latex
    assert "half (1 of 2 scenes)" in latex


Compile = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def compile_latex(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles the body of a document that loads booktabs, by the first program that can."""
    folder = tmp_path_factory.mktemp("latex")

    def compiled_by(command: Sequence[str], body: str) -> subprocess.CompletedProcess[str]:
        head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        (folder / "page.tex").write_text(f"{head}{body}\n\\end{{document}}\n", encoding="utf-8")
        called = [*command, "page.tex"]
        return subprocess.run(called, cwd=folder, capture_output=True, text=True, errors="replace", check=False)

    for command in (["pdflatex", "-interaction=nonstopmode", "-halt-on-error"], ["tectonic"]):
        if shutil.which(command[0]) and compiled_by(command, "text").returncode == 0:
            return partial(compiled_by, command)
    pytest.skip("neither pdflatex with booktabs nor tectonic is installed")


def test_latex_compiles_whatever_methods_and_suite_are_called(compile_latex: Compile) -> None:
    names = ("se_eds & more", "a\\b {c #1 $x 50 %", "[mine]", "*best", "λ-PNN ~ ^2", 'Müller\'s <b> | "c"')
    rows = [row(scene, name, SAM=1.0, PSNR=30.0, ERGAS=2.0) for name in names for scene in "ab"]
    table = table_of("with truth", [*rows, row("a", "half", SAM=2.0), row("b", "none")], ["PSNR", "SAM", "ERGAS"])
    assert table is not None
    done = compile_latex(latex_table(table, names[1]))
    assert done.returncode == 0, done.stdout
    assert "Missing character" not in done.stdout


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b", r"a\_b"),
        ("{x}", r"\{x\}"),
        ("a\\b", r"a\textbackslash{}b"),
        ("λ-PNN", r"$\lambda$-PNN"),
        ("a<b>|c", r"a\textless{}b\textgreater{}\textbar{}c"),
        ("[a]*", "{[}a]{*}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
    ],
)
def test_letters_that_latex_would_interpret_are_escaped(text: str, escaped: str) -> None:
    assert latex_text(text) == escaped


def test_markdown_has_as_many_cells_in_each_row() -> None:
    table = table_of("with truth", (*ROWS, row("a", "a|b", SAM=9.0), row("b", "a|b", SAM=9.0)), ["PSNR", "SAM"])
    assert table is not None
    lines = [line for line in markdown_table(table, "title").splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5}
    assert "**32.00 ± 2.83**" in lines[3] and "<u>31.00 ± 1.41</u>" in lines[2] and "--" in lines[5]
