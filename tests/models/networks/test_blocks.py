"""Is a network that looks at an image in blocks the network that looks at all of it?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from clippan_models.networks.apnn import APNN
from clippan_models.networks.blocks import BlockGrid, run_in_blocks, run_in_orientations
from clippan_models.networks.registry import find_backbone


def trained(bands: int) -> APNN:
    """A network whose last layer is not zero any more."""
    torch.manual_seed(bands)
    network = APNN(bands).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network


@pytest.mark.parametrize(("height", "width"), [(1, 1), (40, 300), (256, 256), (257, 513), (330, 90)])
def test_blocks_leave_no_trace(height: int, width: int) -> None:
    network = trained(3)
    ms, pan = torch.randn(1, 3, height, width), torch.randn(1, 1, height, width)
    with torch.inference_mode():
        whole, joined = network(ms, pan), run_in_blocks(network, (ms, pan), BlockGrid(APNN.HALO, side=128))
    torch.testing.assert_close(joined, whole, rtol=0, atol=2e-5)


def test_a_smaller_halo_would_show() -> None:
    network = trained(3)
    ms, pan = torch.randn(1, 3, 300, 300), torch.randn(1, 1, 300, 300)
    with torch.inference_mode():
        assert (
            network(ms, pan) - run_in_blocks(network, (ms, pan), BlockGrid(APNN.HALO - 1, side=128))
        ).abs().max() > 1e-3


@pytest.mark.parametrize("length", [0, 1, 127, 160, 161, 257, 1131])
def test_no_block_is_narrow(length: int) -> None:
    side = BlockGrid(halo=8, side=128, align=2).fitting(length)
    assert side % 2 == 0 and side <= 1.25 * 128
    last = length % side or side
    assert length <= side or last > side / 2, "a narrow block"


@pytest.mark.parametrize("lies", [{}, {"align": 2}, {"window": 12, "overlap": 11}], ids=str)
def test_the_mean_of_orientations_has_none(lies: dict[str, Any]) -> None:
    """A turned image gives the turned result, in tiles too: what is paired stays paired."""
    spec = replace(find_backbone("apnn"), **lies)
    network = trained(3)
    ms, pan = torch.randn(1, 3, 48, 66), torch.randn(1, 1, 48, 66)  # the windows end where the image does
    with torch.inference_mode():
        result = run_in_orientations(spec, network, (ms, pan))
        turned = run_in_orientations(spec, network, (ms.flip(-1).transpose(-2, -1), pan.flip(-1).transpose(-2, -1)))
        cut = (..., slice(3, -1), slice(5, -1))
        tile = run_in_orientations(spec, network, (ms[cut], pan[cut]), origin=(3, 5))
    torch.testing.assert_close(turned, result.flip(-1).transpose(-2, -1), rtol=0, atol=2e-5)
    inner = (..., slice(spec.overlap + 2, -spec.overlap), slice(spec.overlap + 2, -spec.overlap))
    torch.testing.assert_close(tile[inner], result[cut][inner], rtol=0, atol=2e-5)
    assert (result - network(ms, pan)).abs().max() > 1e-3


@pytest.mark.parametrize("lies", [{}, {"align": 2}, {"window": 12, "overlap": 11}], ids=str)
def test_the_second_of_two_orientations_is_upside_down(lies: dict[str, Any]) -> None:
    """In tiles, too, whatever rows they begin and end at."""
    spec = replace(find_backbone("apnn"), **lies)
    network = trained(3)
    ms, pan = torch.randn(1, 3, 48, 66), torch.randn(1, 1, 48, 66)
    with torch.inference_mode():
        once, both = (run_in_orientations(spec, network, (ms, pan), count=count) for count in (1, 2))
        other = run_in_orientations(spec, network, (ms.flip(-2), pan.flip(-2)), count=1).flip(-2)
        cut = (..., slice(3, -2), slice(5, -1))
        tile = run_in_orientations(spec, network, (ms[cut], pan[cut]), origin=(3, 5), count=2)
    torch.testing.assert_close(both, (once + other) / 2, rtol=0, atol=2e-5)
    inner = (..., slice(spec.overlap + 2, -spec.overlap), slice(spec.overlap + 2, -spec.overlap))
    torch.testing.assert_close(tile[inner], both[cut][inner], rtol=0, atol=2e-5)
