"""What every function of clippan shares: its options, how it shows progress, how it is stopped, how it fails."""

from __future__ import annotations

import inspect
import logging
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, wraps
from inspect import Parameter
from typing import Any, ParamSpec, TypeVar

from clippan_cli.options.adapt import AdaptFlags
from clippan_cli.options.assess import AssessCommandFlags
from clippan_cli.options.batch import BatchFlags
from clippan_cli.options.bench import BenchFlags
from clippan_cli.options.flags import Option, group_of, options_of, refuse_unknown
from clippan_cli.options.sharpen import SharpenFlags
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.warnings import RunWarning
from clippan_models.errors import ClippanError, Interrupted

P = ParamSpec("P")
R = TypeVar("R")

OnProgress = Callable[[Progress], None]

_logger = logging.getLogger("clippan")
_NOT_FOR_USERS = (
    "Dataset has no geotransform",  # of files that we make on the way
    "IProgress not found",  # of tqdm, which others load
)
_FLAG = re.compile(r"--(no-)?([a-z][a-z0-9-]*)")


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """A function of clippan: refuses unknown options, shows all in its signature, and names them in its errors."""
    *own, _ = inspect.signature(function).parameters.values()
    group = group_of(function)

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        names = {each.name for each in own}
        refuse_unknown(function.__name__, group, {name: value for name, value in kwargs.items() if name not in names})
        try:
            with warnings.catch_warnings():
                for about in _NOT_FOR_USERS:
                    warnings.filterwarnings("ignore", about)
                return function(*args, **kwargs)
        except ClippanError as error:
            error.args = (in_python(str(error)), *error.args[1:])
            raise

    signature = inspect.signature(function)
    parameters = [*own, *(_parameter(each) for each in options_of(group))]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


@contextmanager
def running(progress: bool | None, on_progress: OnProgress | None) -> Iterator[Control]:
    """A control for one call.

    Args:
        progress: draw a bar; None: in a notebook only.
        on_progress: is called after each unit of work as well.
    """
    from rich.console import Console

    from clippan_cli.progress import Stages, drawn

    control, console = (
        Control(on_note=_logger.info, on_warning=_warn),
        Console(stderr=True, highlight=False, emoji=False),
    )
    drawing = console.is_jupyter if progress is None else progress
    with drawn(Stages(control), console) if drawing else nullcontext(), _interruptible(control):
        if on_progress is not None:
            control.on_progress = _both(control.on_progress, on_progress)
        yield control


class ClippanWarning(UserWarning):
    """A doubt about a run; begins with what was found, and ends with its code in brackets."""


def _warn(warning: RunWarning) -> None:
    warnings.warn(in_python(str(warning)), ClippanWarning, stacklevel=2)


def in_python(text: str) -> str:
    """A message with options as Python calls them: overwrite=True where the command line has --overwrite."""

    def keyword(found: re.Match[str]) -> str:
        name = found[2].replace("-", "_")
        if name not in _kinds():
            return found[0]
        return f"{name}={not found[1]}" if _kinds()[name] is bool else name

    return _FLAG.sub(keyword, text)


@cache
def _kinds() -> dict[str, Any]:
    """The type of each option."""
    groups = (SharpenFlags, BatchFlags, BenchFlags, AdaptFlags, AssessCommandFlags)
    return {each.name: each.kind for group in groups for each in options_of(group)}


def _parameter(option: Option) -> Parameter:
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.flag.default, annotation=option.kind)


def _both(one: OnProgress, other: OnProgress) -> OnProgress:
    def call(progress: Progress) -> None:
        one(progress)
        other(progress)

    return call


@contextmanager
def _interruptible(control: Control) -> Iterator[None]:
    """Let Ctrl-C, or the button of a notebook, stop the work at the next boundary; a second time at once.

    What was learned until then is saved as on the command line. The caller sees a `KeyboardInterrupt`, which no
    `except ClippanError` takes for a scene that failed.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def ask(number: int, frame: object) -> None:
        if control.stop_signal is not None:
            raise KeyboardInterrupt
        control.stop_signal = number

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    except Interrupted as stop:
        raise KeyboardInterrupt(in_python(str(stop))) from stop
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
