"""The windows of a scene, one after the other or several at once, and their results in order.

One window is too small for all cores to share in each of its steps; many windows at once keep them busy. Few are in
progress at a time, so memory stays bounded, and results come in order, so sums do not depend on timing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from clippan_models.contracts import Window
from clippan_models.pipeline import MOST_WORKERS, side_by_side

R = TypeVar("R")


@dataclass(frozen=True)
class Windows:
    """How a scene is read.

    Attributes:
        size: side of a window, pixels, a multiple of `block`. Changes memory and speed, not the result.
        block: side of the blocks of Q and Q2n, pixels; published tables use 32.
        only: read these only, each from a whole block to a whole block or to the border; None: all of the scene.
        workers: windows worked on at once; above 1, what they read from must allow calls from several threads.
        on_progress: called after each window with the number of windows done and their total; may raise to stop.

    Raises:
        ValueError: the size is not a multiple of the block.
    """

    size: int = 512
    block: int = 32
    only: Sequence[Window] | None = None
    workers: int = 1
    on_progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        if self.size % self.block:
            raise ValueError(f"windows of {self.size} pixels do not divide into blocks of {self.block}")

    def over(self, shape: tuple[int, int]) -> Sequence[Window]:
        """The windows of a scene of so many rows and columns."""
        if self.only is not None:
            return self.only
        (height, width), size = shape, self.size
        return [
            Window(row, col, min(size, height - row), min(size, width - col))
            for row in range(0, height, size)
            for col in range(0, width, size)
        ]

    def each(self, work: Callable[[Window], R], shape: tuple[int, int]) -> Iterator[R]:
        """The results of `work` for the windows of a scene, in order; an error of `work` is raised at its place."""
        todo = self.over(shape)
        with side_by_side(work, todo, min(self.workers, MOST_WORKERS)) as results:
            for done, result in enumerate(results, start=1):
                yield result
                if self.on_progress is not None:
                    self.on_progress(done, len(todo))
