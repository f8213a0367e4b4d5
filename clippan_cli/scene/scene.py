"""A scene made ready: the pair, its region, its sensor, and how its two images were made."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from clippan_cli.rasters.limits import Limits
from clippan_cli.rasters.pair import Pair, open_pair
from clippan_cli.rasters.region import Region, region_from_bbox, region_from_file
from clippan_cli.rasters.source import Mask
from clippan_cli.rasters.tiles import TileArrays, TileReader, plan_tiles
from clippan_cli.running.compute import limited_threads
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import RunWarning
from clippan_cli.scene.band_clues import band_clues
from clippan_cli.scene.doubts import border_windows, estimate_doubts, grid_doubts, sensor_doubts, value_doubts
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.limits import Outliers, find_limits
from clippan_cli.scene.tensors import to_tile
from clippan_models.contracts import Observation, Window
from clippan_models.errors import InputError, UsageError
from clippan_models.observation import MAX_SHIFT_MS, Registration, estimate_observation, shift_drift
from clippan_models.ops.displacement import Displacement, DisplacementSearch
from clippan_models.ops.views import MS_MARGIN, fit_halo
from clippan_models.sensors import BandClue, Sensor, as_in_image, guess_sensor, load_sensor

MS_READ_MARGIN = MS_MARGIN + 3
"""MS samples read around a tile: what the views need, and shifts of up to an MS pixel."""

_ESTIMATION_TILES, _ESTIMATION_SIDE = 4, 96  # windows, and MS pixels a side, that the observation model comes from
_CANDIDATES = 3  # windows looked at for each one chosen
_SEARCHED = 4  # windows that tell of a displacement, at most; one is enough where it tells that there is none
_FAR_OFF = 0.9  # of the shift that the estimate finds by itself: from there on MS is moved first


@dataclass(frozen=True)
class Scene:
    """An open scene.

    Attributes:
        files: as they were named.
        options: how they were to be read.
        pair: the open files.
        region: what to sharpen.
        sensor: whose nominal gains stand where the pair does not tell.
        sensor_reason: why this one.
        nominal: the observation model by georeferencing, `pair.shift` and sensor.
        reader: of its tiles.
        displacement: of MS against PAN by whole MS pixels and more, as far as it was looked for.
    """

    files: SceneFiles
    options: ReadOptions
    pair: Pair
    region: Region
    sensor: Sensor
    sensor_reason: str
    nominal: Observation
    reader: TileReader
    displacement: Displacement

    @property
    def window(self) -> Window:
        """The PAN pixels that are to be sharpened."""
        return self.region.window

    def within(self, limits: Limits) -> Scene:
        """The scene as it is learned from: samples outside the limits are invalid when its tiles are read."""
        return replace(self, reader=replace(self.reader, limits=limits))


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


def open_scene(files: SceneFiles, options: ReadOptions, control: Control, stack: ExitStack) -> Scene:
    """Open the files of a scene and decide what they are.

    Raises:
        ClippanError: files that cannot be read or do not belong together, an unknown sensor, an empty region; in a
            strict run, a doubt about them.
    """
    pair = open_pair(files.ms, files.pans, options.pair, stack)
    for note in pair.notes:
        control.on_note(note)
    sensor, reason = _sensor(pair, files.sensor or options.sensor, options.sensor_bands)
    nominal = Observation(pair.sampling, tuple(sensor.ms_gains(pair.ms.count)), sensor.pan_gain)
    displacement = Displacement()
    if options.coregister == "auto":
        with control.timed("estimate"):
            displacement = _find_displacement(pair, nominal, options.seed, control)
    if displacement.exceeds(_FAR_OFF * MAX_SHIFT_MS):
        pair = pair.moved(*displacement.whole, options.pair.extent)
        nominal = replace(nominal, sampling=pair.sampling)
    region = _region(pair, options)
    reader = TileReader(pair, MS_READ_MARGIN, region.polygon)
    scene = Scene(files, options, pair, region, sensor, reason, nominal, reader, displacement)
    control.warn(*file_doubts(scene))
    return scene


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


def file_doubts(scene: Scene) -> tuple[RunWarning, ...]:
    """What is doubtful about a scene before its pixels are looked at."""
    chosen = (scene.files.sensor or scene.options.sensor) != "auto"
    return (*grid_doubts(scene.pair), *sensor_doubts(scene.sensor.key, chosen, scene.sensor_reason))


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
        candidates = _candidates(scene, size, _CANDIDATES * _ESTIMATION_TILES, halo, control, generator)
        border = [scene.reader.read(w, 0) for w in border_windows(scene.window, scene.nominal.sampling.ratio)]
        limits, outliers, learned = _limits(scene, [*candidates, *border], control)
        inside, around = learned[: len(candidates)], learned[len(candidates) :]
        chosen = _choose(inside, _ESTIMATION_TILES, generator, prefer_detail=True)
        usable, at_border = ([to_tile(t, torch.device("cpu")) for t in tiles] for tiles in (chosen, around))
        sought = scene.displacement if scene.options.coregister == "auto" else None
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


def _region(pair: Pair, options: ReadOptions) -> Region:
    if options.aoi is not None:
        return region_from_file(pair, options.aoi)
    if options.bbox is not None:
        return region_from_bbox(pair, options.bbox, options.bbox_crs)
    return Region(pair.window)


def _sensor(pair: Pair, name: str, band_names: tuple[str, ...]) -> tuple[Sensor, str]:
    """The sensor with the bands of the image, and why this one."""
    if band_names and len(band_names) != pair.ms.count:
        raise UsageError(f"names {len(band_names)} bands, but {pair.ms.name} has {pair.ms.count}", "sensor_bands")
    if name != "auto":
        sensor = load_sensor(name)
        if band_names:
            return sensor.with_bands(band_names), f"chosen by the user, {', '.join(band_names)}"
        return as_in_image(sensor, band_clues(pair.ms)) or sensor, "chosen by the user"
    tags: dict[str, str] = {}
    for dataset in (*pair.ms.datasets, *pair.pan.datasets):
        for domain in dataset.tag_namespaces():
            if not domain.startswith("xml:"):
                tags.update({f"{domain}.{k}": v for k, v in dataset.tags(ns=domain).items()})
        tags.update(dataset.tags())
    descriptions = [pair.ms.datasets[d].descriptions[i - 1] for d, i in pair.ms.bands]
    names = [Path(n).name for n in (*pair.ms.names, *pair.pan.names)]
    clues = [BandClue((band,)) for band in band_names] or band_clues(pair.ms)
    guess = guess_sensor(tags, clues, pair.sampling.ratio, descriptions, names)
    if band_names and not guess.sensor.bands:
        raise UsageError(f"{','.join(band_names)}: of which sensor? add --sensor; {guess.reason}", "sensor_bands")
    return guess.sensor, guess.reason


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


def describe_window(window: Window) -> str:
    """Size and place of a window of the PAN grid, for messages."""
    return f"{window.width}x{window.height} PAN pixels from column {window.col}, row {window.row}"
