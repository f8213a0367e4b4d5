"""What each backbone costs per PAN pixel: the numbers that the specs of the registry state, and its share of the CPU.

The title says how many multiplications a core does in the convolution that suits it best.

Usage: python tests/benchmarks/backbones.py --only apnn lformer --bands 4 8
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from measure import show
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from clippan_models.networks.precision import full_precision
from clippan_models.networks.registry import BACKBONES
from clippan_models.networks.spec import BackboneSpec
from clippan_models.networks.statistics import recording


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(BACKBONES), choices=list(BACKBONES))
    parser.add_argument("--bands", nargs="*", type=int, default=[4])
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row(BACKBONES[name], bands, arguments.side) for name in arguments.only for bands in arguments.bands]
    title = f"backbones, {arguments.side} x {arguments.side}, one thread, of {fastest_rate():.0f} GMAC/s"
    show(title, rows, as_json=arguments.json)


def fastest_rate() -> float:
    """10^9 multiplications a second of a 3 x 3 convolution of 64 planes."""
    convolution = nn.Conv2d(64, 64, 3, padding=1)
    convolution.weight.data = convolution.weight.data.contiguous(memory_format=torch.channels_last)
    image = torch.randn(1, 64, 256, 256).contiguous(memory_format=torch.channels_last)
    return float(convolution.weight.numel() * 256**2 / seconds(convolution, (image,)) / 1e9)


def row(spec: BackboneSpec, bands: int, side: int) -> dict[str, Any]:
    """Measured beside stated, for one backbone."""
    network, shown = spec.build(bands), inputs(spec, bands, side)
    trained = kept_bytes(network, shown) / side**2
    with recording(network.eval()), torch.no_grad():
        network(*shown)
    cost, taken = spec.cost, seconds(network, shown)
    return {
        "backbone": spec.name,
        "bands": bands,
        "parameters": spec.parameters(bands),
        "training B/px": trained,
        "stated": cost.training_bytes.at(bands),
        "working B/px": peak_bytes(network, shown) / side**2,
        "stated ": cost.working_bytes.at(bands),
        "s/Mpx": taken / side**2 * 1e6,
        "stated  ": cost.cpu_seconds.at(bands),
        "GMAC/s": cost.macs.at(bands) * side**2 / taken / 1e9,
    }


def inputs(spec: BackboneSpec, bands: int, side: int) -> tuple[Tensor, ...]:
    """What a backbone is called with: the initial fusion, PAN, and more where it is an informed one."""
    image, pan = torch.randn(1, bands, side, side), torch.randn(1, 1, side, side)
    if not spec.projections:
        return image, pan
    return image, pan, image, image, pan, image, torch.randn(1, bands, 6)


def kept_bytes(network: nn.Module, shown: tuple[Tensor, ...]) -> int:
    """Bytes of activations that the backward pass of a network needs."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = network.train()(*shown)
    del out
    return sum(kept.values())


def peak_bytes(network: nn.Module, shown: tuple[Tensor, ...]) -> int:
    """Peak of what a network allocates while it fuses."""
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        network(*shown)
    assert profiled.profiler is not None and profiled.profiler.kineto_results is not None
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def seconds(network: nn.Module, shown: tuple[Tensor, ...]) -> float:
    """Processor time of a forward pass as in sharpening, the median of three."""
    found = []
    with torch.inference_mode(), full_precision():
        network(*shown)
        for _ in range(3):
            began = time.process_time()
            network(*shown)
            found.append(time.process_time() - began)
    return statistics.median(found)


if __name__ == "__main__":
    main()
