"""The selective scan of Mamba (Gu, Dao 2023) in plain PyTorch: exact, in chunks, with little memory.

    h_t = exp(dt_t A) h_(t-1) + dt_t u_t B_t,    y_t = C_t . h_t

The recurrence is linear in h, so it may be regrouped: all chunks of the sequence first run side by side from h = 0;
from their last states and decays the true state at the entry of each follows, chunk by chunk; then they run once more
from there and give y. Nothing is approximated, and as A < 0 < dt no factor is above 1. The states of all steps, which
are many times as large as the inputs, never exist together: the backward pass keeps the inputs and the states at the
entries, and recomputes the rest, a few chunks at a time, by the same regrouping of the adjoint recurrence

    r_t = C_t dy_t + exp(dt_(t+1) A) r_(t+1).

Where the package `mamba_ssm` is installed and the tensors are on a CUDA device, its kernel does the same work.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_LONGEST_CHUNK = 64  # fastest on CPUs; more steps mean more calls, more chunks more states
_RECOMPUTED_BYTES = 32e6  # states that the backward pass holds at a time

_log = logging.getLogger(__name__)


def selective_scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The output y of the scan, `[B, L, D]`.

    Args:
        u: inputs, `[B, L, D]`.
        dt: step sizes, `[B, L, D]`, positive.
        a: decay of each state, `[D, N]`, negative.
        b: what an input adds to the states, `[B, L, N]`.
        c: how the output reads them, `[B, L, N]`.
    """
    u, dt, b, c = (tensor.to(a.dtype) for tensor in (u, dt, b, c))  # half precision would lose long memories
    if u.is_cuda and (kernel := _kernel()) is not None:
        along = [tensor.transpose(1, 2).contiguous() for tensor in (u, dt, b, c)]
        y: Tensor = kernel(along[0], along[1], a, along[2], along[3])
        return y.transpose(1, 2)
    with torch.autocast("cuda" if u.is_cuda else "cpu", enabled=False):
        scanned: Tensor = _Scan.apply(u, dt, a, b, c)  # type: ignore[no-untyped-call]
    return scanned


@cache
def _kernel() -> Callable[..., Any] | None:
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError:
        _log.info("selective scans run in plain PyTorch; the extra clippan[mamba] has a faster kernel")
        return None
    _log.info("selective scans run in the kernel of mamba_ssm")
    return selective_scan_fn  # type: ignore[no-any-return]


class _Sequences(NamedTuple):
    """What a scan runs over, as chunks `[T, M, X]`: inputs, step sizes, what inputs add, how the output reads."""

    u: Tensor
    dt: Tensor
    b: Tensor
    c: Tensor


class _Scan(torch.autograd.Function):
    """The scan, keeping its inputs and the state at the entry of each chunk."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        chunks = _Chunks(u.shape[0], u.shape[1])
        cut = _Sequences(*map(chunks.cut, (u, dt, b, c)))
        last = _run(cut, a, torch.zeros_like(cut.u[0, :, :, None] * a))
        entries = chunks.entries(last, torch.exp(cut.dt.sum(0)[:, :, None] * a))
        y = torch.empty_like(cut.u)
        _run(cut, a, entries, y)
        ctx.save_for_backward(u, dt, a, b, c, entries)
        return chunks.join(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        u, dt, a, b, c, entries = ctx.saved_tensors
        chunks = _Chunks(u.shape[0], u.shape[1])
        cut, dy = _Sequences(*map(chunks.cut, (u, dt, b, c))), chunks.cut(grad_y)
        inner = _run_adjoint(cut.dt, a, cut.c, dy)
        exits = chunks.exits(inner, torch.exp(cut.dt.sum(0)[:, :, None] * a))
        grads = _Sequences(*map(torch.empty_like, cut))
        grad_a = torch.zeros_like(a)
        for part in chunks.parts(a):
            some = _Sequences(*(tensor[:, part] for tensor in cut))
            found, found_a = _gradients(some, dy[:, part], a, entries[part], exits[part])
            for whole, some_grad in zip(grads, found, strict=True):
                whole[:, part] = some_grad
            grad_a += found_a
        grad_u, grad_dt, grad_b, grad_c = map(chunks.join, grads)
        return grad_u, grad_dt, grad_a, grad_b, grad_c


class _Chunks:
    """How sequences `[B, L, X]` become chunks `[T, B * K, X]`: T steps of all chunks side by side.

    The last chunk is filled up with zeros: with dt = 0 a step changes nothing.
    """

    def __init__(self, batch: int, length: int) -> None:
        self.batch, self.length = batch, length
        self.steps = max(1, min(_LONGEST_CHUNK, math.isqrt(length)))
        self.count = -(-length // self.steps)

    def cut(self, sequence: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(sequence, (0, 0, 0, self.count * self.steps - self.length))
        return padded.reshape(self.batch * self.count, self.steps, -1).transpose(0, 1).contiguous()

    def join(self, chunks: Tensor) -> Tensor:
        return chunks.transpose(0, 1).reshape(self.batch, self.count * self.steps, -1)[:, : self.length]

    def entries(self, last: Tensor, decay: Tensor) -> Tensor:
        """State at the entry of each chunk, from where each ends when it begins with 0: `[B * K, D, N]`."""
        last, decay = self._by_chunk(last), self._by_chunk(decay)
        states = [torch.zeros_like(last[:, 0])]
        for number in range(self.count - 1):
            states.append(decay[:, number] * states[-1] + last[:, number])
        return torch.stack(states, 1).flatten(0, 1)

    def exits(self, inner: Tensor, decay: Tensor) -> Tensor:
        """Gradient by the state at the exit of each chunk, from that by its entry of its own outputs."""
        inner, decay = self._by_chunk(inner), self._by_chunk(decay)
        gradients = [torch.zeros_like(inner[:, 0])]
        for number in range(self.count - 1, 0, -1):
            gradients.append(inner[:, number] + decay[:, number] * gradients[-1])
        return torch.stack(gradients[::-1], 1).flatten(0, 1)

    def parts(self, a: Tensor) -> list[slice]:
        """Chunks whose states at all steps fit into memory together."""
        at_once = max(1, int(_RECOMPUTED_BYTES / (self.steps * a.numel() * a.element_size())))
        total = self.batch * self.count
        return [slice(first, first + at_once) for first in range(0, total, at_once)]

    def _by_chunk(self, states: Tensor) -> Tensor:
        return states.view(self.batch, self.count, *states.shape[1:])


def _run(x: _Sequences, a: Tensor, h: Tensor, y: Tensor | None = None) -> Tensor:
    """Run all chunks from the states `h [M, D, N]`; the last states. Writes the outputs into `y`, if given."""
    added = x.dt * x.u
    for step in range(len(added)):
        h = torch.exp(x.dt[step, :, :, None] * a) * h + added[step, :, :, None] * x.b[step, :, None]
        if y is not None:
            y[step] = _read(h, x.c[step])
    return h


def _run_adjoint(dt: Tensor, a: Tensor, c: Tensor, dy: Tensor) -> Tensor:
    """Gradient of the outputs of each chunk by the state at its entry, `[M, D, N]`."""
    gradient = torch.zeros_like(dt[0, :, :, None] * a)
    for step in range(len(dt) - 1, -1, -1):
        gradient = torch.exp(dt[step, :, :, None] * a) * (gradient + dy[step, :, :, None] * c[step, :, None])
    return gradient


def _gradients(x: _Sequences, dy: Tensor, a: Tensor, entry: Tensor, leaving: Tensor) -> tuple[_Sequences, Tensor]:
    """Gradients by the sequences and by a of some chunks, given states at entries and gradients at exits."""
    added = x.dt * x.u
    states = [entry]
    for step in range(len(added)):
        decay = torch.exp(x.dt[step, :, :, None] * a)
        states.append(decay * states[-1] + added[step, :, :, None] * x.b[step, :, None])
    grad = _Sequences(*map(torch.empty_like, x))
    grad_a = torch.zeros_like(a)
    gradient = leaving
    for step in range(len(added) - 1, -1, -1):
        gradient = gradient + dy[step, :, :, None] * x.c[step, :, None]
        grad.c[step] = _mix(states[step + 1], dy[step])
        grad.b[step] = _mix(gradient, added[step])
        by_added = _read(gradient, x.b[step])
        gradient = gradient * torch.exp(x.dt[step, :, :, None] * a)
        by_exponent = gradient * states[step]
        grad.dt[step] = by_added * x.u[step] + (by_exponent * a).sum(-1)
        grad.u[step] = by_added * x.dt[step]
        grad_a += (by_exponent * x.dt[step, :, :, None]).sum(0)
    return grad, grad_a


def _read(states: Tensor, weights: Tensor) -> Tensor:
    """`sum_n states[M, D, n] weights[M, n]`."""
    return torch.bmm(states, weights[:, :, None])[:, :, 0]


def _mix(states: Tensor, weights: Tensor) -> Tensor:
    """`sum_d states[M, d, N] weights[M, d]`."""
    return torch.bmm(weights[:, None], states)[:, 0]
