"""Work on the windows of a scene with several threads, results in the order of the windows.

One window is too small for all cores to share in each of its steps; many windows at once keep them busy. Few are in
flight at a time, so memory stays bounded, and results are handed over in order, so sums do not depend on timing.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")

MOST_WORKERS = 8
"""Windows in flight at most, less one; each takes some tens of megabytes."""


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """The results of `work` for each item, in order; by the caller alone when there is one worker.

    With several, each runs torch on one thread; how many the caller had is restored at the end. What a worker raises
    is raised here, in its place. Leaving the loop early waits for what is in flight.
    """
    workers = min(workers, MOST_WORKERS)
    if workers <= 1:
        yield from map(work, items)
        return
    threads = torch.get_num_threads()
    waiting: deque[Future[R]] = deque()
    try:
        with ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, 1)) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(work, item))
                    if len(waiting) > workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        torch.set_num_threads(threads)
