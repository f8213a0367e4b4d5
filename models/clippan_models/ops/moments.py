"""Streaming means and covariances of masked samples (pairwise update of Chan, Golub & LeVeque 1983).

A method that is fitted to a scene needs statistics of the whole scene, which never is in memory at once. Every chunk of
samples is centred on its own mean in float64 and merged into the running moments; nothing large is ever subtracted from
something large, so the result does not depend (to about 1e-12) on how the scene was cut into tiles.

Reference: T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance: analysis and
recommendations", The American Statistician 37(3), 1983.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clippan_models.errors import InputError
from clippan_models.ops.box import bounding_box

# Samples taken at a time: K float64 rows of a chunk stay in the cache of a core while they are centred and multiplied.
_CHUNK = {"cpu": 1 << 16, "cuda": 1 << 22}
# Relative spread of a constant image after float32 arithmetic (interpolation, filters).
_FLOAT32_NOISE = 2.0**-22


class Moments:
    """Count, mean and covariance of K variables over all samples seen so far.

    The number of variables is that of the first `update`. All results are float64 tensors on the CPU.

    Example:
        >>> moments = Moments()
        >>> moments.update(torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([True, True, False]))
        >>> moments.mean, moments.cov
        (tensor([2.], dtype=torch.float64), tensor([[2.]], dtype=torch.float64))
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = torch.zeros(0, dtype=torch.float64)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)

    def update(self, values: Tensor | Sequence[Tensor], mask: Tensor) -> None:
        """Take more samples into account.

        Args:
            values: `[K, N]` or `[K, H, W]`, any float type; or several such tensors, whose variables follow one
                another (this spares the caller a copy of the tile).
            mask: the samples to count, `[N]` or `[H, W]` bool. Other values, NaN included, do not matter.
        """
        tensors = [values] if isinstance(values, Tensor) else values
        box = bounding_box(mask)  # a core has a margin, which would only be sorted out
        groups = [v[:, *box].reshape(v.shape[0], -1) for v in tensors]
        keep = mask[box].reshape(-1)
        variables = sum(v.shape[0] for v in groups)
        if self._mean.numel() == 0:
            self._mean = torch.zeros(variables, dtype=torch.float64)
            self._scatter = torch.zeros(variables, variables, dtype=torch.float64)
        if not keep.any():
            return
        device = keep.device if keep.device.type in _CHUNK else torch.device("cpu")  # others may lack float64
        step = min(_CHUNK[device.type], keep.numel())
        buffer = torch.empty(variables, step, dtype=torch.float64, device=device)
        for start in range(0, keep.numel(), step):
            self._update_chunk([v[:, start : start + step] for v in groups], keep[start : start + step], buffer)

    def merge(self, other: Moments) -> None:
        """Take the samples of other moments of the same variables into account."""
        if other._count == 0:
            return
        if self._mean.numel() == 0:
            self._mean = torch.zeros_like(other._mean)
            self._scatter = torch.zeros_like(other._scatter)
        self._merge(other._count, other._mean, other._scatter)

    def _update_chunk(self, groups: list[Tensor], keep: Tensor, buffer: Tensor) -> None:
        chunk = buffer[:, : keep.numel()]
        for rows, group in zip(torch.split(chunk, [g.shape[0] for g in groups]), groups, strict=True):
            rows.copy_(group)
        if not keep.all():
            chunk = chunk[:, keep.to(chunk.device)]
        if chunk.shape[1] > 0:
            mean = chunk.mean(dim=1)
            chunk.sub_(mean[:, None])
            self._merge(chunk.shape[1], mean.cpu(), (chunk @ chunk.T).cpu())

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        # Chan et al. (1983), eq. 2.1: the scatter of a union is the sum of the scatters and of that of the two means.
        total = self._count + count
        delta = mean - self._mean
        self._scatter += scatter + torch.outer(delta, delta) * (self._count * count / total)
        self._mean += delta * (count / total)
        self._count = total

    def nonempty(self) -> Moments:
        """These moments, once at least one sample was counted.

        Raises:
            InputError: no sample was ever counted, or one was not finite.
        """
        if self._count == 0:
            raise InputError("no pixel is valid in PAN and in all MS bands at once; check nodata and the overlap")
        if not self._scatter.isfinite().all():
            raise InputError("the statistics of MS and PAN are not finite; check nodata and the largest values")
        return self

    @property
    def count(self) -> int:
        """Number of samples counted."""
        return self._count

    @property
    def mean(self) -> Tensor:
        """Mean of each variable, `[K]`; zero before the first sample."""
        return self._mean.clone()

    @property
    def cov(self) -> Tensor:
        """Covariance `[K, K]` with divisor `count - 1`; zero when there are fewer than two samples."""
        return self._scatter / max(self._count - 1, 1)

    @property
    def gram(self) -> Tensor:
        """Sums of products of the variables, not centred, `[K, K]`."""
        return self._scatter + self._count * torch.outer(self._mean, self._mean)

    @property
    def flat(self) -> Tensor:
        """Which variables are constant up to the rounding of float32, `[K]` bool."""
        return self.cov.diagonal().sqrt() <= _FLOAT32_NOISE * self._mean.abs()
