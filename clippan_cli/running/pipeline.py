"""One reader, the compute, one writer, overlapped through bounded queues."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

_DEPTH = 2  # items waiting between two stages: enough to overlap, little enough to bound memory


class _End:
    """Marks the end of a queue; carries the error that ended it, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Items that a thread produces while the caller works on earlier ones.

    An error of the producer is raised in the loop, in its place. After the block the thread has ended, however the
    block was left: the files that it reads can be closed.

        with ahead(read(core) for core in cores) as tiles:
            for tile in tiles:
    """
    waiting: queue.Queue[T | _End] = queue.Queue(_DEPTH)
    stop = threading.Event()

    def offer(item: T | _End) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not offer(item):
                    return
            offer(_End())
        except BaseException as error:  # raised again in the consumer
            offer(_End(error))

    def take() -> Iterator[T]:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    thread = threading.Thread(target=produce, name="clippan-reader", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stop.set()
        _see_through(thread.join)


class Behind(Generic[T]):
    """Consumes items in a thread while the caller makes the next ones; `with` waits for the last.

    An error of the consumer is raised by the next `put`, or at the end of the block.
    """

    def __init__(self, consume: Callable[[T], None]) -> None:
        """Take the function that consumes one item."""
        self._consume = consume
        self._waiting: queue.Queue[T | _End] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="clippan-writer", daemon=True)

    def __enter__(self) -> Behind[T]:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Wait until all is consumed; after an error of the caller, drop what waits."""
        if kind is not None and self._error is None:
            self._error = InterruptedError()
        _see_through(lambda: self._waiting.put(_End()))
        _see_through(self._thread.join)
        if kind is None:
            self._raise()

    def put(self, item: T) -> None:
        """Hand over an item; waits while the queue is full."""
        self._raise()
        self._waiting.put(item)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, _End):
                return
            if self._error is not None:
                continue
            try:
                self._consume(item)
            except BaseException as error:  # raised again in the producer
                self._error = error


def _see_through(step: Callable[[], None]) -> None:
    """Take a step to its end even where a signal breaks it off: closing a file that a thread uses would crash."""
    broken_off: BaseException | None = None
    while True:
        try:
            step()
            break
        except BaseException as error:
            broken_off = error
    if broken_off is not None:
        raise broken_off
