"""How a scene was made, estimated from windows of it: where MS lies, blur, response, and limits of the values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from clippan_cli.rasters.limits import Limits
from clippan_cli.rasters.pair import Pair
from clippan_cli.rasters.source import Mask
from clippan_cli.rasters.tiles import TileArrays, TileReader, plan_tiles
from clippan_cli.running.compute import limited_threads
from clippan_cli.running.control import Control
from clippan_cli.scene.doubts import border_windows, estimate_doubts, value_doubts
from clippan_cli.scene.limits import Outliers, find_limits
from clippan_cli.scene.scene import MS_READ_MARGIN, Scene, region_of
from clippan_cli.scene.tensors import to_tile
from clippan_models.contracts import Observation, Window
from clippan_models.errors import InputError
from clippan_models.observation import MAX_SHIFT_MS, Registration, estimate_observation, shift_drift
from clippan_models.ops.displacement import Displacement, DisplacementSearch
from clippan_models.ops.views import fit_halo

_ESTIMATION_TILES, _ESTIMATION_SIDE = 4, 96  # windows, and MS pixels a side, that the observation model comes from
_MOST_BANDS = 64  # that are looked at in as many windows; of more bands, each shows less that is new
_CANDIDATES = 3  # windows looked at for each one chosen
_SEARCHED = 4  # windows that tell of a displacement, at most; one is enough where it tells that there is none
_FAR_OFF = 0.9  # of the shift that the estimate finds by itself: from there on MS is moved first


@dataclass(frozen=True)
class Estimate:
    """How a scene was made, and which of its values can be learned from.

    Attributes:
        observation: the model to use.
        registration: the shifts from where georeferencing puts MS, found or zero.
        limits: of the values to learn from.
        outliers: whether the user has been told of values of MS and of PAN outside of them.
    """

    observation: Observation
    registration: Registration
    limits: Limits
    outliers: tuple[bool, bool] = (False, False)


def located(scene: Scene, control: Control) -> Scene:
    """The scene with MS moved to where it lies on PAN, if that is far off, unless the shift is to be left alone."""
    if scene.options.coregister != "auto":
        return scene
    with control.timed("estimate"):
        displacement = _find_displacement(scene.pair, scene.nominal, scene.options.seed, control)
    scene = replace(scene, displacement=displacement)
    if not displacement.exceeds(_FAR_OFF * MAX_SHIFT_MS):
        return scene
    pair = scene.pair.moved(*displacement.whole, scene.options.pair.extent)
    region = region_of(pair, scene.options)
    return replace(
        scene,
        pair=pair,
        region=region,
        nominal=replace(scene.nominal, sampling=pair.sampling),
        reader=TileReader(pair, MS_READ_MARGIN, region.polygon),
    )


def _find_displacement(pair: Pair, nominal: Observation, seed: int, control: Control) -> Displacement:
    """Where MS lies on PAN, by a few windows from all over the pair, whatever region of it is wanted."""
    search = DisplacementSearch(nominal)
    reader = TileReader(pair, MS_READ_MARGIN)
    cells = _Cells(pair.window, _estimation_size(pair.window, nominal))
    order = np.random.default_rng(seed).choice(len(cells), min(_CANDIDATES * _SEARCHED, len(cells)), replace=False)
    used, found = 0, Displacement()
    for index in order:
        control.check()
        arrays = reader.read(cells[int(index)], search.halo)
        if core_valid(arrays).mean() < 0.5 and len(cells) > 4:
            continue
        learned = replace(reader, limits=find_limits([arrays])).learned(arrays)
        with limited_threads(1):
            search.add(to_tile(learned, torch.device("cpu")))
        used, found = used + 1, search.found()
        if used == _SEARCHED or (found.clear and not found.exceeds(_FAR_OFF * MAX_SHIFT_MS)):
            break
    return found


def _estimation_size(window: Window, nominal: Observation) -> int:
    """PAN pixels a side of the windows that tell how a scene was made."""
    return min(round(_ESTIMATION_SIDE * nominal.sampling.ratio), max(window.height, window.width))


def estimate_scene(scene: Scene, control: Control) -> Estimate:
    """Estimate how MS and PAN were made from a bounded number of windows of the scene.

    Raises:
        InputError: no valid pixel, or a file that cannot be read.
        StrictError: the run is strict, and there is a doubt about the pair.
    """
    with control.timed("estimate"):
        # few large windows: the search evaluates every window hundreds of times, at a fixed cost for each
        size, halo = _estimation_size(scene.window, scene.nominal), fit_halo(scene.nominal)
        generator = np.random.default_rng(scene.options.seed)
        count = max(1, _ESTIMATION_TILES * _MOST_BANDS // max(_MOST_BANDS, scene.pair.ms.count))
        candidates = _candidates(scene, size, _CANDIDATES * count, halo, control, generator)
        border = [scene.reader.read(w, 0) for w in border_windows(scene.window, scene.nominal.sampling.ratio)]
        limits, outliers, learned = _limits(scene, [*candidates, *border], control)
        inside, around = learned[: len(candidates)], learned[len(candidates) :]
        chosen = _choose(inside, count, generator, prefer_detail=True)
        usable, at_border = ([to_tile(t, torch.device("cpu")) for t in tiles] for tiles in (chosen, around))
        sought = scene.displacement
        with limited_threads(1):  # the products are small: more threads only wait for each other
            observation, found = estimate_observation(usable, scene.nominal, coregister=sought is not None)
            drift = shift_drift(at_border, observation) if sought is not None else 0.0
        control.check()
        registration = found.moved(*scene.pair.shift)
        ms_pixels = scene.window.pixels / (scene.nominal.sampling.ratio_y * scene.nominal.sampling.ratio_x)
        control.warn(*estimate_doubts(ms_pixels, observation, registration, sought, drift))
    return Estimate(observation, registration, limits, outliers)


def _limits(
    scene: Scene, tiles: list[TileArrays], control: Control
) -> tuple[Limits, tuple[bool, bool], list[TileArrays]]:
    """The limits of a scene by windows from all over it, whether MS and PAN have values beyond, the windows within."""
    limits, outliers = find_limits(tiles), Outliers(scene.pair)
    learned = [scene.within(limits).reader.learned(tile) for tile in tiles]
    for tile in learned:
        outliers.add(tile)
    control.warn(*value_doubts(scene.pair, tiles, limits), *outliers.doubts(limits))
    return limits, outliers.images, learned


TRAINING_WINDOWS = 40
"""Windows that stand for a scene when a network learns, at most."""


def sample_tiles(
    scene: Scene, size: int, count: int, halo: int, control: Control, *, prefer_detail: bool = False
) -> list[TileArrays]:
    """Choose disjoint windows that stand for a scene, stratified by how much detail they hold.

    Reads a number of windows that depends on `count` only, so the cost does not grow with the scene.

    Args:
        scene: the scene.
        size: side of the cores.
        count: at most so many windows.
        halo: PAN pixels to read around each.
        control: may stop the reading.
        prefer_detail: take the windows with the most detail rather than all strata alike.

    Raises:
        InputError: no window holds a valid pixel.
    """
    generator = np.random.default_rng(scene.options.seed)
    candidates = _candidates(scene, size, _CANDIDATES * count, halo, control, generator)
    return _choose(candidates, count, generator, prefer_detail=prefer_detail)


def _choose(
    candidates: list[TileArrays], count: int, generator: np.random.Generator, *, prefer_detail: bool
) -> list[TileArrays]:
    found = [(detail_of(tile), tile) for tile in candidates]
    found.sort(key=lambda item: (item[0], item[1].core.row, item[1].core.col))
    if prefer_detail:
        chosen = found[-count:]
    else:
        chosen = [found[int(i)] for i in np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round())]
    order = generator.permutation(len(chosen))
    return [chosen[int(i)][1] for i in order]


def _candidates(
    scene: Scene, size: int, wanted: int, halo: int, control: Control, generator: np.random.Generator
) -> list[TileArrays]:
    """So many disjoint windows from all over a scene, half of each or more valid; few or others where nodata abounds.

    Raises:
        InputError: no window holds a valid pixel.
    """
    cells = _Cells(scene.window, size)
    found: list[TileArrays] = []
    # Nodata can leave most cells empty: look on, in an order drawn once, until enough hold pixels.
    for index in generator.choice(len(cells), min(8 * wanted, len(cells)), replace=False):
        control.check()
        arrays = scene.reader.read(cells[int(index)], halo)
        seen = core_valid(arrays)
        if seen.mean() >= 0.5 or (len(cells) <= 4 and seen.any()):
            found.append(arrays)
        if len(found) >= wanted:
            break
    return found or _anything_valid(scene, size, halo, control)


def _anything_valid(scene: Scene, size: int, halo: int, control: Control) -> list[TileArrays]:
    """The fallback for scenes that are nearly all nodata: every cell in order, until some hold pixels."""
    found: list[TileArrays] = []
    for cell in plan_tiles(scene.window, size):
        control.check()
        whole = Window(cell.row, cell.col, size, size)
        arrays = scene.reader.read(whole, halo)
        if core_valid(arrays).any():
            found.append(arrays)
        if len(found) >= 8:
            break
    if not found:
        raise InputError(
            f"no pixel is valid in all bands of {scene.pair.ms.name} and in {scene.pair.pan.name}: "
            "there is nothing to sharpen; is the nodata value right?"
        )
    return found


class _Cells:
    """Disjoint cores of exactly `size`, centred in the window; at least one, which may reach outside.

    Each is made when asked for: a file can claim dimensions of which a list would not fit into memory.
    """

    def __init__(self, window: Window, size: int) -> None:
        self.size = size
        self.rows, self.cols = max(1, window.height // size), max(1, window.width // size)
        self.top = window.row + (window.height - self.rows * size) // 2
        self.left = window.col + (window.width - self.cols * size) // 2

    def __len__(self) -> int:
        return self.rows * self.cols

    def __getitem__(self, index: int) -> Window:
        row, col = divmod(index, self.cols)
        return Window(self.top + row * self.size, self.left + col * self.size, self.size, self.size)


def core_valid(arrays: TileArrays) -> Mask:
    """Pixels of the core that exist in all bands, `[h, w]`."""
    return np.asarray(arrays.valid[:, *arrays.core.inside(arrays.pan_window)].all(0))


def detail_of(arrays: TileArrays) -> float:
    """How much PAN varies in a window, relative to its level."""
    pan = arrays.pan[arrays.pan_valid]
    return float(pan.std() / (abs(pan.mean()) + 1e-6)) if pan.size else 0.0
