"""Is a network that looks at an image in blocks the network that looks at all of it?"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clippan_models.networks.apnn import APNN
from clippan_models.networks.blocks import BlockGrid, run_in_blocks


def trained(bands: int) -> APNN:
    """A network whose last layer is not zero any more."""
    torch.manual_seed(bands)
    network = APNN(bands).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network


@pytest.mark.parametrize(("height", "width"), [(1, 1), (40, 300), (256, 256), (257, 513)])
def test_blocks_leave_no_trace(height: int, width: int) -> None:
    network = trained(3)
    ms, pan = torch.randn(1, 3, height, width), torch.randn(1, 1, height, width)
    with torch.inference_mode():
        whole, joined = network(ms, pan), run_in_blocks(network, ms, pan, BlockGrid(APNN.HALO))
    torch.testing.assert_close(joined, whole, rtol=0, atol=2e-5)


def test_a_smaller_halo_would_show() -> None:
    network = trained(3)
    ms, pan = torch.randn(1, 3, 300, 300), torch.randn(1, 1, 300, 300)
    with torch.inference_mode():
        assert (network(ms, pan) - run_in_blocks(network, ms, pan, BlockGrid(APNN.HALO - 1))).abs().max() > 1e-3
