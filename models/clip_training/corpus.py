"""The samples that the embedded CLIP is trained on: crops of 64 x 64 pixels, each with a caption.

Samples come in groups that show the same part of a scene: as the sharp reference, as MS, as PAN, as a good fusion,
and with some faults. So they differ by what was done to it, not by what is there. Everything is drawn from a generator
made of the seed: the same seed gives the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clip_training.captions import STRENGTHS, Caption, describe, dominant_content
from clip_training.degradations import FAULTS, MARGIN, WORK, Crop, as_ms, fused, independent, middle
from clip_training.scenes import TruthScene
from clippan_models.guidance.embedded import SIDE
from clippan_models.guidance.radiometry import to_unit

LOWEST, HIGHEST = -0.5, 2.0
"""Where the corpus clamps the unit range, so that one saturated roof does not outweigh a batch."""

COMPOSITES = ((2, 1, 0), (3, 2, 1), (3, 1, 0))
"""Bands shown as red, green and blue: true colour, and two with near infrared."""
_COMPOSITE_SHARES = (0.8, 0.12, 0.08)

_SHARE_OF_STRENGTHS = (0.4, 0.35, 0.25)  # slight ones are what good methods leave
_LEVELS = (0.15, 0.5, 0.95)


@dataclass(frozen=True)
class Sample:
    """One image with its caption.

    Attributes:
        image: `[3, 64, 64]` in the unit range of `radiometry.to_unit`.
        caption: a text that is true of it, with its attribute key.
        key: the attribute key of the image.
        content: what the crop mostly shows, where it is known.
        group: samples with the same number show the same part of a scene.
    """

    image: Tensor
    caption: Caption
    key: str
    content: str | None
    group: int


@dataclass(frozen=True)
class Corpus:
    """Where samples are drawn from.

    Attributes:
        synthetic: scenes drawn from seeds.
        fused: scenes with fusions of a pair; may be empty.
        fused_share: the share of groups that show one of these, where there are any.
        faults: how many faulty versions a group holds.
    """

    synthetic: Sequence[TruthScene]
    fused: Sequence[TruthScene] = ()
    fused_share: float = 0.6
    faults: int = 4

    def group(self, rng: np.random.Generator, number: int = 0) -> list[Sample]:
        """One crop in `4 + faults` versions: reference, MS, PAN, and a fusion or noise, then the faults."""
        scene = self._scene(rng)
        crop = draw_crop(scene, rng)
        composite = COMPOSITES[rng.choice(len(COMPOSITES), p=_COMPOSITE_SHARES)]
        content = dominant_content(middle(crop.bands)) if scene.reflectance else None
        images = {"hrms": show(crop.bands, crop, composite)}
        images["ms"] = show(_as_any_ms(crop, rng), crop, composite)
        images["pan"] = show_pan(crop)
        if rng.random() < 0.85:
            images["fused"] = show(fused(crop, 1.0, rng), crop, composite)
        else:
            images["independent"] = show(independent(crop, 1.0, rng), crop, composite)
        for family in rng.choice(list(FAULTS), self.faults, replace=False):
            level = int(rng.choice(3, p=_SHARE_OF_STRENGTHS))
            images[f"{family}/{STRENGTHS[level]}"] = show(
                FAULTS[family](crop, fault_strength(level, rng), rng), crop, composite
            )
        return [Sample(image, describe(key, content, rng), key, content, number) for key, image in images.items()]

    def batch(self, seed: int, number: int, groups: int) -> list[Sample]:
        """The samples of batch `number` of a training with this seed: so many groups."""
        rng = np.random.default_rng((seed, number))
        return [sample for group in range(groups) for sample in self.group(rng, group)]

    def _scene(self, rng: np.random.Generator) -> TruthScene:
        scenes = self.fused if self.fused and rng.random() < self.fused_share else self.synthetic
        return scenes[int(rng.integers(len(scenes)))]


def draw_crop(scene: TruthScene, rng: np.random.Generator) -> Crop:
    """Draw a crop of a scene, turned or mirrored, with the margin that faults look at.

    Beyond the scene's edge its mirror image stands in, so that a scene of 64 pixels a side is enough. The statistics
    are jittered: those of a larger scene around the crop would differ.
    """
    height, width = scene.bands.shape[1:]
    row, col = int(rng.integers(max(height - SIDE, 0) + 1)), int(rng.integers(max(width - SIDE, 0) + 1))
    rows, cols = _mirrored(row - MARGIN, height), _mirrored(col - MARGIN, width)
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5

    def cut(image: Tensor) -> Tensor:
        turned = torch.rot90(image[:, rows][:, :, cols], turns, (1, 2))
        return (turned.flip(2) if mirrored else turned).contiguous()

    brightness, contrast = rng.uniform(-0.15, 0.15), rng.uniform(0.85, 1.2)
    return Crop(
        cut(scene.bands),
        scene.mean + brightness * scene.std,
        scene.std * contrast,
        cut(scene.pan),
        scene.pan_mean + brightness * scene.pan_std,
        scene.pan_std * contrast,
        {name: cut(image) for name, image in scene.fusions.items()},
    )


def show(bands: Tensor, crop: Crop, composite: tuple[int, int, int] = (2, 1, 0)) -> Tensor:
    """The middle of a 4-band image as CLIP sees it: `[4, WORK, WORK] -> [3, 64, 64]`, unit range, clamped lightly."""
    chosen = list(composite)
    return to_unit(middle(bands)[chosen], crop.mean[chosen], crop.std[chosen]).clamp(LOWEST, HIGHEST)


def show_pan(crop: Crop) -> Tensor:
    """The PAN of a crop as CLIP sees it, three times the same band: `[3, 64, 64]`."""
    unit = to_unit(middle(crop.pan), crop.pan_mean, crop.pan_std)
    return unit.clamp(LOWEST, HIGHEST).repeat(3, 1, 1)


def _as_any_ms(crop: Crop, rng: np.random.Generator) -> Tensor:
    """The crop as some coarser camera sees it."""
    ratio = int(rng.choice((4, 3, 2), p=(0.75, 0.1, 0.15)))
    return as_ms(crop.bands, ratio, rng.uniform(0.15, 0.45), int(rng.integers(ratio)))


def fault_strength(level: int, rng: np.random.Generator) -> float:
    """A strength that counts as slight (0), moderate (1) or strong (2)."""
    return float(np.clip(_LEVELS[level] + rng.uniform(-0.12, 0.12), 0.02, 1.0))


def _mirrored(start: int, extent: int) -> Tensor:
    """Indexes of `WORK` pixels from `start`, reflected at the ends of an axis of this extent."""
    index = np.arange(start, start + WORK)
    period = 2 * max(extent - 1, 1)
    index = np.abs(index) % period
    return torch.from_numpy(np.where(index >= extent, period - index, index))
