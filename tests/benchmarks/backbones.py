"""What each backbone costs per PAN pixel: the numbers that the specs of the registry state.

Usage: python tests/benchmarks/backbones.py --only apnn lformer --bands 4 8
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from measure import show
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

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
    show(f"backbones, {arguments.side} x {arguments.side}, one thread", rows, as_json=arguments.json)


def row(spec: BackboneSpec, bands: int, side: int) -> dict[str, Any]:
    """Measured beside stated, for one backbone."""
    network, shown = spec.build(bands), inputs(spec, bands, side)
    trained = kept_bytes(network, shown) / side**2
    with recording(network.eval()), torch.no_grad():
        network(*shown)
    cost = spec.cost
    return {
        "backbone": spec.name,
        "bands": bands,
        "parameters": spec.parameters(bands),
        "training B/px": trained,
        "stated": cost.training_bytes.at(bands),
        "working B/px": peak_bytes(network, shown) / side**2,
        "stated ": cost.working_bytes.at(bands),
        "s/Mpx": seconds(network, shown) / side**2 * 1e6,
        "stated  ": cost.cpu_seconds.at(bands),
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
    """Processor time of a forward pass."""
    with torch.inference_mode():
        network(*shown)
        began = time.process_time()
        network(*shown)
    return time.process_time() - began


if __name__ == "__main__":
    main()
