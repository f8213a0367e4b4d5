"""Scenes with what clippan itself makes of them: pairs are simulated from sharp images, and fused.

The embedded CLIP is to tell a fused image from the truth. Faults made on purpose are one half of that; what the initial
fusion and AnyBand really leave is the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import numpy as np
import torch
from torch import nn

from clip_training.scenes import SIDE, TruthScene, truth_scene
from clippan_models.errors import InputError
from clippan_models.networks.anyband import SPEC
from clippan_models.store.weights_file import fill, read_weights, shipped
from prior_training.batches import prepare
from prior_training.images import SharpImage
from prior_training.learning import fuse_pairs
from prior_training.pairs import MARGIN, draw_sharp, simulate, with_bands

_COLOURS = ("B", "G", "R", "NIR")


def natural_images(images: Sequence[SharpImage]) -> list[SharpImage]:
    """Those of the images that have blue, green and red, in this order, with near infrared last if they have it."""
    natural = []
    for image in images:
        held = [image.colours.index(colour) for colour in _COLOURS if colour in image.colours]
        if len(held) >= 3 and image.colours[held[0]] == "B":
            natural.append(SharpImage(image.name, image.bands[held], tuple(image.colours[band] for band in held)))
    return natural


def fused_scenes(images: Sequence[SharpImage], count: int, seed: int) -> list[TruthScene]:
    """Draw scenes of about 256 pixels a side, each fused by the initial fusion (`initial`) and AnyBand (`anyband`)."""
    rng = np.random.default_rng((seed, 2))
    scenes: list[TruthScene] = []
    while len(scenes) < count:
        with suppress(InputError):  # a piece of a flat scene, of which nothing can be learned
            scenes.append(_fused_scene(images, rng))
    return scenes


@torch.no_grad()
def _fused_scene(images: Sequence[SharpImage], rng: np.random.Generator) -> TruthScene:
    sharp = with_bands(draw_sharp(images, SIDE + 2 * MARGIN, rng, shuffled=False), len(_COLOURS), rng)
    pair = simulate(sharp, rng)
    side = min(pair.truth.shape[-2:]) // 2 * 2
    patches = pair.patches([(0, 0)], side)
    assert patches.truth is not None
    seen = prepare(pair.prior(), patches)
    fusions = {"initial": seen.shown[0][0], "anyband": fuse_pairs(_anyband(), [seen])[0][0]}
    return truth_scene("fused", patches.truth[0], patches.pan[0], fusions=fusions)


@cache
def _anyband() -> nn.Module:
    """AnyBand with the weights that ship."""
    network = SPEC.build(0)
    fill(network, read_weights(shipped("anyband.safetensors")), "AnyBand")
    return network.eval()
