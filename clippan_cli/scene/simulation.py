"""A pair made of a sharp image, which is then the truth: what a satellite would have delivered of the place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from clippan_cli.scene.painting import Image
from clippan_models.contracts import Sampling, Window
from clippan_models.ops.resample import coverage, decimate

SIMULATED_RATIO = 4
_GAIN, _SHIFT, _NOISE = 0.3, (0.3, -0.4), 2.0  # MTF at Nyquist; PAN pixels down and right; DN


def simulated_pair(
    truth: Image, ratio: int = SIMULATED_RATIO, gains: Sequence[float] = (_GAIN,)
) -> tuple[Image, Image]:
    """MS and PAN of a sharp image: MS blurred by an MTF, shifted and decimated, PAN the mean of the bands.

    Both get noise of 2 DN and are rounded to whole DN. The noise is always the same.

    Args:
        truth: `[C, H, W]`, in DN of about 11 bits; both sides are multiples of the ratio.
        ratio: PAN pixels per MS pixel.
        gains: of the MTF at the Nyquist frequency of MS, for each band, or one for all.
    """
    bands, height, width = truth.shape
    gain = tuple(gains) * bands if len(gains) == 1 else tuple(gains)
    sampling = Sampling.area_registered(ratio, bands).shifted([_SHIFT[0]] * bands, [_SHIFT[1]] * bands)
    grids = Window(0, 0, height, width), Window(0, 0, height // ratio, width // ratio), sampling, gain
    sharp = torch.from_numpy(truth)
    ms = (decimate(sharp, *grids) / coverage(*grids)).numpy()
    pan = sharp.mean(0, keepdim=True).numpy()
    random = np.random.default_rng(0)
    noisy = [(image + random.normal(0, _NOISE, image.shape)).round().astype(np.float32) for image in (ms, pan)]
    return noisy[0], noisy[1]
