"""The scenes of an archive as a training sees them: windows by detail, and which scenes are held out.

Every scene keeps its own prior and normalisation.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.patches import Patches, ScenePatches, join_patches
from clippan_models.adaptation.window_cache import WindowCache

STRATA = 4


@dataclass(frozen=True)
class ArchiveScene:
    """A scene of an archive.

    Attributes:
        name: for messages.
        prior: of the scene, on the CPU.
        cache: of the windows of all scenes, on the CPU.
        number: of the scene there.
        windows: numbers of its windows there; here they are counted from 0.
        reduced: how many patches with a truth each window has; they are numbered from window to window.
        strata: the windows by how much detail they hold; none is empty.
    """

    name: str
    prior: Prior
    cache: WindowCache
    number: int
    windows: tuple[int, ...]
    reduced: tuple[int, ...]
    strata: tuple[tuple[int, ...], ...]

    def prefetch(self, windows: Iterable[int], reduced: Sequence[int] = ()) -> None:
        """Begin to load windows, and those that hold patches with a truth."""
        for window in (*windows, *self._holders(reduced)):
            self.cache.prefetch(self.number, self.windows[window])

    def patches(self, windows: Sequence[int], reduced: Sequence[int]) -> ScenePatches:
        """The patches at full resolution of these windows, and those with a truth of these numbers.

        Raises:
            ClippanError: a window cannot be loaded.
        """
        full = join_patches([window.full for window in self._take(windows)])
        return ScenePatches(full, self._reduced(reduced) if reduced else None)

    def sampled(self, count: int) -> ArchiveScene:
        """The scene with at most so many windows, evenly from all, as one stratum."""
        chosen = evenly(len(self.windows), count)
        windows, reduced = (tuple(each[n] for n in chosen) for each in (self.windows, self.reduced))
        return replace(self, windows=windows, reduced=reduced, strata=(tuple(range(len(chosen))),))

    def _take(self, windows: Sequence[int]) -> list[ScenePatches]:
        self.prefetch(windows)
        return [self.cache.take(self.number, self.windows[window]) for window in windows]

    def _holders(self, reduced: Sequence[int]) -> list[int]:
        """The window that holds each of these patches with a truth."""
        ends = list(accumulate(self.reduced))
        return [bisect_right(ends, number) for number in reduced]

    def _reduced(self, numbers: Sequence[int]) -> Patches:
        holders, before = self._holders(numbers), [0, *accumulate(self.reduced)]
        parts = []
        for number, holder, window in zip(numbers, holders, self._take(holders), strict=True):
            if window.reduced is None:
                raise ValueError(f"window {holder} of {self.name} has no patches with a truth")
            parts.append(window.reduced.take(torch.tensor([number - before[holder]])))
        return join_patches(parts)


def strata_of(detail: Sequence[float], edges: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """The numbers of windows by stratum of their detail; empty strata are left out."""
    bins = torch.bucketize(torch.tensor(detail), torch.tensor(edges)).tolist()
    return tuple(members for s in range(len(edges) + 1) if (members := tuple(i for i, b in enumerate(bins) if b == s)))


def strata_edges(detail: Sequence[float]) -> list[float]:
    """The limits between the strata of an archive: equally wide in the logarithm, so that rare detail has its own."""
    logs = torch.tensor(detail, dtype=torch.float64).clamp(min=1e-6).log()
    low, high = torch.quantile(logs, 0.02), torch.quantile(logs, 0.98)
    return [float(edge) for edge in torch.linspace(float(low), float(high), STRATA + 1)[1:-1].exp()]


def split_scenes(count: int, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the scenes to train on, and of the held-out ones, every fifth and at least one; both in order.

    A single scene is in both.
    """
    if count == 1:
        return [0], [0]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    held_out = sorted(order[: max(1, count // 5)])
    return [number for number in range(count) if number not in held_out], held_out


def evenly(available: int, count: int) -> list[int]:
    """At most `count` of so many numbers, at equal distances from the first to the last."""
    chosen: list[int] = torch.linspace(0, available - 1, min(available, count)).round().long().tolist()
    return chosen
