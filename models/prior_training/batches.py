"""What a step learns from: patches of a few simulated pairs, which follow from the seed and the number of the step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from clippan_models.adaptation.evidence import shown_images
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.patches import Patches
from clippan_models.adaptation.weighing import with_error_share
from clippan_models.errors import InputError
from prior_training.images import SharpImage
from prior_training.pairs import MARGIN, draw_sharp, simulate, with_bands

PATCH = 144
"""PAN pixels a side of a patch."""

_SCENE = 320  # PAN pixels a side of a simulated pair, where the image is as large
_BANDS = (3, 4, 4, 4, 4, 6, 8, 8)
_SYNTHETIC = 0.25  # share of pairs made of synthetic scenes


@dataclass(frozen=True)
class PairPatches:
    """Patches of one pair with their truth, and what the network is shown of them (`shown_images`)."""

    prior: Prior
    patches: Patches
    shown: tuple[Tensor, ...]

    def turned(self, rng: np.random.Generator) -> PairPatches:
        """The same in one of the eight orientations."""
        flips, transpose = rng.random(2) < 0.5, bool(rng.random() < 0.5)
        axes = [axis for axis, flip in zip((-2, -1), flips, strict=True) if flip]
        mirrored = [image.flip(axes) for image in self.shown]
        shown = tuple(image.transpose(-1, -2) if transpose else image for image in mirrored)
        return replace(self, patches=self.patches.turned(bool(flips[0]), bool(flips[1]), transpose), shown=shown)

    def project(self, image: Tensor) -> Tensor:
        """One round of projections of fused patches `[N, C, H, W]`."""
        prior = with_error_share(self.prior, [(image, self.patches)])
        return prior.project(image, self.patches.pan, partial(_onto_ms, prior, self.patches), rounds=1)

    def error(self, image: Tensor, border: int) -> Tensor:
        """Difference from the truth in standard deviations of each band, without the border."""
        assert self.patches.truth is not None
        inner = (..., slice(border, -border), slice(border, -border))
        return ((image - self.patches.truth) / self.prior.ms_std)[inner]


class SimulatedBatches(Dataset[list[PairPatches]]):
    """Item `n` is the batch of step `n`: patches of several pairs with the same number of bands."""

    def __init__(
        self,
        images: Sequence[SharpImage],
        synthetic: Sequence[SharpImage],
        seed: int,
        pairs: int,
        steps: int,
        patches: int = 2,
    ) -> None:
        """Draw from these images; `pairs` of up to four bands a step, or half as many with more bands."""
        self.images, self.synthetic, self.seed, self.pairs, self.steps = images, synthetic, seed, pairs, steps
        self.patches = patches  # of each pair

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[PairPatches]:
        rng = np.random.default_rng((self.seed, step))
        bands = int(rng.choice(_BANDS))
        count = self.pairs if bands <= 4 else max(1, self.pairs // 2)
        pairs: list[PairPatches] = []
        while len(pairs) < count:
            with suppress(InputError):  # a piece of a flat scene, of which nothing can be learned
                pairs.append(self._pair(bands, rng))
        return pairs

    def _pair(self, bands: int, rng: np.random.Generator) -> PairPatches:
        images = self.synthetic if self.synthetic and rng.random() < _SYNTHETIC else self.images
        sharp = with_bands(draw_sharp(images, _SCENE + 2 * MARGIN, rng), bands, rng)
        pair = simulate(sharp, rng)
        room = [(length - PATCH) // 2 + 1 for length in pair.truth.shape[-2:]]
        corners = [(2 * int(rng.integers(room[0])), 2 * int(rng.integers(room[1]))) for _ in range(self.patches)]
        return prepare(pair.prior(), pair.patches(corners, PATCH))


@torch.no_grad()
def prepare(prior: Prior, patches: Patches) -> PairPatches:
    """The patches with what the network is shown of them."""
    return PairPatches(prior, patches, shown_images(prior, patches, partial(_onto_ms, prior, patches), informed=True))


def _onto_ms(prior: Prior, patches: Patches, image: Tensor) -> Tensor:
    return prior.onto_ms(image, patches.ms, patches.down(image), patches.usable, patches.up)
