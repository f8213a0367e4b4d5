"""What compares two images pixel by pixel, streamed: SAM, ERGAS, PSNR, and bias, RMSE and correlation of each band."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from clippan_models.errors import InputError
from clippan_models.metrics.psnr import decibel
from clippan_models.metrics.sam import spectral_angles
from clippan_models.ops.moments import Moments


@dataclass(frozen=True)
class BandErrors:
    """How one band compares with its reference; DN.

    Attributes:
        bias: mean of fused minus reference, 0 is ideal.
        rmse: root of the mean squared difference, 0 is ideal.
        correlation: Pearson's, 1 is ideal; 0 where either is constant.
        reference_mean: mean of the reference.
        reference_std: its standard deviation.
        fused_mean: mean of the fused band.
        fused_std: its standard deviation.
    """

    bias: float
    rmse: float
    correlation: float
    reference_mean: float
    reference_std: float
    fused_mean: float
    fused_std: float

    def psnr(self, peak: float) -> float:
        """Peak signal-to-noise ratio in dB, infinite where the bands are equal."""
        return decibel(peak, self.rmse**2)


class PixelTotals:
    """Sums over the pixels seen so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._moments = Moments()
        self._squares: Tensor | float = 0.0
        self._angles, self._angle_pixels = 0.0, 0

    @property
    def count(self) -> int:
        """Pixels seen."""
        return self._moments.count

    def add(self, reference: Tensor, fused: Tensor, valid: Tensor) -> None:
        """Take more pixels into account.

        Args:
            reference: `[C, h, w]`, DN.
            fused: `[C, h, w]`, DN.
            valid: `[h, w]` bool; what the images hold elsewhere does not matter.
        """
        if not valid.any():
            return
        self._moments.update([reference, fused], valid)
        x, y = reference.double().flatten(1), fused.double().flatten(1)
        if not valid.all():
            x, y = x[:, valid.flatten()], y[:, valid.flatten()]
        self._squares = self._squares + ((x - y) ** 2).sum(dim=1).cpu()
        angles = spectral_angles(x, y)
        self._angles += float(angles.sum())
        self._angle_pixels += angles.numel()

    def merge(self, other: PixelTotals) -> None:
        """Take the pixels of other totals into account."""
        self._moments.merge(other._moments)
        self._squares = self._squares + other._squares
        self._angles += other._angles
        self._angle_pixels += other._angle_pixels

    def sam(self) -> float:
        """Mean spectral angle, degrees, as in `sam.py`."""
        return self._angles / self._angle_pixels if self._angle_pixels else 0.0

    def ergas(self, ratio: float) -> float:
        """ERGAS as in `ergas.py`; NaN where a band of the reference has mean 0, by which it would divide."""
        bands = self.bands()
        if any(band.reference_mean == 0 for band in bands):
            return float("nan")
        relative = [(band.rmse / band.reference_mean) ** 2 for band in bands]
        return 100 / ratio * math.sqrt(sum(relative) / len(relative))

    def psnr(self, peak: float) -> float:
        """Mean of the PSNR of the bands, dB."""
        bands = self.bands()
        return sum(band.psnr(peak) for band in bands) / len(bands)

    def psnr_global(self, peak: float) -> float:
        """PSNR of one error over all bands, dB."""
        bands = self.bands()
        return decibel(peak, sum(band.rmse**2 for band in bands) / len(bands))

    def bands(self) -> tuple[BandErrors, ...]:
        """Band by band.

        Raises:
            InputError: no pixel was ever valid.
        """
        if not self.count:
            raise InputError("nothing to compare: no pixel is valid in both images")
        mean, cov = self._moments.mean, self._moments.cov
        total = len(mean) // 2
        mse = (torch.as_tensor(self._squares) / self.count).tolist()
        found = []
        for x in range(total):
            y = x + total
            spread = math.sqrt(float(cov[x, x] * cov[y, y]))
            found.append(
                BandErrors(
                    bias=float(mean[y] - mean[x]),
                    rmse=math.sqrt(mse[x]),
                    correlation=float(cov[x, y]) / spread if spread > 0 else 0.0,
                    reference_mean=float(mean[x]),
                    reference_std=math.sqrt(float(cov[x, x])),
                    fused_mean=float(mean[y]),
                    fused_std=math.sqrt(float(cov[y, y])),
                )
            )
        return tuple(found)
