"""A scene made ready: the pair, its region, its sensor; free of torch, so that what will not do is refused at once."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clippan_cli.rasters.limits import Limits
from clippan_cli.rasters.metadata import named_domains
from clippan_cli.rasters.pair import Pair, open_pair
from clippan_cli.rasters.region import Region, region_from_bbox, region_from_file
from clippan_cli.rasters.tiles import TileReader
from clippan_cli.rasters.vector import Selection
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import RunWarning
from clippan_cli.scene.band_clues import band_clues
from clippan_cli.scene.doubts import grid_doubts, sensor_doubts
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_models.contracts import MS_MARGIN, Observation, Window
from clippan_models.errors import UsageError
from clippan_models.sensors import BandClue, Sensor, as_in_image, guess_sensor, load_sensor

if TYPE_CHECKING:
    from clippan_models.ops.displacement import Displacement

MS_READ_MARGIN = MS_MARGIN + 3
"""MS samples read around a tile: what the views need, and shifts of up to an MS pixel."""


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
        displacement: of MS against PAN by whole MS pixels and more; None: not looked for.
    """

    files: SceneFiles
    options: ReadOptions
    pair: Pair
    region: Region
    sensor: Sensor
    sensor_reason: str
    nominal: Observation
    reader: TileReader
    displacement: Displacement | None = None

    @property
    def window(self) -> Window:
        """The PAN pixels that are to be sharpened."""
        return self.region.window

    def within(self, limits: Limits) -> Scene:
        """The scene as it is learned from: samples outside the limits are invalid when its tiles are read."""
        return replace(self, reader=replace(self.reader, limits=limits))


def open_scene(files: SceneFiles, options: ReadOptions, control: Control, stack: ExitStack) -> Scene:
    """Open the files of a scene, decide what they are, and find MS where it lies far off PAN.

    Raises:
        ClippanError: see `scene_as_referenced`.
    """
    with control.timed("open"):
        scene = scene_as_referenced(files, options, control, stack)
    with control.timed("start"):
        from clippan_cli.scene.estimation import located
    return located(scene, control)


def scene_as_referenced(files: SceneFiles, options: ReadOptions, control: Control, stack: ExitStack) -> Scene:
    """Open the files of a scene, with MS where its georeferencing puts it, and decide what they are.

    Raises:
        ClippanError: files that cannot be read or do not belong together, an unknown sensor, an empty region; in a
            strict run, a doubt about them.
    """
    pair = open_pair(files.ms, files.pans, options.pair, stack, (files.ms_declared, files.pan_declared))
    for note in (*files.notes, *pair.notes):
        control.on_note(note)
    sensor, reason = _sensor(pair, files.sensor or options.sensor, options.sensor_bands)
    nominal = Observation(pair.sampling, tuple(sensor.ms_gains(pair.ms.count)), sensor.pan_gain)
    region = region_of(pair, options)
    reader = TileReader(pair, MS_READ_MARGIN, region.polygon)
    scene = Scene(files, options, pair, region, sensor, reason, nominal, reader)
    control.warn(*file_doubts(scene))
    return scene


def file_doubts(scene: Scene) -> tuple[RunWarning, ...]:
    """What is doubtful about a scene before its pixels are looked at."""
    chosen = (scene.files.sensor or scene.options.sensor) != "auto"
    return (*grid_doubts(scene.pair), *sensor_doubts(scene.sensor.key, chosen, scene.sensor_reason))


def region_of(pair: Pair, options: ReadOptions) -> Region:
    """What is wanted of a pair, by the options."""
    if options.aoi is not None:
        return region_from_file(pair, options.aoi, Selection(options.aoi_layer, options.aoi_where))
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
        for domain in named_domains(dataset):
            tags.update({f"{domain}.{k}": v for k, v in dataset.tags(ns=domain).items()})
        tags.update(dataset.tags())
    descriptions = pair.ms.declared.names or [pair.ms.datasets[d].descriptions[i - 1] for d, i in pair.ms.bands]
    names = [Path(n).name for n in (*pair.ms.names, *pair.pan.names)]
    clues = [BandClue((band,)) for band in band_names] or band_clues(pair.ms)
    guess = guess_sensor(tags, clues, pair.sampling.ratio, descriptions, names)
    if band_names and not guess.sensor.bands:
        raise UsageError(f"{','.join(band_names)}: of which sensor? add --sensor; {guess.reason}", "sensor_bands")
    return guess.sensor, guess.reason


def describe_window(window: Window) -> str:
    """Size and place of a window of the PAN grid, for messages."""
    return f"{window.width}x{window.height} PAN pixels from column {window.col}, row {window.row}"
