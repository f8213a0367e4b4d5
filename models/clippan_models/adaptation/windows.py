"""The windows of a scene that a network learns from."""

from __future__ import annotations

import math

from clippan_models.contracts import Sampling


def training_core(sampling: Sampling) -> int:
    """Side in PAN pixels of the windows that a scene is sampled by: 32 MS pixels at least, a multiple of 32."""
    return max(128, 32 * math.ceil(max(sampling.ratio_y, sampling.ratio_x)))
