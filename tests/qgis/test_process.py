"""Programs that speak as clippan does, and what QGIS is told of them."""

from __future__ import annotations

import os
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clippan_qgis.process import ClippanError, run_clippan


@dataclass
class Heard:
    """A feedback that remembers; it cancels as soon as a text is told."""

    cancel_at: str = "never"
    told: list[tuple[str, str]] = field(default_factory=list)
    percents: list[float] = field(default_factory=list)
    canceled: bool = False

    def setProgress(self, percent: float) -> None:
        self.percents.append(percent)

    def setProgressText(self, text: str) -> None:
        self._tell("stage", text)

    def pushInfo(self, info: str) -> None:
        self._tell("info", info)

    def pushWarning(self, warning: str) -> None:
        self._tell("warning", warning)

    def pushDebugInfo(self, info: str) -> None:
        self._tell("debug", info)

    def pushConsoleInfo(self, info: str) -> None:
        self._tell("console", info)

    def isCanceled(self) -> bool:
        return self.canceled

    def _tell(self, kind: str, text: str) -> None:
        self.told.append((kind, text))
        self.canceled = self.canceled or text == self.cancel_at


def run(program: str, feedback: Heard) -> str | None:
    return run_clippan([sys.executable, "-uc", textwrap.dedent(program)], os.environ, feedback)


def test_everything_reaches_qgis() -> None:
    program = """
        import sys
        for line in (
            '{"stage": "open", "done": 0, "total": null, "unit": "", "elapsed": 0.0, "ended": false}',
            '{"fact": "MS", "text": "ms.tif  32x32"}',
            '{"note": "MS was cropped"}',
            '{"warning": "too small [small]"}',
            '{"log": "time: open 1 s"}',
            '{"stage": "sharpen", "done": 1, "total": 4, "unit": "tiles", "elapsed": 1.0, "ended": false}',
            '{"stage": "sharpen", "done": 4, "total": 4, "unit": "tiles", "elapsed": 2.0, "ended": true}',
            '{"stage": "verify", "done": 50, "total": 100, "unit": "%", "elapsed": 2.0, "ended": false}',
            '{"stage": "assess /far/away/out.tif", "done": 1, "total": 9, "unit": "windows", "ended": false}',
        ):
            print(line, file=sys.stderr)
        print("result     out.tif")
    """
    feedback = Heard()
    assert run(program, feedback) == "result     out.tif"
    assert feedback.percents == [25, 100, 50, pytest.approx(100 / 9)]
    expected = [
        ("info", "MS: ms.tif  32x32"),
        ("info", "MS was cropped"),
        ("warning", "too small [small]"),
        ("debug", "time: open 1 s"),
        ("stage", "sharpen, 4 tiles"),
        ("stage", "verify"),
        ("stage", "assess out.tif, 9 windows"),
    ]
    assert [each for each in feedback.told if each[0] != "console"] == expected
    assert [text.replace("\u00a0", " ") for kind, text in feedback.told if kind == "console"] == ["result     out.tif"]


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("a library complains\nclippan: pan.tif has 4 bands", "pan.tif has 4 bands"),
        (
            "Usage: clippan x\nTry 'clippan -h' for help.\n╭─ Error ──╮\n│ No such option: --x │\n╰──╯",
            "No such option: --x",
        ),
        ("Segmentation fault", "Segmentation fault"),
        ("", "clippan ended with code 3 and said nothing"),
    ],
)
def test_a_failure_in_one_line(stderr: str, said: str) -> None:
    with pytest.raises(ClippanError) as caught:
        run(f"import sys; sys.stderr.buffer.write({stderr.encode()!r}); sys.exit(3)", Heard())
    assert str(caught.value) == said


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(ClippanError, match=r"clippan cannot be started: Permission denied"):
        (tmp_path / "clippan").touch(mode=0o644)
        run_clippan([str(tmp_path / "clippan")], os.environ, Heard())


@pytest.mark.skipif(os.name != "posix", reason="Windows knows no SIGINT for a process")
def test_cancelling_lets_it_clean_up(tmp_path: Path) -> None:
    half_written = tmp_path / "half-written"
    program = f"""
        import sys, time
        from pathlib import Path
        file = Path({str(half_written)!r})
        file.touch()
        try:
            print('{{"fact": "MS", "text": "ms.tif"}}', file=sys.stderr)
            time.sleep(60)
        except KeyboardInterrupt:
            file.unlink()
            print("clippan: stopped by SIGINT", file=sys.stderr)
            sys.exit(130)
    """
    assert run(program, Heard(cancel_at="MS: ms.tif")) is None
    assert not half_written.exists()
