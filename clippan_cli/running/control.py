"""How a long task reports progress, and how it is asked to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from clippan_cli.running.warnings import RunWarning, codes_of
from clippan_models.errors import Interrupted, StrictError


@dataclass(frozen=True)
class Progress:
    """How far one stage of a task has come.

    Attributes:
        stage: what is being done, e.g. "sharpen".
        done: units finished.
        total: units in all.
        pixels: PAN pixels finished in this stage, 0 where they are not the unit.
        note: a figure worth showing, e.g. the loss.
        unit: what is counted, in the plural.
    """

    stage: str
    done: int
    total: int
    pixels: int = 0
    note: str = ""
    unit: str = ""


@dataclass
class Control:
    """What a task is given by its caller: callbacks to report to, and the request to stop.

    Attributes:
        on_progress: called after each unit of work.
        on_stage: called with the name of a stage and True as it begins, and with False as it ends.
        on_fact: called with each thing that is found out about the run: a heading, and short texts.
        on_note: called with each decision that was made for the user, in one sentence.
        on_warning: called with each doubt about the run, once, as soon as it is known.
        strict: a warning ends the run.
        names: what warnings call files that have a working name, by that name.
        warnings: all so far.
        stop_signal: number of the signal that asks to stop, set by its handler; the task stops at its next check.
        stopping: the task has seen the request, and is cleaning up.
        seconds: wall time of each stage, filled by the task; that of a stage within another counts once, for the
            inner one, so that all add up to the time of the whole.
    """

    on_progress: Callable[[Progress], None] = lambda progress: None
    on_stage: Callable[[str, bool], None] = lambda stage, begins: None
    on_fact: Callable[[str, Sequence[str]], None] = lambda heading, texts: None
    on_note: Callable[[str], None] = lambda note: None
    on_warning: Callable[[RunWarning], None] = lambda warning: None
    strict: bool = False
    names: dict[str, str] = field(default_factory=dict)
    warnings: list[RunWarning] = field(default_factory=list)
    stop_signal: int | None = None
    stopping: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    _stages: list[str] = field(default_factory=list, init=False)
    _since: float = field(default=0.0, init=False)

    def report(self, progress: Progress) -> None:
        """Report progress, and stop here if asked to.

        Raises:
            Interrupted: a signal has asked to stop.
        """
        self.check()
        self.on_progress(progress)

    def check(self) -> None:
        """Stop here if asked to.

        Raises:
            Interrupted: a signal has asked to stop.
        """
        if self.stop_signal is not None:
            self.stopping = True
            raise Interrupted(self.stop_signal)

    def warn(self, *warnings: RunWarning) -> None:
        """Tell of doubts about the run; what was told before is not repeated.

        Raises:
            StrictError: the run is strict, and there is one.
        """
        named = [each.naming(self.names) for each in warnings]
        new = [each for each in dict.fromkeys(named) if each not in self.warnings]
        for each in new:
            self.warnings.append(each)
            self.on_warning(each)
        if self.strict and new:
            raise StrictError(f"--strict refuses what it warns of: {', '.join(codes_of(new))}")

    @contextmanager
    def warnings_of(self, name: str) -> Iterator[list[RunWarning]]:
        """Collect the warnings of one of many scenes; they are told with its name in front."""
        tell = self.on_warning
        with self._warnings_apart(lambda warning: tell(warning.about(name)), strict=self.strict) as found:
            yield found

    @contextmanager
    def without_warnings(self) -> Iterator[list[RunWarning]]:
        """Collect the warnings of work on data that are not the user's, or that are told later: nobody hears them."""
        with self._warnings_apart(lambda warning: None, strict=False) as found:
            yield found

    @contextmanager
    def without_facts(self) -> Iterator[None]:
        """Keep what is found out about a run to itself: it is one that the user has not asked for."""
        tell, self.on_fact = self.on_fact, lambda heading, texts: None
        try:
            yield
        finally:
            self.on_fact = tell

    @contextmanager
    def _warnings_apart(self, on_warning: Callable[[RunWarning], None], *, strict: bool) -> Iterator[list[RunWarning]]:
        before = self.warnings, self.on_warning, self.strict
        self.warnings, self.on_warning, self.strict = [], on_warning, strict
        try:
            yield self.warnings
        finally:
            self.warnings, self.on_warning, self.strict = before

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of a block to a stage, but not that of stages within it."""
        self._count()
        self._stages.append(stage)
        self.on_stage(stage, True)
        try:
            yield
        finally:
            self._count()
            self._stages.pop()
            self.on_stage(stage, False)

    def _count(self) -> None:
        """Add the time since the last change of stage to the innermost one."""
        now = time.perf_counter()
        if self._stages:
            self.seconds[self._stages[-1]] = self.seconds.get(self._stages[-1], 0.0) + now - self._since
        self._since = now


def handle_stop_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> dict[int, Any]:
    """Call a handler for the signals that ask to stop, except for those that were ignored from the start (nohup).

    Returns:
        The handlers that were there before, by the number of the signal.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # not every system has all of them
    before = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None)) is not None}
    handled = {number: former for number, former in before.items() if former is not signal.SIG_IGN}
    for number in handled:
        signal.signal(number, handler)
    return handled


@contextmanager
def stopped_by_signals(control: Control) -> Iterator[None]:
    """Let a signal ask the task to stop at its next check; a second signal stops it wherever it is.

    In both cases the task cleans up, and further signals do not disturb that.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        if control.stopping:
            return
        if control.stop_signal is not None:
            control.stopping = True
            raise SystemExit(128 + number)
        control.stop_signal = number

    before = handle_stop_signals(ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
