"""Statistics of a whole image that a network looks at, recorded on a scene and then frozen.

A gate that pools over the image, or an instance norm, gives each tile its own value, and the tiles show. A network
that takes them from a `SceneStatistic` uses those of each patch while it trains, and afterwards those of the scene, as
batch normalisation does, so that a pixel no longer depends on the tile that it is in. The recorded values are buffers:
weights files hold them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class SceneStatistic(nn.Module):
    """Numbers that sum up an image: each patch's own in training, the mean over the recorded patches in evaluation.

    Before anything is recorded, evaluation takes them from the image, too.
    """

    total: Tensor
    count: Tensor

    def __init__(self, numbers: int) -> None:
        """Make it with nothing recorded."""
        super().__init__()
        self.register_buffer("total", torch.zeros(numbers))
        self.register_buffer("count", torch.zeros(()))
        self.recording = False

    def forward(self, own: Tensor) -> Tensor:
        """The numbers to use, `[B, numbers]`, given those of the images themselves."""
        if self.recording:
            self.total += own.detach().sum(0).to(self.total.dtype)
            self.count += own.shape[0]
        elif not self.training and bool(self.count):
            return (self.total / self.count).to(own.dtype).expand_as(own)
        return own

    def clear(self) -> None:
        """Forget what was recorded."""
        self.total.zero_()
        self.count.zero_()


class SceneInstanceNorm(nn.Module):
    """Instance normalisation (Ulyanov et al. 2016) with a scale and an offset per channel, by the scene's moments."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        """Make it with scale 1 and offset 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.moments = SceneStatistic(2 * channels)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of `[B, C, H, W]`."""
        own = torch.cat([x.mean((-2, -1)), x.square().mean((-2, -1))], 1)
        moments: Tensor = self.moments(own)
        mean, power = moments.chunk(2, 1)
        variance = (power - mean.square()).clamp(min=0)
        scale = self.weight / (variance + self.eps).sqrt()
        return (x - mean[..., None, None]) * scale[..., None, None] + self.bias[:, None, None]


def statistics_of(network: nn.Module) -> list[SceneStatistic]:
    """The statistics of a whole image that a network uses."""
    return [module for module in network.modules() if isinstance(module, SceneStatistic)]


def is_recorded(network: nn.Module) -> bool:
    """Whether the network has statistics of a scene, or needs none."""
    return all(bool(statistic.count) for statistic in statistics_of(network))


@contextmanager
def recording(network: nn.Module) -> Iterator[bool]:
    """Clear the statistics and record those of all images that pass; yields whether there are any to record.

    Each patch goes by its own statistics meanwhile, also in the deeper layers: one pass is enough.
    """
    statistics = statistics_of(network)
    for statistic in statistics:
        statistic.clear()
        statistic.recording = True
    try:
        yield bool(statistics)
    finally:
        for statistic in statistics:
            statistic.recording = False
