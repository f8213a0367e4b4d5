"""The only place that draws: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.logging import RichHandler
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from clippan_cli.progress import Stages, as_json_lines, at_this_time, clock, drawn, told_now_and_then
from clippan_cli.running.control import Control, stopped_by_signals
from clippan_cli.running.warnings import RunWarning
from clippan_models.errors import ClippanError, OutputError, UsageError, printable, shown, unbroken
from clippan_models.plain import plain

logger = logging.getLogger(__name__)

PROGRESS = ("auto", "lines", "json", "none")
"""How progress is told of: as suits the terminal, in lines, as JSON, or not at all."""

_WIDEST = 100_000  # columns that a table is measured with
_BEGINNING = 4096  # bytes that tell a text from other data
_HANGING = 11  # columns under the headings of facts and results


class Terminal:
    """What a command shows while it works and when it is done."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: int = 0,
        json: bool = False,
        progress: str = "auto",
        log_file: Path | None = None,
    ) -> None:
        """Decide what to show.

        Args:
            quiet: no progress and no notes.
            verbose: 1: what is logged for information; 2: everything, also of the libraries.
            json: stdout is for one JSON document; everything else goes to stderr.
            progress: one of `PROGRESS`; with "json", each line on stderr but that of an error is a JSON document.
            log_file: everything is also written at the end of this file.
        """
        if progress not in PROGRESS:
            raise UsageError(f"{progress}: choose one of {', '.join(PROGRESS)}", "progress")
        self.quiet = quiet
        self.as_json = json
        self.stderr: Console = PlainConsole(stderr=True)
        # a file is as wide as what is written
        width = None if sys.stdout.isatty() else _WIDEST
        self.stdout: Console = PlainConsole(soft_wrap=True, width=width)
        self.verbose = verbose
        self.progress = progress
        self.log_file = log_file
        self._log: TextIO | None = None
        self._drawing = False

    @property
    def _told(self) -> str:
        """How progress is told of."""
        return "none" if self.quiet else self.progress

    @contextmanager
    def running(self) -> Iterator[Control]:
        """A control whose progress is drawn and that SIGINT, SIGTERM and SIGHUP stop at the next boundary."""
        control = Control(on_note=self.note, on_warning=self.warn, on_fact=self.fact)
        control.seconds["start"] = time.process_time()  # what Python and we took to come here
        with self._logging(), stopped_by_signals(control), self._watched(Stages(control)):
            yield control
            taken = (f"{stage} {clock(seconds)}" for stage, seconds in control.seconds.items())
            logger.info("time: %s", ", ".join(taken))

    @contextmanager
    def _watched(self, stages: Stages) -> Iterator[None]:
        """Tell of stages in the ways that the user wants."""
        with ExitStack() as stack:
            if self._log is not None:
                stack.enter_context(told_now_and_then(stages, partial(self._write_log, "progress")))
            if self._told == "json":
                as_json_lines(stages, self._write_stderr)
            elif self._told == "lines":
                stack.enter_context(told_now_and_then(stages, lambda line: self._write_stderr(at_this_time(line))))
            elif self._told == "auto":
                stack.enter_context(drawn(stages, self.stderr))
                self._drawing = self.stderr.is_terminal and sys.stdout.isatty()
            stack.callback(stages.close)
            try:
                yield
            except ClippanError as error:
                self._write_log("error", str(error))
                raise
            finally:
                self._drawing = False

    def note(self, text: str) -> None:
        """Say what was decided for the user."""
        if not self.quiet:
            self._tell("note", text)

    def warn(self, warning: RunWarning) -> None:
        """Tell of a doubt, also with --quiet: who wants fewer lines must not miss that the result may be wrong."""
        self._tell("warning", str(warning), one_line(f"warning: {warning}"))

    def fact(self, heading: str, texts: Sequence[str]) -> None:
        """A result that is known before the others; whoever reads it may leave before the last one is there."""
        first, *more = map(unbroken, texts)
        self._write_log("fact", f"{heading}: {'  '.join(texts)}")
        if self._told == "json":
            self._write_stderr(json.dumps({"fact": heading, "text": "  ".join(texts)}))
        elif not self.quiet and not self.as_json:
            with suppress(BrokenPipeError):
                self.say(f"{heading:<{_HANGING - 1}} {first}", *more)

    def say(self, text: str, *more: str) -> None:
        """A line for the human, on stderr with --json and on stdout otherwise.

        Args:
            text: the line.
            more: what follows; where lines end, each of these is kept in one.
        """
        if self.as_json or self._drawing:
            if not self.quiet:
                self.stderr.print(laid_out((text, *more), self.stderr, _HANGING), soft_wrap=True)
        else:
            sys.stdout.write(printable(laid_out((text, *more), self.stdout, _HANGING)) + "\n")
            sys.stdout.flush()

    def _tell(self, kind: str, text: str, line: str | None = None) -> None:
        """Tell on stderr of what has come up, and in the log."""
        self._write_log(kind, text)
        if self._told == "json":
            self._write_stderr(json.dumps({kind: text}))
        else:
            self.stderr.print(laid_out((line or one_line(text),), self.stderr, 2), style="yellow", soft_wrap=True)

    def _write_stderr(self, line: str) -> None:
        self.stderr.print(line, soft_wrap=True)

    def _write_log(self, kind: str, text: str) -> None:
        if self._log is not None:
            self._log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {kind} {one_line(text)}\n")

    def json(self, document: dict[str, Any]) -> None:
        """The one JSON document; numbers that JSON lacks become null."""
        text = json.dumps(
            plain(document), indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8", allow_nan=False
        )
        sys.stdout.write(printable(text, json.dumps) + "\n")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of results; the first column is text, the others are figures.

        What is wider than the terminal becomes a paragraph for each row: a number that is cut in two reads as another.
        """
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
        rows = [[unbroken(cell) for cell in row] for row in rows]
        for row in rows:
            table.add_row(*row)
        console = self.stderr if self.as_json else self.stdout
        width = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
        if width <= console.width:
            console.print(table)
            return
        console.print(title, style="italic")
        for name, *cells in rows:
            console.print(name, soft_wrap=True)
            named = [f"{column} {cell}" for column, cell in zip(columns[1:], cells, strict=True) if cell.strip()]
            if named:
                console.print(laid_out((f"  {named[0]}", *named[1:]), console, 2), soft_wrap=True)

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Show what our own modules log; of the libraries only where the user wants to see all.

        GDAL logs an error for each block that it cannot read. We say it once.
        """
        level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(self.verbose, 2)]
        shown: logging.Handler = RichHandler(console=self.stderr, show_path=False, markup=False)
        if self._told == "json":
            shown = _Calling(lambda text: self._write_stderr(json.dumps({"log": text})))
        shown.setLevel(level)
        kept = _Calling(lambda text: self._write_log("log", text))
        names = ("clippan_cli", "clippan_models", *(("rasterio",) if self.verbose >= 2 else ()))
        loggers = [logging.getLogger(name) for name in names]
        before = [logger.level for logger in loggers]
        with self._opened_log():
            for logger in loggers:
                logger.addHandler(shown)
                logger.addHandler(kept)
                logger.setLevel(level if self._log is None else min(level, logging.INFO))
            try:
                yield
            finally:
                for logger, old in zip(loggers, before, strict=True):
                    logger.removeHandler(shown)
                    logger.removeHandler(kept)
                    logger.setLevel(old)

    @contextmanager
    def _opened_log(self) -> Iterator[None]:
        if self.log_file is None:
            yield
            return
        try:
            if _holds_data(self.log_file):
                raise OutputError(f"{shown(self.log_file)} is not a text file, so no log; choose another name")
            file = open(self.log_file, "a", 1, "utf-8", "backslashreplace", opener=_open_at_once)
        except OSError as error:
            reason = "nobody reads this pipe" if error.errno == errno.ENXIO else error.strerror or error
            raise OutputError(f"cannot write {shown(self.log_file)}: {reason}") from error
        with file:
            self._log = file
            self._write_log("command", shlex.join(sys.argv))
            try:
                yield
            finally:
                self._log = None


def _open_at_once(path: str, flags: int) -> int:
    """Open a file for writing; where it is a pipe, do not wait for somebody to read it."""
    if not hasattr(os, "O_NONBLOCK"):  # Windows
        return os.open(path, flags, 0o666)
    number = os.open(path, flags | os.O_NONBLOCK, 0o666)
    os.set_blocking(number, True)
    return number


def _holds_data(path: Path) -> bool:
    """Whether a file is there that is no text, such as a raster."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"\0" in file.read(_BEGINNING)


class _Calling(logging.Handler):
    """Hands the text of what is logged to a function."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one text."""
        self._write(record.getMessage())


def laid_out(texts: Sequence[str], console: Console, hanging: int) -> str:
    """Texts as one line or, on a terminal, as many as it takes, without breaking a word.

    Args:
        texts: what to lay out; a text stays in one line if it fits into one.
        console: where to.
        hanging: columns that the second line and those that follow are moved right.
    """
    if not console.is_terminal:
        return "  ".join(texts)
    lines = [texts[0]]
    for text in texts[1:]:
        if len(lines[-1]) + 2 + len(text) <= console.width:
            lines[-1] += f"  {text}"
        else:
            lines.append(" " * hanging + text)
    wrap = partial(textwrap.wrap, width=console.width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(part for line in lines for part in wrap(line, subsequent_indent=" " * hanging) or [line])


class PlainConsole(Console):
    """A console that shows texts as they are, without markup, and control characters as escapes.

    Names of files, tags and cards come from anywhere, and must not move the cursor or forge a line.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A text without control characters; so that its width is known."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Whatever is drawn, such as logs and progress bars, without control characters that rich has not put there."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def one_line(message: str) -> str:
    """The message without line breaks, and without control characters that a file name may hold."""
    return printable(" ".join(line.strip() for line in message.splitlines() if line.strip()))
