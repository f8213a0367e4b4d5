"""What measuring reads: sources of pixels, the images that the indices compare, and who else looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from clippan_models.contracts import Window


class PlaneSource(Protocol):
    """An image that is read by window, never beyond its border."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""

    def read(self, window: Window) -> Tensor:
        """`[C, h, w]`, DN, any dtype that converts to float64; anything at invalid pixels."""

    def valid(self, window: Window) -> Tensor:
        """`[h, w]` bool, True where all bands hold a measurement."""


class QualityPlanes(Protocol):
    """The images that the indices compare, by window on the PAN grid; DN, finite, any float type.

    `fused`, `pan` and `valid` are also asked for beyond the scene, where values are 0 and `valid` is False; the others
    only inside.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """PAN rows and columns of the scene."""

    @property
    def bands(self) -> int:
        """Number of MS bands, C."""

    @property
    def ratio(self) -> float:
        """PAN pixels per MS pixel, for the window of D_rho."""

    def fused(self, window: Window) -> Tensor:
        """The fused image, `[C, h, w]`."""

    def pan(self, window: Window) -> Tensor:
        """PAN, `[1, h, w]`."""

    def valid(self, window: Window) -> Tensor:
        """Pixels that are valid in all three images, `[h, w]` bool."""

    def exp(self, window: Window) -> Tensor:
        """MS interpolated to the PAN grid, `[C, h, w]`."""

    def pan_low(self, window: Window) -> Tensor:
        """PAN brought to the MS grid and back, `[C, h, w]`, or `[1, h, w]` when it is the same for all bands."""

    def fused_mtf(self, window: Window) -> Tensor:
        """The fused image blurred by the MTF of the MS sensor, on the PAN grid, `[C, h, w]`."""


class CoarsePlanes(Protocol):
    """What the paper of QNR compares the fused image with: the pair on the MS grid, by window of that grid."""

    @property
    def ratio(self) -> int:
        """PAN pixels per MS pixel."""

    def ms(self, window: Window) -> Tensor:
        """MS, `[C, h, w]`."""

    def pan(self, window: Window) -> Tensor:
        """PAN reduced to the MS grid, `[1, h, w]`."""


@dataclass(frozen=True)
class SeenWindow:
    """The planes of one window, for observers.

    Attributes:
        window: where, on the PAN grid.
        fused: `[C, h, w]`, float64.
        pan: `[1, h, w]`, float64.
        fused_mtf: `[C, h, w]`.
        valid: `[h, w]` bool; what the others hold elsewhere is meaningless.
    """

    window: Window
    fused: Tensor
    pan: Tensor
    fused_mtf: Tensor
    valid: Tensor


class Observer(Protocol):
    """Gathers more from the windows of a scene while they are in memory."""

    def add(self, seen: SeenWindow) -> None:
        """Look at one more window; each pixel of the scene is in exactly one, those without a valid pixel in none."""
