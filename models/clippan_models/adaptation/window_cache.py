"""The most recently used windows of an archive, as patches: as many as fit into memory, however large the archive."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from clippan_models.adaptation.patches import ScenePatches

Finish = Callable[[int, ScenePatches], ScenePatches]
"""Adds to a window of a scene, by the number of the scene, what does not change in a training: CLIP features and the
images of a teacher."""


class Pending(Protocol):
    """A window that is being loaded."""

    def result(self) -> ScenePatches:
        """The window; waits for it."""


@dataclass
class _Entry:
    pending: Pending | None
    window: ScenePatches | None = None
    finished: bool = False


class WindowCache:
    """Windows by the number of their scene and their own; those used least recently make room for others."""

    def __init__(self, load: Callable[[int, int], Pending], capacity: int) -> None:
        """Begin with nothing.

        Args:
            load: begins to load a window of a scene, and does not wait for it.
            capacity: windows to keep, at least two.
        """
        self._load = load
        self._capacity = max(2, capacity)
        self._finish: Finish | None = None
        self._entries: OrderedDict[tuple[int, int], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def room(self) -> int:
        """How many windows can be prefetched at a time before some are dropped unused."""
        return self._capacity // 2

    def finish_with(self, finish: Finish) -> None:
        """Finish every window so from now on, those that are there included."""
        self._finish = finish

    def prefetch(self, scene: int, window: int) -> None:
        """Begin to load a window that will be taken soon, if it is not there."""
        key = scene, window
        if key not in self._entries:
            while len(self._entries) >= self._capacity:
                self._entries.popitem(last=False)
            self._entries[key] = _Entry(self._load(scene, window))
        self._entries.move_to_end(key)

    def take(self, scene: int, window: int) -> ScenePatches:
        """A window, finished.

        Raises:
            ClippanError: it cannot be loaded.
        """
        self.prefetch(scene, window)
        entry = self._entries[scene, window]
        if entry.pending is not None:
            entry.window, entry.pending = entry.pending.result(), None
        if entry.window is None:
            raise ValueError("an entry that is not being loaded holds its window")
        if self._finish is not None and not entry.finished:
            entry.window, entry.finished = self._finish(scene, entry.window), True
        return entry.window
