"""Do windows of an archive stay within memory, and is each loaded once as long as it is needed?"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clippan_models.adaptation.archive import ArchiveScene
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.patches import Patches, ScenePatches
from clippan_models.adaptation.window_cache import WindowCache
from clippan_models.errors import InputError


def window(scene: int, number: int) -> ScenePatches:
    """One that can be told from others."""
    told = torch.full((1, 1, 1, 1), float(10 * scene + number))
    return ScenePatches(Patches(*(told,) * 6, None, *(told,) * 4), None)


@dataclass
class Shelf:
    """Loads windows, and counts how often."""

    loads: Counter[tuple[int, int]]

    def load(self, scene: int, number: int) -> Shelf._Pending:
        self.loads[scene, number] += 1
        return Shelf._Pending(scene, number)

    @dataclass
    class _Pending:
        scene: int
        number: int
        done: bool = False

        def result(self) -> ScenePatches:
            assert not self.done, "a result that is asked for twice may be found twice"
            self.done = True
            return window(self.scene, self.number)


def scene_of(cache: WindowCache, windows: tuple[int, ...]) -> ArchiveScene:
    none = torch.zeros(1, 1, 1)
    prior = Prior(none, none, 0.0, 1.0, none, none, 0.0, 0.0, 0.0, math.inf, math.inf, none)
    return ArchiveScene("scene", prior, cache, 1, windows, (0,) * len(windows), (tuple(range(len(windows))),))


def told(found: ScenePatches) -> int:
    return int(found.full.ms.item())


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=60), st.integers(2, 20))
def test_it_gives_what_was_asked_for_and_keeps_what_fits(asked: list[tuple[int, int]], capacity: int) -> None:
    shelf = Shelf(Counter())
    cache = WindowCache(shelf.load, capacity)
    for scene, number in asked:
        assert told(cache.take(scene, number)) == 10 * scene + number
    assert len(cache) <= capacity
    if capacity >= len({*asked}):
        assert all(count == 1 for count in shelf.loads.values())


def test_what_is_prefetched_is_loaded_once() -> None:
    shelf = Shelf(Counter())
    scene = scene_of(WindowCache(shelf.load, 8), (0, 2, 4, 6))
    assert scene.cache.room == 4
    scene.prefetch([0, 3])
    assert shelf.loads == {(1, 0): 1, (1, 6): 1}
    assert scene.patches([3, 0], ()).full.ms.flatten().tolist() == [16, 10]
    assert scene.sampled(2).patches([1, 0], ()).full.ms.flatten().tolist() == [16, 10]
    assert scene.patches([1], ()).full.ms.flatten().tolist() == [12]
    assert shelf.loads == {(1, 0): 1, (1, 6): 1, (1, 2): 1}


def test_a_window_is_finished_once_while_it_is_kept() -> None:
    cache = WindowCache(Shelf(Counter()).load, 2)
    cache.take(0, 1)
    finished: list[int] = []

    def finish(scene: int, found: ScenePatches) -> ScenePatches:
        finished.append(told(found))
        return replace(found, full=replace(found.full, teacher=found.full.ms + 100 * scene))

    cache.finish_with(finish)
    for scene, number in [(0, 1), (0, 1), (1, 3), (1, 3), (0, 2), (0, 1)]:
        teacher = cache.take(scene, number).full.teacher
        assert teacher is not None and int(teacher.item()) == 110 * scene + number
    assert finished == [1, 13, 2, 1]


def test_an_error_comes_where_the_window_is_taken() -> None:
    class Broken:
        def result(self) -> ScenePatches:
            raise InputError("cannot be read")

    cache = WindowCache(lambda scene, number: Broken(), 2)
    cache.prefetch(0, 0)
    with pytest.raises(InputError, match="cannot be read"):
        cache.take(0, 0)
