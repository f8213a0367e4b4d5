"""The windows of an archive that were used last, as patches: what fits into memory, whatever the archive weighs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from clippan_models.adaptation.patches import WindowPatches

Finish = Callable[[int, WindowPatches], WindowPatches]
"""Adds to a window of a scene, by the number of the scene, what does not change while a network learns from it."""


class Pending(Protocol):
    """A window that is being loaded."""

    def result(self) -> WindowPatches:
        """The window; waits for it."""


@dataclass
class _Entry:
    pending: Pending | None
    window: WindowPatches | None = None
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
        """How many windows can be expected at a time without some being dropped before they are taken."""
        return self._capacity // 2

    def finish_with(self, finish: Finish) -> None:
        """Finish every window so from now on."""
        self._finish = finish

    def expect(self, scene: int, window: int) -> None:
        """Begin to load a window that will be taken soon, if it is not there."""
        key = scene, window
        if key not in self._entries:
            while len(self._entries) >= self._capacity:
                self._entries.popitem(last=False)
            self._entries[key] = _Entry(self._load(scene, window))
        self._entries.move_to_end(key)

    def take(self, scene: int, window: int) -> WindowPatches:
        """A window, finished.

        Raises:
            ClippanError: it cannot be loaded.
        """
        self.expect(scene, window)
        entry = self._entries[scene, window]
        if entry.pending is not None:
            entry.window, entry.pending = entry.pending.result(), None
        if entry.window is None:
            raise ValueError("an entry that waits for nothing holds its window")
        if self._finish is not None and not entry.finished:
            entry.window, entry.finished = self._finish(scene, entry.window), True
        return entry.window


@dataclass(frozen=True)
class SceneWindows:
    """Some windows of one scene, counted from 0.

    Attributes:
        cache: of all scenes.
        scene: number of this one there.
        numbers: of its windows there.
    """

    cache: WindowCache
    scene: int
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def room(self) -> int:
        """How many windows can be expected at a time."""
        return self.cache.room

    def expect(self, wanted: Iterable[int]) -> None:
        """Begin to load windows that will be taken soon."""
        for number in wanted:
            self.cache.expect(self.scene, self.numbers[number])

    def take(self, wanted: Iterable[int]) -> list[WindowPatches]:
        """Windows, in the order asked for."""
        wanted = list(wanted)
        self.expect(wanted)
        return [self.cache.take(self.scene, self.numbers[number]) for number in wanted]

    def only(self, wanted: Sequence[int]) -> SceneWindows:
        """These windows alone, counted anew."""
        return SceneWindows(self.cache, self.scene, tuple(self.numbers[number] for number in wanted))
