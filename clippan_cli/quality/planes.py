"""The images that quality indices compare, as windows of the files: fused images, EXP, and the planes made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from affine import Affine
from torch import Tensor

from clippan_cli.quality.undisturbed import FusedImage, undisturbed
from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart, same_crs
from clippan_cli.rasters.ground import relate_by_ground
from clippan_cli.rasters.limits import NO_LIMITS, Limits
from clippan_cli.rasters.source import Mask, RasterSource, Values
from clippan_cli.rasters.tiles import ms_window_of
from clippan_cli.scene.scene import MS_READ_MARGIN, Scene
from clippan_models.contracts import Sampling, Window
from clippan_models.errors import IncompatiblePairError
from clippan_models.measuring.planes import QualityPlanes
from clippan_models.measuring.toolbox_planes import ToolboxPlanes
from clippan_models.ops.fill import fill_invalid
from clippan_models.ops.resample import blur_radius, upsample
from clippan_models.ops.views import project_to_ms

_SPOILT = 6  # MS pixels around an outlier: as far as interpolation and blur carry it in a fused image
_REMEMBERED = 4  # windows that a source keeps for each thread: values and mask are asked for one after the other
_READING = threading.RLock()  # GDAL's datasets allow one thread at a time, and several readers can share one


class PlaneReader:
    """A raster as the toolbox's planes read it, on a device; from any thread."""

    def __init__(self, source: FusedImage, device: torch.device) -> None:
        """Read from this image, give tensors on this device."""
        self._source, self._device = source, device
        self._local = threading.local()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        return self._source.count, self._source.height, self._source.width

    def read(self, window: Window) -> Tensor:
        """Values `[C, h, w]`, float32."""
        return self._read(window)[0]

    def valid(self, window: Window) -> Tensor:
        """Where all bands are valid, `[h, w]` bool."""
        return self._read(window)[1]

    def _read(self, window: Window) -> tuple[Tensor, Tensor]:
        recent: OrderedDict[Window, tuple[Tensor, Tensor]] | None = getattr(self._local, "recent", None)
        if recent is None:
            recent = self._local.recent = OrderedDict()
        if window in recent:
            recent.move_to_end(window)
            return recent[window]
        with _READING:
            values, valid = self._source.read(window)
        found = torch.from_numpy(values).to(self._device), torch.from_numpy(valid.all(0)).to(self._device)
        recent[window] = found
        if len(recent) > _REMEMBERED:
            recent.popitem(last=False)
        return found


@dataclass(frozen=True)
class Cropped:
    """A part of a fused image, as an image of its own."""

    source: FusedImage
    window: Window
    name: str

    @property
    def count(self) -> int:
        """Number of bands."""
        return self.source.count

    @property
    def height(self) -> int:
        """Rows."""
        return self.window.height

    @property
    def width(self) -> int:
        """Columns."""
        return self.window.width

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values and validity; nothing beyond the part."""
        w = self.window
        values, valid = self.source.read(Window(w.row + window.row, w.col + window.col, window.height, window.width))
        inside = _inside(window, w.height, w.width)
        if inside.all():
            return values, valid
        return np.where(inside, values, np.float32(0)), valid & inside


class Interpolated:
    """EXP, the MS merely interpolated to the PAN grid, by the convention of the planes; made window by window."""

    name = "EXP"

    def __init__(self, planes: QualityPlanes, scene: Scene, place: Window) -> None:
        """Take the planes of any fused image at this place."""
        self._planes, self._scene, self._place = planes, scene, place
        self.count = planes.bands
        self.height, self.width = planes.shape

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values and validity; nothing beyond the scene."""
        values = np.zeros((self.count, window.height, window.width), np.float32)
        valid = np.zeros(values.shape, np.bool_)
        row, col = max(window.row, 0), max(window.col, 0)
        row_stop, col_stop = min(window.row_stop, self.height), min(window.col_stop, self.width)
        if row_stop <= row or col_stop <= col:
            return values, valid
        inner = Window(row, col, row_stop - row, col_stop - col)
        part = inner.inside(window)
        values[:, *part] = self._planes.exp(inner).cpu().numpy()
        on_pan = Window(self._place.row + row, self._place.col + col, inner.height, inner.width)
        valid[:, *part] = self._scene.reader.read(on_pan, 0).valid
        return values, valid


def place_of(fused: RasterSource, scene: Scene) -> Window:
    """Where a fused image lies on the PAN grid.

    Raises:
        IncompatiblePairError: it has other bands, another CRS, or does not lie on the grid.
    """
    pan, ms = scene.pair.pan, scene.pair.ms
    if fused.count != ms.count:
        cure = "; say which bands of MS it holds with --ms-bands, e.g. 3,2,1" if fused.count < ms.count else ""
        raise IncompatiblePairError(f"{fused.name} has {fused.count} bands but {ms.name} has {ms.count}{cure}")
    if pan.grid.transform.is_identity or fused.grid.transform.is_identity:
        for known in (Window(0, 0, pan.height, pan.width), scene.window):
            if (fused.height, fused.width) == (known.height, known.width):
                return known
        related = relate_by_ground(fused, pan)
        if related is None:
            raise IncompatiblePairError(
                f"{fused.name} has {fused.width}x{fused.height} pixels but {pan.name} {pan.width}x{pan.height}, "
                "and there is no georeferencing that says where it lies"
            )
        to_pan = related[0]
    elif same_crs(fused.grid.crs, pan.grid.crs):
        to_pan = ~pan.grid.transform @ fused.grid.transform
    else:
        raise IncompatiblePairError(f"{fused.name} is not in the CRS of {pan.name}: was it made from this pair?")
    col, row = round(to_pan.c), round(to_pan.f)
    if corners_apart(to_pan, Affine.translation(col, row), fused.width, fused.height) > GRID_TOLERANCE:
        raise IncompatiblePairError(
            f"{fused.name} does not lie on the grid of {pan.name}: its pixel is {to_pan.a:.4g} x {to_pan.e:.4g} PAN "
            f"pixels and starts at column {to_pan.c:.3f}, row {to_pan.f:.3f}"
        )
    if row < 0 or col < 0 or row + fused.height > pan.height or col + fused.width > pan.width:
        raise IncompatiblePairError(f"{fused.name} reaches beyond {pan.name}: was it made from this pair?")
    return Window(row, col, fused.height, fused.width)


def toolbox_fits(scene: Scene, place: Window) -> bool:
    """Whether the community's conventions can be followed exactly: the MS grid divides the PAN grid, all of it."""
    ms, pan, s = scene.pair.ms, scene.pair.pan, scene.nominal.sampling
    ratio = round(s.ratio_y)
    whole = place == Window(0, 0, pan.height, pan.width)
    registered = all(abs(p - (ratio - 1) / 2) < GRID_TOLERANCE for p in (*s.phase_y, *s.phase_x))
    exact = (ratio * ms.height, ratio * ms.width) == (pan.height, pan.width) and ratio in (2, 4, 8)
    return whole and exact and registered


def make_planes(
    scene: Scene, fused: FusedImage, place: Window, device: torch.device, limits: Limits = NO_LIMITS
) -> QualityPlanes:
    """The planes of a fused image: the toolbox's where they can be made, else by georeferencing.

    Args:
        scene: the pair.
        fused: the image.
        place: where it lies on the PAN grid.
        device: where to measure.
        limits: of the values of the pair; the surroundings of others are not measured.
    """
    if toolbox_fits(scene, place):
        ms, pan = undisturbed(scene, limits, _SPOILT)
        return ToolboxPlanes(
            fused_source=PlaneReader(fused, device),
            ms_source=PlaneReader(ms, device),
            pan_source=PlaneReader(pan, device),
            gains=scene.nominal.ms_gain,
        )
    return GeoreferencedPlanes(scene, fused, place, limits)


class GeoreferencedPlanes:
    """The same images for pairs whose grids do not divide: every resampling happens where the geotransforms say.

    The interpolation is Lanczos and the blur a Gaussian of unit sum instead of the toolbox's, so values are close to
    the toolbox's but not comparable digit by digit.
    """

    def __init__(self, scene: Scene, fused: FusedImage, place: Window, limits: Limits = NO_LIMITS) -> None:
        """Take a fused image, its place on the PAN grid, and the limits of the pair."""
        self.scene, self.source, self.place = scene, fused, place
        self.ms_source, self.pan_source = undisturbed(scene, limits, _SPOILT)
        self.sampling = scene.nominal.sampling
        self.gains = scene.nominal.ms_gain

    @property
    def shape(self) -> tuple[int, int]:
        """PAN rows and columns of the fused image."""
        return self.place.height, self.place.width

    @property
    def bands(self) -> int:
        """Number of MS bands."""
        return self.source.count

    @property
    def ratio(self) -> float:
        """PAN pixels per MS pixel."""
        return self.sampling.ratio

    def fused(self, window: Window) -> Tensor:
        """The fused image, `[C, h, w]`."""
        return torch.from_numpy(self.source.read(window)[0])

    def pan(self, window: Window) -> Tensor:
        """PAN, `[1, h, w]`, 0 beyond the fused image."""
        values, _ = self.scene.pair.pan.read(self._on_pan(window))
        return torch.from_numpy(np.where(_inside(window, *self.shape), values, 0))

    def valid(self, window: Window) -> Tensor:
        """Pixels valid in all three images, `[h, w]`."""
        arrays = self.scene.reader.read(self._on_pan(window), 0)
        valid = arrays.valid.all(0) & self.source.read(window)[1].all(0)
        return torch.from_numpy(valid & self._undisturbed(self._on_pan(window)))

    def exp(self, window: Window) -> Tensor:
        """MS interpolated to the PAN grid, `[C, h, w]`."""
        pan_window = self._on_pan(window)
        ms_window = ms_window_of(pan_window, self.sampling, MS_READ_MARGIN)
        values, valid = self.scene.pair.ms.read(ms_window)
        filled = fill_invalid(torch.from_numpy(values), torch.from_numpy(valid), MS_READ_MARGIN)
        return upsample(filled, ms_window, pan_window, self.sampling).double()

    def pan_low(self, window: Window) -> Tensor:
        """PAN brought to the MS grid and back, `[1, h, w]`."""
        pan_window = self._on_pan(window)
        ms_window = ms_window_of(pan_window, self.sampling, MS_READ_MARGIN)
        gain = float(np.mean(self.gains))
        wide = pan_window.grown(blur_radius(gain, self.ratio) + int((MS_READ_MARGIN + 1) * self.ratio))
        values, valid = self.scene.pair.pan.read(wide)
        one = self.sampling.select([0])
        low, share = project_to_ms(torch.from_numpy(values), torch.from_numpy(valid), wide, ms_window, one, (gain,))
        return upsample(fill_invalid(low, share > 0.01, MS_READ_MARGIN), ms_window, pan_window, one).double()

    def fused_mtf(self, window: Window) -> Tensor:
        """The fused image blurred on the PAN grid, `[C, h, w]`."""
        # the blur between the grids, without the decimation: a Gaussian of the same width on the PAN grid
        gain = tuple(g ** (self.ratio**2) for g in self.gains)
        wide = window.grown(max(blur_radius(g, 1.0) for g in gain))
        values, valid = self.source.read(wide)
        same = Sampling(1.0, 1.0, (0.0,) * self.bands, (0.0,) * self.bands)
        blurred, _ = project_to_ms(torch.from_numpy(values), torch.from_numpy(valid), wide, window, same, gain)
        return blurred.double()

    def at_ms(self, ms_window: Window, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """The fused image as MS would have seen it: `[C, h, w]`, and where most of the blur saw valid pixels, `[h, w]`.

        Args:
            ms_window: MS samples of the scene.
            sampling: where each band lies.
        """
        radius = max(blur_radius(g, max(sampling.ratio_y, sampling.ratio_x)) for g in self.gains) + 1
        rows = [p + sampling.ratio_y * i for p in sampling.phase_y for i in (ms_window.row, ms_window.row_stop - 1)]
        cols = [p + sampling.ratio_x * i for p in sampling.phase_x for i in (ms_window.col, ms_window.col_stop - 1)]
        top, left = int(min(rows)) - radius - self.place.row, int(min(cols)) - radius - self.place.col
        bottom, right = int(max(rows)) + radius + 1 - self.place.row, int(max(cols)) + radius + 1 - self.place.col
        wide = Window(top, left, bottom - top, right - left)
        values, valid = self.source.read(wide)
        valid = valid & self._undisturbed(self._on_pan(wide))
        image, share = project_to_ms(
            torch.from_numpy(values), torch.from_numpy(valid), self._on_pan(wide), ms_window, sampling, self.gains
        )
        return image.double(), (share > 0.95).all(0)

    def _undisturbed(self, pan_window: Window) -> Mask:
        """Pixels of PAN that have no outlier near them in either image, `[h, w]`."""
        ms_window = ms_window_of(pan_window, self.sampling, MS_READ_MARGIN)
        near_ms = self.scene.pair.on_pan(pan_window, ms_window, self.ms_source.near_outliers(ms_window)[None])[0]
        return np.asarray(~(near_ms | self.pan_source.near_outliers(pan_window)), np.bool_)

    def _on_pan(self, window: Window) -> Window:
        return Window(self.place.row + window.row, self.place.col + window.col, window.height, window.width)


def _inside(window: Window, height: int, width: int) -> Mask:
    rows = np.arange(window.row, window.row_stop)
    cols = np.arange(window.col, window.col_stop)
    return np.asarray(((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width)), np.bool_)
