"""The precision in which a network computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def fast_precision(device: torch.device) -> AbstractContextManager[object]:
    """Where a device multiplies bfloat16 directly, its convolutions do so, in half the time; elsewhere as they did.

    For networks that were trained so; sums stay in float32.
    """
    if not _has_bfloat16(device.type):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _has_bfloat16(device_type: str) -> bool:
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities() if device_type == "cpu" else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
