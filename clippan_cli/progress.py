"""How far a run has come: its stages, and how a terminal, a log, a notebook or a scheduler is told of them."""

from __future__ import annotations

import html
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clippan_cli.running.control import Control, Progress

EVERY_SECONDS = 10.0
"""Between lines of progress where there is no terminal."""

_JSON_EVERY_SECONDS = 1.0
_NOTEBOOK_EVERY_SECONDS = 0.2
_WORTH_A_LINE = 1.0  # seconds of a stage that counts nothing, to be worth a line when it is over
_LABEL, _BAR = 12, 14  # columns


@dataclass(eq=False)
class Stage:
    """What is being done, and how far it has come.

    Attributes:
        label: what it is called.
        part: 1, or how often a stage of this name has begun by now: some work comes in several parts.
        counted: it is known from the units that are done, and not from its beginning and its end.
        latest: what was heard of it last, or None.
        before: units that were done when it was first heard of: what comes before them, such as preparations, or a
            training that goes on, tells nothing of the pace.
        paced: when that was.
        ended: it has ended.
    """

    label: str
    part: int = 1
    counted: bool = False
    latest: Progress | None = None
    before: int = 0
    paced: float = 0.0
    ended: bool = False
    _spent: float = 0.0
    _since: float | None = field(default_factory=lambda: time.monotonic())

    @property
    def counts(self) -> bool:
        """Units of it are done."""
        return self.latest is not None and self.latest.done > 0

    @property
    def elapsed(self) -> float:
        """Seconds since it began, without those of stages within it."""
        return self._spent + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def left(self) -> float | None:
        """Seconds that it still takes, if it goes on as it did; None where nothing tells."""
        if self.latest is None or self.latest.done <= self.before:
            return None
        paced = time.monotonic() - self.paced
        return paced / (self.latest.done - self.before) * (self.latest.total - self.latest.done)

    def pause(self) -> None:
        """Let its time stand still."""
        self._spent, self._since = self.elapsed, None

    def resume(self) -> None:
        """Let its time go on."""
        self._since = time.monotonic()

    def hear(self, progress: Progress) -> None:
        """Take in how far it has come."""
        if self.latest is None:
            self.before, self.paced = progress.done, time.monotonic()
        self.latest = progress

    def is_told_by(self, progress: Progress) -> bool:
        """Whether this is heard of it: it has its name, and has not begun anew."""
        return self.label == progress.stage and (self.latest is None or self.latest.done <= progress.done)

    def words(self) -> list[str]:
        """How far it is: units, times, speed, and a note."""
        words = []
        latest = self.latest
        if latest is not None and latest.done:
            of = "" if latest.unit == "%" else f"/{latest.total}"
            words.append(f"{latest.done}{of} {latest.unit}".rstrip())
        if self.ended:
            words.append(f"took {clock(self.elapsed)}")
        else:
            left = f", {clock(self.left)} left" if self.left else ""
            words.append(f"{clock(self.elapsed)} elapsed{left}")
        if latest is not None and latest.pixels and self.elapsed > 0:
            words.append(f"{latest.pixels / 1e6 / self.elapsed:.2f} Mpx/s")
        return [*words, latest.note] if latest is not None and latest.note else words


def clock(seconds: float) -> str:
    """A time for people: 0.4 s, 12 s, 3:05 min, 1:37:00 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


class Stages:
    """The stages of a run, as its control tells of them. Each begins once and ends once.

    Stages may lie within others, whose time stands still meanwhile. What is heard within a stage under another name,
    such as "verify" within "write", is a stage of its own, until something else is heard there or the outer one ends.
    """

    def __init__(self, control: Control) -> None:
        """Listen to a control."""
        self.current: Stage | None = None
        self.on_change: list[Callable[[Stage], None]] = []
        self._open: list[Stage] = []
        self._begun: Counter[str] = Counter()
        control.on_stage, control.on_progress = self._turned, self._heard

    def close(self) -> None:
        """End what is still counted: nothing more will be heard."""
        while self._counting is not None:
            self._end()

    @property
    def _counting(self) -> Stage | None:
        """The current stage, if it is known from its units only."""
        return self.current if self.current is not None and self.current.counted else None

    def _turned(self, name: str, begins: bool) -> None:
        counting = self._counting
        if counting is not None and (not begins or (counting.latest and counting.latest.done >= counting.latest.total)):
            self._end()
        if begins:
            self._tell(self._begin(name))
        else:
            self._end()

    def _heard(self, progress: Progress) -> None:
        counting = self._counting
        if counting is not None and not counting.is_told_by(progress):
            self._end()
        stage = self.current
        if stage is None or not stage.is_told_by(progress):
            stage = self._begin(progress.stage, counted=True)
        stage.hear(progress)
        self._tell(stage)

    def _begin(self, name: str, counted: bool = False) -> Stage:
        if self.current is not None:
            self.current.pause()
        self._begun[name] += 1
        self.current = Stage(name, self._begun[name], counted)
        self._open.append(self.current)
        return self.current

    def _end(self) -> None:
        stage = self._open.pop()
        stage.pause()
        stage.ended = True
        self.current = self._open[-1] if self._open else None
        if self.current is not None:
            self.current.resume()
        self._tell(stage)

    def _tell(self, stage: Stage) -> None:
        for tell in self.on_change:
            tell(stage)


@contextmanager
def drawn(stages: Stages, console: Console) -> Iterator[None]:
    """Draw stages where people look: in a notebook, on a terminal, or else as a line now and then."""
    with ExitStack() as stack:
        if console.is_jupyter:
            stages.on_change.append(_Notebook())
        elif console.is_terminal and not console.is_dumb_terminal:
            stack.enter_context(_on_terminal(stages, console))
        else:
            tell = partial(console.print, soft_wrap=True)
            stack.enter_context(told_now_and_then(stages, lambda words: tell(at_this_time(words))))
        stack.callback(stages.close)
        yield


@contextmanager
def told_now_and_then(stages: Stages, write: Callable[[str], None]) -> Iterator[None]:
    """Write how far the current stage is, every so often, also while nothing is heard."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(EVERY_SECONDS):
            stage = stages.current
            if stage is not None:
                write(f"{stage.label} {'  '.join(stage.words())}")

    teller = threading.Thread(target=tell, name="clippan-progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def at_this_time(words: str) -> str:
    """A line with the time of day."""
    return f"{time.strftime('%H:%M:%S')} {words}"


def as_json_lines(stages: Stages, write: Callable[[str], None]) -> None:
    """Write a JSON document in a line as a stage begins, once a second while it counts, and as it ends."""
    last: dict[Stage, float] = {}

    def tell(stage: Stage) -> None:
        now, latest = time.monotonic(), stage.latest
        if not stage.ended and stage in last and now - last[stage] < _JSON_EVERY_SECONDS:
            return
        last[stage] = now
        done, total, unit = (latest.done, latest.total, latest.unit) if latest else (int(stage.ended), None, "")
        told = {"stage": stage.label, "part": stage.part, "done": done, "total": total, "unit": unit}
        write(json.dumps(told | {"elapsed": round(stage.elapsed, 3), "ended": stage.ended}))

    stages.on_change.append(tell)


@contextmanager
def _on_terminal(stages: Stages, console: Console) -> Iterator[None]:
    """The current stage with a bar; those that are over as lines above it."""

    def current() -> Table | str:
        return "" if stages.current is None else _line(stages.current, console.width)

    def keep(stage: Stage) -> None:
        if stage.ended and (stage.counts or stage.elapsed >= _WORTH_A_LINE):
            live.refresh()  # or what is over would be drawn again below its last line
            console.print(_line(stage, console.width))

    # stdout is left alone: it may lead into a file
    live = Live(get_renderable=current, console=console, transient=True, refresh_per_second=8, redirect_stdout=False)
    stages.on_change.append(keep)
    with live:
        yield


def _line(stage: Stage, width: int) -> Table:
    """A stage in one line, however narrow: what does not fit is left out from the end."""
    label = stage.label if len(stage.label) <= _LABEL else f"{stage.label[: _LABEL - 1]}…"
    words, room = stage.words(), width - _LABEL - _BAR - 3
    while len(words) > 1 and len("  ".join(words)) > room:
        words.pop()
    latest = stage.latest if stage.counts else None
    over = stage.ended
    bar = ProgressBar(
        total=float(latest.total) if latest else 1.0 if over else None,
        completed=float(latest.done) if latest else float(over),
        width=_BAR,
    )
    line = Table.grid(padding=(0, 1))
    line.add_column(width=_LABEL, no_wrap=True)
    line.add_column(width=_BAR)
    line.add_column(width=max(room, 1), no_wrap=True, overflow="ellipsis")
    line.add_row(Text(label), bar, Text("  ".join(words)))
    return line


class _Notebook:
    """Progress in a notebook: an output cell with a bar for each stage. Needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import display

        self.rows: dict[Stage, str] = {}
        self.last = 0.0
        self.handle = display({"text/plain": ""}, raw=True, display_id=True)

    def __call__(self, stage: Stage) -> None:
        said = f"{stage.label} {'  '.join(stage.words())}"
        over = stage.ended
        if over and not stage.counts and stage.elapsed < _WORTH_A_LINE:
            self.rows.pop(stage, None)
        else:
            share = f' value="{stage.latest.done}" max="{stage.latest.total}"' if stage.latest and stage.counts else ""
            share = share or ' value="1"' * over
            self.rows[stage] = f"<progress{share}></progress> {html.escape(said)}"
        now = time.monotonic()
        if now - self.last < _NOTEBOOK_EVERY_SECONDS and not over:
            return
        self.last = now
        rows = [row for each, row in self.rows.items() if each.ended or each.counts or each is stage]
        self.handle.update({"text/html": "<br>".join(rows), "text/plain": said}, raw=True)
