"""The precision in which a network computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch

_FAST = ContextVar("_FAST", default=True)


def fast_precision(device: torch.device) -> AbstractContextManager[object]:
    """Where a device multiplies bfloat16 directly, convolutions do so, in half the time; elsewhere in float32.

    For learning, its targets and its validations. What a network adds to an image then has 8 significant bits: images
    of 11 bits change by .09 DN on average, and by up to 3 DN with another size of the tiles.
    """
    if not _FAST.get() or not _has_bfloat16(device.type):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def full_precision() -> Iterator[None]:
    """Networks within the block compute in float32 on any device, and a GPU does not round to TF32, of 11 bits."""
    token, tf32 = _FAST.set(False), torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        _FAST.reset(token)
        torch.backends.cudnn.allow_tf32 = tf32


def _has_bfloat16(device_type: str) -> bool:
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities() if device_type == "cpu" else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
