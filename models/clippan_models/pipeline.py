"""Work in threads ahead of the caller and behind it: in order, bounded, and finished when the block ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

_WAITING = 3  # items that a writer has accepted and not finished: enough to overlap, few enough to bound memory
MOST_WORKERS = 8
"""A tile in progress takes some tens of megabytes, and one thread reads and one writes for all."""


@contextmanager
def prefetch(
    work: Callable[[T], R], items: Iterable[T], workers: int = 1, initializer: Callable[[], object] | None = None
) -> Iterator[Iterator[R]]:
    """The results of `work` for each item, in order, computed in threads while the caller uses earlier ones.

    An error of `work` is raised in the loop, at its place. After the block, however it was left, the threads have
    ended: files that they read can be closed.

        with prefetch(read, cores) as tiles:
            for tile in tiles:

    Args:
        work: called in the threads.
        items: what to call it with.
        workers: threads; one more result than that is waited for at a time, which bounds memory.
        initializer: called once in each thread, before its work.
    """
    pool = ThreadPoolExecutor(workers, "clippan-prefetch", initializer)

    def results() -> Iterator[R]:
        pending: deque[Future[R]] = deque()
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    try:
        yield results()
    finally:
        _complete(partial(pool.shutdown, cancel_futures=True))


@contextmanager
def side_by_side(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[Iterator[R]]:
    """The results of `work` as `prefetch` gives them, each computed by torch on one core; by one worker, the caller.

    Cores that share every operation wait for each other after each. Until the block ends, the caller has one core too.
    """
    if workers <= 1:
        yield map(work, items)
        return
    threads = torch.get_num_threads()
    try:
        with prefetch(work, items, workers, partial(torch.set_num_threads, 1)) as results:
            yield results
    finally:
        torch.set_num_threads(threads)


def workers_on(device: torch.device) -> int:
    """How many tiles to work on `side_by_side`: on a CPU as many as torch has threads, within bounds."""
    return min(torch.get_num_threads(), MOST_WORKERS) if device.type == "cpu" else 1


class BackgroundWriter(Generic[T]):
    """Writes items in a thread while the caller makes the next ones; `with` waits for the last.

    An error of writing is raised by a later `put` or at the end of the block, and nothing is written after it. After
    an error of the caller, items that still wait are dropped.
    """

    def __init__(self, write: Callable[[T], None]) -> None:
        """Take the function that writes one item."""
        self._write = write
        self._pool = ThreadPoolExecutor(1, "clippan-writer")
        self._waiting: deque[Future[None]] = deque()
        self._last: Future[None] | None = None

    def __enter__(self) -> BackgroundWriter[T]:
        """Accept items."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Wait until everything is written, or for the item in progress after an error of the caller."""
        _complete(partial(self._pool.shutdown, cancel_futures=kind is not None))
        if kind is None:
            self._collect(most=0)

    def put(self, item: T) -> None:
        """Hand over an item; waits while too many are unfinished."""
        self._collect(most=_WAITING - 1)
        self._last = self._pool.submit(self._write_after, self._last, item)
        self._waiting.append(self._last)

    def _collect(self, most: int) -> None:
        """Take finished items off the queue until at most so many are left, and raise their errors."""
        while self._waiting and (len(self._waiting) > most or self._waiting[0].done()):
            self._waiting.popleft().result()

    def _write_after(self, previous: Future[None] | None, item: T) -> None:
        if previous is not None:
            previous.result()  # raises the error of an earlier item instead of writing
        self._write(item)


def _complete(step: Callable[[], None]) -> None:
    """Take a step to its end even where a signal interrupts it: closing a file that a thread uses would crash."""
    interruption: BaseException | None = None
    while True:
        try:
            step()
            break
        except BaseException as error:
            interruption = error
    if interruption is not None:
        raise interruption
