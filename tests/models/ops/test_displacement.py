"""By how many MS pixels does MS lie off: is it found as far as it reaches, and nothing believed that may be chance?"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from clippan_models.contracts import Observation, Sampling, Tile, Window
from clippan_models.ops.displacement import Displacement, DisplacementSearch
from clippan_models.ops.resample import decimate

RATIO, SIDE, MARGIN = 4, 64, 20  # MS pixels: side of the core, and what lies around it
NOMINAL = Observation(Sampling.area_registered(RATIO, 4), (0.3,) * 4, 0.15)


def ground(seed: int, side: int) -> torch.Tensor:
    """Bands that share coarse structures and have fine ones of their own, `[4, side, side]`."""
    generator = torch.Generator().manual_seed(seed)

    def blobs(count: int, size: int) -> torch.Tensor:
        small = torch.rand(1, count, -(-side // size), -(-side // size), generator=generator)
        return torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic")[0]

    return 300 + 500 * blobs(1, 24) + 200 * blobs(4, 6)


def tile(rows: float, cols: float, *, side: int = SIDE, other_place: bool = False, beyond: bool = True) -> Tile:
    """A tile whose MS lies so many of its pixels further down and right; PAN ends at the core unless it goes beyond."""
    whole = side + 2 * MARGIN
    truth = ground(0, RATIO * whole)
    pan_window, ms_window = Window(0, 0, RATIO * whole, RATIO * whole), Window(0, 0, whole, whole)
    core = Window(RATIO * MARGIN, RATIO * MARGIN, RATIO * side, RATIO * side)
    place = NOMINAL.sampling.shifted((RATIO * rows,) * 4, (RATIO * cols,) * 4)
    ms = decimate(truth, pan_window, ms_window, place, NOMINAL.ms_gain)
    pan = (ground(1, RATIO * whole) if other_place else truth).mean(0, keepdim=True)
    pan_valid = torch.full(pan.shape, beyond)
    pan_valid[:, *core.inside(pan_window)] = True
    everywhere = torch.ones_like(ms, dtype=torch.bool)
    return Tile(ms, everywhere, pan, pan_valid, pan_valid.expand(4, -1, -1), ms_window, pan_window, core)


def displacement_of(*tiles: Tile) -> Displacement:
    search = DisplacementSearch(NOMINAL)
    for each in tiles:
        search.add(each)
    return search.found()


@pytest.mark.parametrize("place", [(0, 0), (1, -1), (8, -3), (-15, 16), (-2.5, 0.4)])
@pytest.mark.parametrize("beyond", [True, False])
def test_ms_is_found_where_it_lies(place: tuple[float, float], beyond: bool) -> None:
    found = displacement_of(tile(*place, beyond=beyond))
    assert found.clear and found.after > 0.7
    assert (found.rows, found.cols) == pytest.approx(place, abs=0.2)
    assert found.exceeds(0.9) == (place != (0, 0))


def test_it_says_what_it_gains() -> None:
    found = displacement_of(tile(8, -3))
    assert found.before < 0.1 and found.after > 0.9


def test_one_band_that_follows_pan_suffices() -> None:
    seen = tile(-6, 4)
    noise = torch.randn(seen.ms.shape, generator=torch.Generator().manual_seed(3)) * 100 + 500
    noise[2] = seen.ms[2]
    one = seen.pan * 0 + ground(0, seen.pan.shape[-1])[2]
    found = displacement_of(replace(seen, ms=noise, pan=one))
    assert found.clear and found.whole == (-6, 4)


def test_of_hundreds_of_bands_a_share_that_follows_pan_suffices() -> None:
    """As those of an imaging spectrometer; the cost does not grow with their number."""
    seen = tile(-6, 4)
    noise = torch.randn(220, *seen.ms.shape[1:], generator=torch.Generator().manual_seed(3)) * 100 + 500
    ms = torch.cat([seen.ms.repeat(5, 1, 1), noise])  # 20 of 240 follow
    sampling = Sampling.area_registered(RATIO, len(ms))
    search = DisplacementSearch(replace(NOMINAL, sampling=sampling, ms_gain=(0.3,) * len(ms)))
    search.add(replace(seen, ms=ms, ms_valid=torch.ones_like(ms, dtype=torch.bool)))
    found = search.found()
    assert found.clear and found.whole == (-6, 4)


@pytest.mark.parametrize("what", ["another place", "too far", "noise", "constant", "repeated"])
def test_nothing_is_believed_that_may_be_chance(what: str) -> None:
    seen = tile(0, 0, other_place=what == "another place")
    if what == "too far":
        seen = tile(0, 17.5)
    if what == "noise":
        seen = replace(seen, ms=torch.randn(seen.ms.shape, generator=torch.Generator().manual_seed(4)) * 100 + 500)
    if what == "constant":
        seen = replace(seen, ms=torch.full_like(seen.ms, 500.0))
    if what == "repeated":
        period = 5 * RATIO
        times = -(-seen.pan.shape[-1] // period)
        lattice = ground(2, period).repeat(1, times, times)[:, : seen.pan.shape[-1], : seen.pan.shape[-1]]
        ms = decimate(lattice, seen.pan_window, seen.ms_window, NOMINAL.sampling, NOMINAL.ms_gain)
        seen = replace(seen, ms=ms, pan=lattice.mean(0, keepdim=True))
    assert not displacement_of(seen).clear


@pytest.mark.parametrize(("side", "reach"), [(64, 16), (40, 11), (32, 0)])
def test_a_small_scene_limits_the_reach(side: int, reach: int) -> None:
    found = displacement_of(tile(3, -2, side=side, beyond=False))
    assert (found.reach, found.clear) == (reach, reach > 0)


def test_a_dead_pixel_does_not_hide_the_rest() -> None:
    seen = tile(5, 7)
    seen.ms[:, 50, 50] = 65535.0
    assert displacement_of(seen).whole == (5, 7)


def test_invalid_pixels_do_not_count() -> None:
    seen = tile(5, 7)
    hole = torch.zeros_like(seen.pan_valid)
    hole[:, 120:200, 100:180] = True
    spoilt = replace(seen, pan=torch.where(hole, 65535.0, seen.pan), pan_valid=seen.pan_valid & ~hole)
    assert displacement_of(spoilt).clear and displacement_of(spoilt).whole == (5, 7)


def test_tiles_are_looked_at_together() -> None:
    flat = tile(8, -3)
    flat = replace(flat, ms=torch.full_like(flat.ms, 500.0), pan=torch.full_like(flat.pan, 500.0))
    assert not displacement_of(flat).clear
    assert displacement_of(flat, tile(8, -3)).whole == (8, -3)
