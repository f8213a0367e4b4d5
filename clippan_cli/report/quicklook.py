"""A picture to look at: PAN, MS and result side by side, the whole scene above and the richest spot at 1:1 below."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp

from clippan_cli.rasters.source import RasterSource, open_source
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, open_scene
from clippan_models.contracts import Window
from clippan_models.errors import OutputError
from clippan_models.sensors import Sensor
from clippan_models.store.files import written_whole

_PANEL = 512  # pixels: width of one panel
_GAP = 8
_CROP = 256  # result pixels shown at 1:1, magnified twice

Picture = NDArray[np.uint8]


def write_quicklook(path: Path, files: SceneFiles, read: ReadOptions, fused_name: Path) -> Path:
    """Draw the quicklook of a fused scene as a PNG.

    MS and result share one stretch, the 2nd to 98th percentile of the MS bands shown; PAN has its own.

    Raises:
        OutputError: the picture cannot be written.
    """
    with ExitStack() as stack:
        scene = open_scene(files, read, Control(), stack)
        fused = open_source([str(fused_name)], "fused", scene.options.pair.trust, stack)
        bands = rgb_bands(fused, scene.sensor)
        picture = _Drawing(scene, fused, bands).draw()
    try:
        with written_whole(path) as partial:
            Image.fromarray(picture).save(partial, format="PNG")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def rgb_bands(source: RasterSource, sensor: Sensor) -> tuple[int, int, int]:
    """0-based bands that look like red, green and blue: by the file's colours, by wavelength, or by custom."""
    colors = [source.datasets[d].colorinterp[i - 1] for d, i in source.bands]
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(c in colors for c in wanted):
        return colors.index(wanted[0]), colors.index(wanted[1]), colors.index(wanted[2])
    if len(sensor.bands) == source.count:
        centres = [sum(b.wavelength_nm) / 2 for b in sensor.bands]
        red, green, blue = (int(np.argmin([abs(c - nm) for c in centres])) for nm in (660, 550, 480))
        return red, green, blue
    customary = {1: (0, 0, 0), 2: (1, 0, 0), 3: (0, 1, 2), 4: (2, 1, 0), 8: (4, 2, 1)}
    return customary.get(source.count, (2, 1, 0))


class _Drawing:
    def __init__(self, scene: Scene, fused: RasterSource, bands: tuple[int, int, int]) -> None:
        self.scene, self.fused, self.bands = scene, fused, bands
        pan, ms = scene.pair.pan, scene.pair.ms
        self.pan_band = (pan.bands[0],)
        self.ms_bands = tuple(ms.bands[b] for b in bands) if ms.count == fused.count else ms.bands[:1] * 3
        self.place = scene.window
        self.origin = (self.place.row, self.place.col)

    def draw(self) -> Picture:
        whole = Window(0, 0, self.fused.height, self.fused.width)
        pan, ms, fused = self._panels(whole, _PANEL)
        stretch, pan_stretch = _limits(ms), _limits(pan)
        crop = self._richest(pan, whole)
        close_pan, close_ms, close_fused = self._panels(crop, _PANEL)
        rows = [
            [_paint(pan, pan_stretch), _paint(ms, stretch), _paint(fused, stretch)],
            [_paint(close_pan, pan_stretch), _paint(close_ms, stretch), _paint(close_fused, stretch)],
        ]
        return _arrange(rows)

    def _panels(self, window: Window, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """PAN, MS and result over a window of the result, each `[1 or 3, h, width]` with NaN where invalid."""
        scale = width / window.width
        shape = (max(1, round(window.height * scale)), width)
        on_pan = Window(self.origin[0] + window.row, self.origin[1] + window.col, window.height, window.width)
        left, top, _, _ = self.scene.pair.ms_footprint()
        s = self.scene.nominal.sampling
        on_ms = (
            (on_pan.col - left) / s.ratio_x,
            (on_pan.row - top) / s.ratio_y,
            on_pan.width / s.ratio_x,
            on_pan.height / s.ratio_y,
        )
        pan = self.scene.pair.pan.picture(self.pan_band, _float_window(on_pan), shape)
        ms = self.scene.pair.ms.picture(self.ms_bands, on_ms, shape)
        fused = self.fused.picture(tuple(self.fused.bands[b] for b in self.bands), _float_window(window), shape)
        return pan, ms, fused

    def _richest(self, pan: np.ndarray, whole: Window) -> Window:
        """The square of the result with the most PAN detail, found on the small picture."""
        side = min(_CROP, whole.height, whole.width)
        scale = pan.shape[2] / whole.width
        step = max(1, int(side * scale))
        best, place = -1.0, (0, 0)
        for row in range(0, max(1, pan.shape[1] - step + 1), max(1, step // 2)):
            for col in range(0, max(1, pan.shape[2] - step + 1), max(1, step // 2)):
                block = pan[0, row : row + step, col : col + step]
                detail = float(np.nanstd(np.diff(block, axis=0))) if np.isfinite(block).mean() > 0.9 else -1.0
                if detail > best:
                    best, place = detail, (row, col)
        row, col = min(int(place[0] / scale), whole.height - side), min(int(place[1] / scale), whole.width - side)
        return Window(row, col, side, side)


def _limits(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = image.reshape(len(image), -1)
    if not np.isfinite(flat).any():
        return np.zeros(len(image)), np.ones(len(image))
    low, high = np.nanpercentile(flat, [2, 98], axis=1)
    return low, np.where(high > low, high, low + 1)


def _paint(image: np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> Picture:
    low, high = (v[:, None, None] for v in limits)
    shown = np.clip((image - low) / (high - low), 0, 1)
    shown = np.where(np.isfinite(shown), shown, 0) * 255
    rgb = np.repeat(shown, 3, 0) if len(shown) == 1 else shown
    return np.asarray(rgb.transpose(1, 2, 0) + 0.5, np.uint8)


def _arrange(rows: list[list[Picture]]) -> Picture:
    width = sum(p.shape[1] for p in rows[0]) + _GAP * (len(rows[0]) - 1)
    height = sum(row[0].shape[0] for row in rows) + _GAP * (len(rows) - 1)
    canvas = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for row in rows:
        left = 0
        for panel in row:
            canvas[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
            left += panel.shape[1] + _GAP
        top += row[0].shape[0] + _GAP
    return canvas


def _float_window(window: Window) -> tuple[float, float, float, float]:
    return float(window.col), float(window.row), float(window.width), float(window.height)
