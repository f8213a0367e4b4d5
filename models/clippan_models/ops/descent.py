"""Least squares of a few parameters by few looks at the data, as each takes long (Levenberg 1944, Marquardt 1963)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_STEPS = 12
_DAMPING = 1e-3  # of the first step
_LONGEST = 0.8  # of a step
_CLOSE = 0.01  # what a point need not be known more exactly than


@dataclass(frozen=True)
class Look:
    """What a point leaves unexplained.

    Attributes:
        unexplained: of the whole, 0 .. 1.
        gradient: half of it, `[k]`.
        curvature: half of Gauss-Newton's, `[k, k]`.
    """

    unexplained: float
    gradient: np.ndarray
    curvature: np.ndarray

    @classmethod
    def at_nothing(cls, parameters: int) -> Look:
        """Where there is nothing to explain: no point is better than another."""
        return cls(1.0, np.zeros(parameters), np.eye(parameters))


def descend(
    look: Callable[[np.ndarray], Look], start: Sequence[float], limit: float, close: float = _CLOSE
) -> tuple[np.ndarray, float, float]:
    """The point where least is left unexplained, how much is left there, and how much at the start.

    Args:
        look: at a point.
        start: a point in the basin of the answer.
        limit: no coordinate goes further from 0 than this.
        close: a step of at most this ends the search.
    """
    point, damping = np.array(start, dtype=np.float64), _DAMPING
    first = here = look(point)
    for _ in range(_STEPS):
        held = damping * here.curvature.diagonal() + 1e-12
        step = -np.linalg.solve(here.curvature + np.diag(held), here.gradient)
        tried = np.clip(point + np.clip(step, -_LONGEST, _LONGEST), -limit, limit)
        if np.abs(tried - point).max() < close:
            break
        there = look(tried)
        if there.unexplained < here.unexplained:
            point, here, damping = tried, there, damping / 10
        else:
            damping *= 30
    return point, here.unexplained, first.unexplained
