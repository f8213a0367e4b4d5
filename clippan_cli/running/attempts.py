"""Have workers do many tasks; a task whose worker dies gets another attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from clippan_cli.running.control import Control
from clippan_cli.running.pool import WorkerLost
from clippan_models.errors import ResourceError

T = TypeVar("T")
R = TypeVar("R")

_ATTEMPTS = 2  # at a task whose worker dies
_TICK = 0.2  # seconds between looks at the request to stop


def results_of(
    tasks: Sequence[T], submit: Callable[[T], Future[R]], name: Callable[[T], str], control: Control
) -> Iterator[tuple[T, R | ResourceError]]:
    """What comes of each task, as it comes; the error of one that has cost too many workers.

    Args:
        tasks: what is to be done.
        submit: has a worker do a task; the future raises `WorkerLost` where the worker is gone.
        name: of a task in messages.
        control: notes and the request to stop.

    Raises:
        Interrupted: a signal asked to stop.
        ResourceError: there is no worker any more.
    """
    finished: SimpleQueue[tuple[T, int, Future[R]]] = SimpleQueue()

    def begin(task: T, attempt: int) -> None:
        submit(task).add_done_callback(lambda future: finished.put((task, attempt, future)))

    for task in tasks:
        begin(task, 1)
    left = len(tasks)
    while left:
        control.check()
        try:
            task, attempt, future = finished.get(timeout=_TICK)
            result: R | ResourceError = future.result()
        except Empty:
            continue
        except WorkerLost as loss:
            if attempt < _ATTEMPTS:
                control.on_note(f"{name(task)}: its worker {loss.how}; it is tried again")
                begin(task, attempt + 1)
                continue
            result = ResourceError(f"its worker {loss.how}, {_ATTEMPTS} times; is there enough memory?")
        left -= 1
        yield task, result
