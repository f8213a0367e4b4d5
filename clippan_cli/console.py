"""The only place that draws: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import html
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.logging import RichHandler
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from clippan_cli.running.control import Control, Progress, stopped_by_signals
from clippan_cli.running.warnings import RunWarning
from clippan_models.plain import plain

if TYPE_CHECKING:
    from rich.progress import TaskID

_EVERY_SECONDS = 30.0  # between lines of progress where there is no terminal
_EVERY_SECONDS_IN_A_NOTEBOOK = 0.2
_PACE_SECONDS = 300.0  # that the time left is judged by: some units take a minute


_UNUSUAL = re.compile(r"[^\x20-\x7e\n]")


class Terminal:
    """What a command shows while it works and when it is done."""

    def __init__(self, *, quiet: bool = False, verbose: int = 0, json: bool = False) -> None:
        """Decide what to show.

        Args:
            quiet: no progress and no notes.
            verbose: 1: what is logged for information; 2: everything, also of the libraries.
            json: stdout is for one JSON document; everything else goes to stderr.
        """
        self.quiet = quiet
        self.as_json = json
        self.stderr: Console = PlainConsole(stderr=True)
        self.stdout: Console = PlainConsole(soft_wrap=True)
        self.verbose = verbose

    @contextmanager
    def running(self) -> Iterator[Control]:
        """A control whose progress is drawn and that SIGINT, SIGTERM and SIGHUP stop at the next boundary."""
        control = Control(on_note=self.note, on_warning=self.warn)
        with self._logging(), stopped_by_signals(control):
            if self.quiet:
                yield control
            else:
                with drawn(control, self.stderr):
                    yield control

    def note(self, text: str) -> None:
        """Say what was decided for the user."""
        if not self.quiet:
            self.stderr.print(one_line(text), style="yellow", soft_wrap=True)

    def warn(self, warning: RunWarning) -> None:
        """Tell of a doubt, also with --quiet: who wants fewer lines must not miss that the result may be wrong."""
        self.stderr.print(one_line(f"warning: {warning}"), style="yellow", soft_wrap=True)

    def say(self, text: str) -> None:
        """A line for the human, on stderr with --json and on stdout otherwise."""
        if self.as_json:
            if not self.quiet:
                self.stderr.print(text, soft_wrap=True)
        else:
            self.stdout.print(text, soft_wrap=True)

    def json(self, document: dict[str, Any]) -> None:
        """The one JSON document; numbers that JSON lacks become null."""
        text = json.dumps(
            plain(document), indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8", allow_nan=False
        )
        sys.stdout.write(printable(text, json.dumps) + "\n")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of results; the first column is text, the others are figures."""
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        (self.stderr if self.as_json else self.stdout).print(table)

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Show what our own modules log; of the libraries only where the user wants to see all.

        GDAL logs an error for each block that it cannot read. We say it once.
        """
        level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(self.verbose, 2)]
        handler = RichHandler(console=self.stderr, show_path=False, markup=False)
        loggers = [logging.getLogger(name) for name in ("clippan_cli", "clippan_models")]
        loggers += [logging.getLogger("rasterio")] if self.verbose >= 2 else []
        before = [logger.level for logger in loggers]
        for logger in loggers:
            logger.addHandler(handler)
            logger.setLevel(level)
        try:
            yield
        finally:
            for logger, old in zip(loggers, before, strict=True):
                logger.removeHandler(handler)
                logger.setLevel(old)


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


def printable(text: str, escape: Callable[[str], str] = ascii) -> str:
    """A text with all control characters but line breaks escaped, in the way of Python or of JSON."""
    return _UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else escape(found[0])[1:-1], text)


def one_line(message: str) -> str:
    """The message without line breaks, and without control characters that a file name may hold."""
    return printable(" ".join(message.split()))


@contextmanager
def drawn(control: Control, console: Console) -> Iterator[None]:
    """Draw the progress of a control: in a notebook, as bars on a terminal, or else as a line now and then."""
    if console.is_jupyter:
        control.on_progress = _Notebook()
        yield
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bars(control, console):
            yield
    else:
        control.on_progress = _Lines(console)
        yield


@contextmanager
def _bars(control: Control, console: Console) -> Iterator[None]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=_PACE_SECONDS,
    )
    stages: dict[str, TaskID] = {}
    started: dict[str, float] = {}

    def draw(progress: Progress) -> None:
        if progress.stage not in stages:
            # what was done before, as by a training that goes on, says nothing of the pace
            stages[progress.stage] = bars.add_task(
                progress.stage, total=progress.total, completed=progress.done, note=""
            )
            started[progress.stage] = time.monotonic()
        note = progress.note or _speed(progress, time.monotonic() - started[progress.stage])
        bars.update(stages[progress.stage], completed=progress.done, total=progress.total, note=one_line(note))

    control.on_progress = draw
    with bars:
        yield


class _Notebook:
    """Progress in a notebook: an output cell with a bar for each stage. Needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import display

        self.rows: dict[str, str] = {}
        self.last = 0.0
        self.handle = display({"text/plain": ""}, raw=True, display_id=True)

    def __call__(self, progress: Progress) -> None:
        said = f"{progress.stage} {progress.done}/{progress.total}  {progress.note}".rstrip()
        bar = f'<progress value="{progress.done}" max="{progress.total}"></progress>'
        self.rows[progress.stage] = f"{bar} {html.escape(said)}"
        now = time.monotonic()
        if now - self.last < _EVERY_SECONDS_IN_A_NOTEBOOK and progress.done < progress.total:
            return
        self.last = now
        self.handle.update({"text/html": "<br>".join(self.rows.values()), "text/plain": said}, raw=True)


class _Lines:
    """Progress where there is no terminal: a line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started: dict[str, tuple[float, int]] = {}  # when each stage was first heard of, and what was done then
        self.last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        started, before = self.started.setdefault(progress.stage, (now, progress.done))
        if now - self.last < _EVERY_SECONDS:
            return
        self.last = now
        note = progress.note or _speed(progress, now - started)
        left = _left(progress, now - started, progress.done - before)
        said = f"{progress.stage} {progress.done}/{progress.total}"
        self.console.print("  ".join(part for part in (said, note, left) if part), soft_wrap=True)


def _speed(progress: Progress, seconds: float) -> str:
    return f"{progress.pixels / 1e6 / seconds:.2f} Mpx/s" if progress.pixels and seconds > 0 else ""


def _left(progress: Progress, seconds: float, done: int) -> str:
    """The time that a stage still takes, if it goes on as it did."""
    if done <= 0 or progress.done >= progress.total:
        return ""
    minutes, rest = divmod(round(seconds / done * (progress.total - progress.done)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left"
