"""The `Views` contract: what sharpening methods ask for of one tile, by the observation model of the scene."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from clippan_models.contracts import INTERPOLATION_RADIUS, Observation, Sampling, Tile, Window
from clippan_models.ops.fill import fill_invalid
from clippan_models.ops.resample import (
    blur_radius,
    coverage,
    decimate,
    upsample,
)

_FULL = 1 - 1e-5  # a blurred mask above this is a fully valid neighbourhood: its value is used as it is, bit for bit


def lowpass_halo(observation: Observation) -> int:
    """PAN pixels around a tile within which `TileViews.pan_low` depends on PAN."""
    ratio = max(observation.sampling.ratio_y, observation.sampling.ratio_x)
    blur = max(blur_radius(gain, ratio) for gain in observation.ms_gain)
    return math.ceil((INTERPOLATION_RADIUS + 1) * ratio) + blur


def fit_halo(observation: Observation) -> int:
    """PAN pixels around a tile that its statistics need: low-pass views, and PAN at the MS samples of the core."""
    ratio = max(observation.sampling.ratio_y, observation.sampling.ratio_x)
    own = blur_radius(observation.pan_gain, ratio)
    return max(lowpass_halo(observation), own + math.ceil(ratio))


def project_to_ms(
    image: Tensor, valid: Tensor, pan_window: Window, ms_window: Window, sampling: Sampling, gain: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Blur and decimate over valid pixels only.

    Args:
        image: `[1 or C, H, W]` over `pan_window`.
        valid: `[1 or C, H, W]` bool.
        pan_window: where the image lies on the PAN grid.
        ms_window: the MS samples wanted.
        sampling: relation of the grids.
        gain: per band, at the MS Nyquist frequency.

    Returns:
        The values `[C, h, w]`, and the share of each sample's blur that fell on valid pixels `[C, h, w]`, 0 .. 1.
    """
    if bool(valid.all()):
        blurred = decimate(image, pan_window, ms_window, sampling, gain)
        share = coverage(pan_window, ms_window, sampling, gain).to(image.device)
    else:
        masked = torch.where(valid, image, torch.zeros_like(image))
        blurred = decimate(masked, pan_window, ms_window, sampling, gain)
        share = decimate(valid.to(image.dtype), pan_window, ms_window, sampling, gain)
    whole = share > _FULL
    return torch.where(whole, blurred, blurred / share.clamp(min=1e-3)), share


def bands_at_reference(tile: Tile, sampling: Sampling, reference: Sampling) -> Tensor:
    """The bands of a tile interpolated to where the samples of a reference band lie, so that they share one grid.

    Args:
        tile: its invalid samples within reach of valid ones get extrapolated values.
        sampling: of all bands.
        reference: of one band, with the same ratio.

    Returns:
        `[C, h, w]`, on the MS samples of the tile.
    """
    relative = Sampling(
        1.0,
        1.0,
        tuple((p - reference.phase_y[0]) / sampling.ratio_y for p in sampling.phase_y),
        tuple((p - reference.phase_x[0]) / sampling.ratio_x for p in sampling.phase_x),
    )
    return upsample(fill_invalid(tile.ms, tile.ms_valid, 3), tile.ms_window, tile.ms_window, relative)


class TileViews:
    """The views of a `Tile`, each computed when first asked for; see `contracts.Views`."""

    def __init__(self, tile: Tile, observation: Observation) -> None:
        self.tile = tile
        self.observation = observation

    @property
    def pan_window(self) -> Window:
        """Where the tile lies on the PAN grid of the scene."""
        return self.tile.pan_window

    @property
    def sampling(self) -> Sampling:
        """Relation of the MS grid to the PAN grid."""
        return self.observation.sampling

    @property
    def valid(self) -> Tensor:
        """Pixels that exist in the fused image, `[C, H, W]` bool."""
        return self.tile.valid

    @cached_property
    def pan(self) -> Tensor:
        """PAN, `[1, H, W]`; invalid pixels continue their surroundings, for what looks at neighbours."""
        tile = self.tile
        if bool(tile.pan_valid.all()):
            return tile.pan
        return torch.where(tile.pan_valid, tile.pan, self.pan_low.mean(0, keepdim=True))

    @cached_property
    def ms(self) -> Tensor:
        """MS samples, `[C, h, w]`; invalid ones within reach of valid pixels hold extrapolated values."""
        # the kernel reaches one sample further where a band lies up to an MS pixel off
        return fill_invalid(self.tile.ms, self.tile.ms_valid, INTERPOLATION_RADIUS + 1)

    @cached_property
    def ms_up(self) -> Tensor:
        """MS interpolated to the PAN grid, `[C, H, W]`."""
        return self.up(self.ms)

    @cached_property
    def pan_at_ms(self) -> Tensor:
        """PAN blurred with each band's MTF at the MS samples, `[C, h, w]`."""
        return self._pan_at_ms[0]

    @cached_property
    def pan_low(self) -> Tensor:
        """MTF-degraded PAN, one plane for each band, interpolated back to the PAN grid, `[C, H, W]`."""
        values, share = self._pan_at_ms
        return self.up(fill_invalid(values, share > 0.01, INTERPOLATION_RADIUS))

    @cached_property
    def pan_mtf_at_ms(self) -> Tensor:
        """PAN through the blur of `Observation.pan_gain` at the MS samples, `[1, h, w]`."""
        reference = self.sampling.select([0])
        gain = (self.observation.pan_gain,)
        values, _ = project_to_ms(
            self.pan, self.tile.pan_valid, self.tile.pan_window, self.tile.ms_window, reference, gain
        )
        return values

    @cached_property
    def ms_low(self) -> Tensor:
        """MS blurred once more with its MTF, on the MS grid, `[C, h, w]`."""
        window = self.tile.ms_window
        same_grid = Sampling(1.0, 1.0, (0.0,) * self.sampling.bands, (0.0,) * self.sampling.bands)
        # A Gaussian of the same width in MS pixels as the one between the grids has in PAN pixels, as BDSD wants it:
        # its gain at MS Nyquist is that of ratio 1.
        gain = tuple(g ** (self.sampling.ratio**2) for g in self.observation.ms_gain)
        values, _ = project_to_ms(self.ms, self.tile.ms_valid, window, window, same_grid, gain)
        return values

    @cached_property
    def core(self) -> Tensor:
        """Pixels to count in statistics on the PAN grid, `[H, W]` bool."""
        inside = torch.zeros(self.tile.pan.shape[-2:], dtype=torch.bool, device=self.tile.pan.device)
        inside[self.tile.core.inside(self.tile.pan_window)] = True
        return inside & self.tile.valid.all(0)

    @cached_property
    def ms_core(self) -> Tensor:
        """MS samples to count in statistics, each in one tile of the scene, `[h, w]` bool."""
        core, window, sampling = self.tile.core, self.tile.ms_window, self.sampling
        rows = self._owned(window.row, window.height, sampling.phase_y[0], sampling.ratio_y, core.row, core.row_stop)
        cols = self._owned(window.col, window.width, sampling.phase_x[0], sampling.ratio_x, core.col, core.col_stop)
        seen = (self._pan_at_ms[1] > 0.5).all(0) & self.tile.ms_valid.all(0)
        return rows[:, None] & cols & seen

    def up(self, ms: Tensor) -> Tensor:
        """Interpolate samples on this tile's MS grid to its PAN grid: `[C, h, w] -> [C, H, W]`."""
        return upsample(ms, self.tile.ms_window, self.tile.pan_window, self.sampling, self.observation.kernel)

    def down(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """MTF-degrade an image on the PAN grid, `[C, H, W]`, to MS samples `[C, h, w]`, with their valid share."""
        tile = self.tile
        return project_to_ms(
            image, tile.valid, tile.pan_window, tile.ms_window, self.sampling, self.observation.ms_gain
        )

    @cached_property
    def _pan_at_ms(self) -> tuple[Tensor, Tensor]:
        tile = self.tile
        return project_to_ms(
            tile.pan, tile.pan_valid, tile.pan_window, tile.ms_window, self.sampling, self.observation.ms_gain
        )

    def _owned(self, first: int, count: int, phase: float, ratio: float, start: int, stop: int) -> Tensor:
        """Which MS indexes have their centre between two PAN indexes: the rule that gives each sample one tile."""
        centre = phase + ratio * torch.arange(first, first + count, dtype=torch.float64, device=self.tile.pan.device)
        nearest = torch.floor(centre + 0.5)
        return (nearest >= start) & (nearest < stop)
