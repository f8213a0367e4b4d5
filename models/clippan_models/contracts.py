"""The contracts that make tiles, classical methods and networks interchangeable.

A scene is an MS image of `C` bands and a PAN image. Pixel values are digital numbers (DN) in float32, as in the file.
Index conventions: 0-based, an integer index is the *centre* of a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Kernel = Literal["lanczos", "cubic", "bilinear", "nearest"]
"""How MS is interpolated to the PAN grid; Keys' cubic with a = -0.5, as GDAL has it."""

INTERPOLATION_RADIUS = 3
"""MS samples on either side of a PAN pixel that its interpolated value depends on."""

MS_MARGIN = 2 * INTERPOLATION_RADIUS
"""MS samples to read around a tile: the interpolation kernel, and the reach of values filled in where MS is invalid."""


@dataclass(frozen=True)
class Sampling:
    """Where the MS samples sit on the PAN grid of the scene, band by band.

    The centre of MS sample (i, j) of band b lies at PAN index
    (`phase_y[b] + ratio_y * i`, `phase_x[b] + ratio_x * j`).

    Attributes:
        ratio_y: PAN rows per MS row, any number above 1 (need not be an integer).
        ratio_x: PAN columns per MS column.
        phase_y: PAN row of MS row 0, one per band; area-registered pairs have (ratio - 1) / 2.
        phase_x: PAN column of MS column 0, one per band.
    """

    ratio_y: float
    ratio_x: float
    phase_y: tuple[float, ...]
    phase_x: tuple[float, ...]

    @classmethod
    def area_registered(cls, ratio: float, bands: int) -> Sampling:
        """MS and PAN share their upper left corner: the case of a freshly cut product."""
        phase = ((ratio - 1) / 2,) * bands
        return cls(ratio, ratio, phase, phase)

    @property
    def bands(self) -> int:
        """Number of MS bands."""
        return len(self.phase_y)

    @property
    def ratio(self) -> float:
        """Mean ratio of the two axes, for kernels that are the same in both."""
        return math.sqrt(self.ratio_y * self.ratio_x)

    def shifted(self, shift_y: Sequence[float], shift_x: Sequence[float]) -> Sampling:
        """The same grid after each band b is found `shift[b]` PAN pixels further down and right."""
        return replace(
            self,
            phase_y=tuple(p + s for p, s in zip(self.phase_y, shift_y, strict=True)),
            phase_x=tuple(p + s for p, s in zip(self.phase_x, shift_x, strict=True)),
        )

    def select(self, bands: Sequence[int]) -> Sampling:
        """The sampling of a subset of the bands, in the order given (0-based)."""
        return replace(
            self, phase_y=tuple(self.phase_y[b] for b in bands), phase_x=tuple(self.phase_x[b] for b in bands)
        )


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: rows `row .. row + height`, columns `col .. col + width` (half open)."""

    row: int
    col: int
    height: int
    width: int

    @property
    def row_stop(self) -> int:
        """First row below the window."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """First column right of the window."""
        return self.col + self.width

    @property
    def pixels(self) -> int:
        """Number of pixels in the window."""
        return self.height * self.width

    def grown(self, margin: int) -> Window:
        """The window with `margin` more pixels on every side; may reach outside the scene."""
        return Window(self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin)

    def intersection(self, other: Window) -> Window:
        """What both windows cover; without rows or columns where they do not overlap."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height, width = min(self.row_stop, other.row_stop) - row, min(self.col_stop, other.col_stop) - col
        return Window(row, col, max(0, height), max(0, width))

    def inside(self, outer: Window) -> tuple[slice, slice]:
        """Row and column slices that cut this window out of an array that covers `outer`."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)


@dataclass(frozen=True)
class Tile:
    """A piece of a scene with the halo a method asked for.

    Windows are in scene coordinates and may reach outside the scene; there, as where the files hold nodata, the
    valid masks are False and the values are finite but meaningless.

    Attributes:
        ms: MS samples `[C, h, w]`, float32, DN; they cover `pan_window` and the interpolation kernel around it.
        ms_valid: `[C, h, w]` bool.
        pan: PAN pixels `[1, H, W]`, float32, DN.
        pan_valid: `[1, H, W]` bool.
        valid: pixels of the fused image that exist, `[C, H, W]` bool: PAN is valid there, and the MS pixel below it.
        ms_window: where `ms` lies on the MS grid.
        pan_window: where `pan` lies on the PAN grid.
        core: the part of `pan_window` that this tile is responsible for.
    """

    ms: Tensor
    ms_valid: Tensor
    pan: Tensor
    pan_valid: Tensor
    valid: Tensor
    ms_window: Window
    pan_window: Window
    core: Window


MIN_PAN_R2 = 0.8
"""Share of PAN that the bands must explain before anything is estimated from it."""

_CERTAIN_PAN_R2 = 0.95  # from here on the estimates are fully trusted; undisturbed pairs have .97 and more


@dataclass(frozen=True)
class Observation:
    """How the two images of a scene follow from the sharp image, which is unknown.

    `MS_b = decimate(blur_b(HRMS_b))` on `sampling`, and `PAN = sum_b pan_weights[b] * HRMS_b + pan_offset`.

    Attributes:
        sampling: position of the MS samples on the PAN grid, with the estimated shift of each band.
        ms_gain: amplitude gain of the blur between PAN and MS at the MS Nyquist frequency, per band, in (0, 1).
        pan_gain: gain of the blur that brings PAN to the MS scale (BDSD): PAN's nominal MTF, or, where the blur between
            the two was estimated, that one.
        pan_weights: regression weights of PAN on the bands, or None when PAN does not follow from them.
        pan_offset: intercept of that regression, DN.
        pan_r2: share of the variance of the low-pass PAN that the bands explain, 0 .. 1.
        kernel: that methods interpolate MS with.
    """

    sampling: Sampling
    ms_gain: tuple[float, ...]
    pan_gain: float
    pan_weights: tuple[float, ...] | None = None
    pan_offset: float = 0.0
    pan_r2: float = 0.0
    kernel: Kernel = "lanczos"

    @property
    def certainty(self) -> float:
        """How far the estimates of the scene can be trusted: 0 (PAN does not follow from the bands) .. 1."""
        return min(max((self.pan_r2 - MIN_PAN_R2) / (_CERTAIN_PAN_R2 - MIN_PAN_R2), 0.0), 1.0)


class Views(Protocol):
    """One tile in the forms that sharpening methods use.

    The properties are computed when first asked for. Invalid pixels hold finite filler values. `H, W` is the tile on
    the PAN grid, `h, w` the same tile on the MS grid.
    """

    @property
    def pan_window(self) -> Window:
        """Where the tile, halo included, lies on the PAN grid of the scene: what is anchored to the scene needs it."""

    @property
    def sampling(self) -> Sampling:
        """Where the MS samples of the scene sit on its PAN grid (SR-D takes the size of its patches from the ratio)."""

    @property
    def ms_up(self) -> Tensor:
        """MS interpolated to the PAN grid, `[C, H, W]`."""

    @property
    def pan(self) -> Tensor:
        """PAN, `[1, H, W]`."""

    @property
    def pan_low(self) -> Tensor:
        """PAN degraded by the MTF of each MS band, back on the PAN grid: `up(decimate(blur_b(pan)))`, `[C, H, W]`."""

    @property
    def core(self) -> Tensor:
        """The pixels to count in statistics on the PAN grid: valid in PAN and all bands, in no other tile; `[H, W]`."""

    @property
    def ms(self) -> Tensor:
        """The MS samples themselves, `[C, h, w]`."""

    @property
    def ms_low(self) -> Tensor:
        """MS blurred once more with the sensor's MTF, on the MS grid, not decimated: `[C, h, w]` (BDSD)."""

    @property
    def pan_at_ms(self) -> Tensor:
        """PAN blurred with each band's MTF at the MS samples, `[C, h, w]`."""

    @property
    def pan_mtf_at_ms(self) -> Tensor:
        """PAN through the blur of `Observation.pan_gain` at the MS samples, `[1, h, w]` (BDSD)."""

    @property
    def ms_core(self) -> Tensor:
        """The MS samples to count in statistics, each in exactly one tile, all valid; `[h, w]` bool."""

    @property
    def valid(self) -> Tensor:
        """Pixels that exist in the fused image, `[C, H, W]` bool."""

    def up(self, ms: Tensor) -> Tensor:
        """Interpolate samples on the tile's MS grid to its PAN grid: `[C, h, w] -> [C, H, W]`."""

    def down(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Degrade an image on the PAN grid by the MTF of MS: `[C, H, W]` -> samples `[C, h, w]`, their valid share."""


class Sharpener(Protocol):
    """A method fitted to a scene: sharpens any tile of it, always in the same way."""

    @property
    def halo(self) -> int:
        """PAN pixels of true neighbourhood it needs around a tile for an exact result."""

    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN, float32; exact in all pixels at least `halo` from the edge of the tile."""


class Fitter(Protocol):
    """Gathers what a method must know of the whole scene, tile by tile, then gives the fitted method."""

    @property
    def halo(self) -> int:
        """PAN pixels of true neighbourhood it needs around a tile while gathering."""

    def update(self, views: Views) -> None:
        """Take one tile into account; every pixel of the scene is in the core of exactly one tile."""

    def finish(self) -> Sharpener:
        """The method, fitted to all tiles seen."""
