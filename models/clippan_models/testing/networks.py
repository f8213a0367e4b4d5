"""Networks and images for the tests of backbones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clippan_models.networks.spec import BackboneSpec
from clippan_models.networks.statistics import recording

SMALL: dict[str, dict[str, int]] = {
    "anyband": {"features": 4, "shared": 8},
    "arbrpn": {"features": 2},
    "lformer": {"features": 8, "details": 4},
    "pan-mamba": {"width": 16, "layers": 1, "swaps": 1, "crossings": 1},
}
"""Options that make a large network quick, with the same reach."""


def untrained(spec: BackboneSpec, bands: int, seed: int = 0) -> nn.Module:
    """The backbone as it is made, with few features if it is a large one."""
    torch.manual_seed(seed)
    return replace(spec, options={**spec.options, **SMALL.get(spec.name, {})}).build(bands)


def small(spec: BackboneSpec, bands: int, seed: int = 0) -> nn.Module:
    """The backbone with few features, if it is a large one, and not zero anywhere; its statistics are recorded."""
    network = untrained(spec, bands, seed)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not bool(parameter.any()):
            nn.init.normal_(parameter, std=0.1)
    network.eval()
    with recording(network) as needed, torch.no_grad():
        if needed:
            network(*images(bands, 24, 24))
    return network


def positive(network: nn.Module) -> nn.Module:
    """The network with small positive weights: no path through a ReLU is cut, and no gate is saturated."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            inputs = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 10
            parameter.copy_((0.5 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64)) / inputs)
    return network


def images(bands: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """An initial fusion and PAN, normalised noise that depends on the size alone."""
    generator = torch.Generator().manual_seed(height * width)
    image = torch.randn(1, bands + 1, height, width, generator=generator)
    return image[:, :bands], image[:, bands:]


def inputs(spec: BackboneSpec, bands: int, height: int, width: int) -> tuple[Tensor, ...]:
    """All that the backbone is called with: the initial fusion, PAN, and more where it is an informed one."""
    start, pan = images(bands, height, width)
    if not spec.projections:
        return start, pan
    ms_up, detail, missing = (start.roll(shift, -1) for shift in (1, 2, 3))
    return start, pan, ms_up, detail, pan.roll(1, -1), missing, facts(bands)


def facts(bands: int) -> Tensor:
    """What an informed network is told of a scene."""
    return torch.linspace(-1, 1, 6 * bands).view(1, bands, 6)


class WithFacts(nn.Module):
    """An informed network that is called with images alone."""

    def __init__(self, network: nn.Module, known: Tensor) -> None:
        super().__init__()
        self.network, self.known = network, known

    def forward(self, *shown: Tensor) -> Tensor:
        """The output of the network."""
        out: Tensor = self.network(*shown, self.known)
        return out


@dataclass(frozen=True)
class Reach:
    """What an output pixel depends on.

    Attributes:
        before: how many pixels it looks up or left.
        behind: how many it looks down or right.
        offset: how far from it the other pixels lie that influence it, on average over those of one image, in the
            direction and the image where this is most.
    """

    before: int
    behind: int
    offset: float


def reach(spec: BackboneSpec) -> Reach:
    """How far a backbone looks that states its halo, by the gradients of a network with positive weights."""
    halo = int(spec.halo.at(1)) if spec.halo else spec.overlap
    side = -(-(2 * halo + 1) // spec.align) * spec.align + 2 * spec.align
    network = positive(small(spec, 1).double())
    shown = [image.double().abs().requires_grad_() for image in inputs(spec, 1, side, side)]
    out = network(*shown)
    maps = [image for image in shown if image.ndim == 4]
    first = side // 2 // spec.align * spec.align
    position = torch.arange(side, dtype=torch.float64)
    before, behind, centres = [], [], []
    for place in range(first, first + spec.align):  # how far depends on where in a window a pixel lies
        gradients = torch.autograd.grad(out[0, 0, place, place], maps, retain_graph=True)
        influence = torch.cat(gradients, 1).abs()[0]
        seen = torch.nonzero(influence.sum(0))
        before.append(place - int(seen.min()))
        behind.append(int(seen.max()) - place)
        influence[:, place, place] = 0  # the start itself passes through
        along = torch.stack([influence.sum(2), influence.sum(1)])  # rows, columns
        along = along / along.sum(2, keepdim=True).clamp(min=torch.finfo(along.dtype).tiny)
        centres.append((along * (position - place)).sum(2))
    return Reach(max(before), max(behind), float(torch.stack(centres).mean(0).abs().max()))
