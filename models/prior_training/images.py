"""Sharp images that pairs are simulated from: open imagery of a folder, and synthetic scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clip_training.scenes import synthetic_scene
from clippan_models.errors import InputError

LEAST_SIDE = 208
"""Pixels a side of the smallest image that patches can be cut out of."""

_WHITE = 220  # of the square root in which values are stored


@dataclass(frozen=True)
class SharpImage:
    """A sharp image.

    Attributes:
        name: of its file, or of the synthetic scene.
        bands: `[C, H, W]`, float16, linear, each band with its 99.9 % quantile at 1.
        colours: what its file calls each band, such as "NIR"; empty if it does not say.
    """

    name: str
    bands: Tensor
    colours: tuple[str, ...] = ()

    @property
    def side(self) -> int:
        """Its shorter side in pixels."""
        return min(self.bands.shape[-2:])


def read_images(folder: Path, held_out: Sequence[str] = ()) -> tuple[list[SharpImage], list[SharpImage]]:
    """The images of a folder of `.npz` files to train on, and the held-out ones.

    A file holds `q [C, H, W]` uint8, a linear value being `(q / 220)^2` times the same number everywhere in a band;
    `soft` says that its pixels are finer than what it resolves: the image is then halved. `bands` names its bands.

    Args:
        folder: of the files.
        held_out: beginnings of names; images of one place begin alike.

    Raises:
        InputError: there are none, or a file is not of that form.
    """
    found = [_read(path) for path in sorted(folder.glob("*.npz"))]
    images = [image for image in found if image.side >= LEAST_SIDE]
    kept = [image for image in images if image.name.startswith(tuple(held_out))]
    train = [image for image in images if not image.name.startswith(tuple(held_out))]
    if not train:
        raise InputError(f"{folder}: no .npz file with an array `q` of {LEAST_SIDE} pixels a side here")
    return train, kept


def synthetic_images(count: int, seed: int, side: int) -> list[SharpImage]:
    """Synthetic scenes of four bands, of seeds from `seed` on."""
    scenes = (synthetic_scene(seed + number, side) for number in range(count))
    return [SharpImage(scene.name, _scaled(scene.bands.clamp(min=0))) for scene in scenes]


def _read(path: Path) -> SharpImage:
    with np.load(path, allow_pickle=False) as file:
        stored = np.asarray(file["q"] if "q" in file else [])
        soft = bool(file["soft"]) if "soft" in file else False
        colours = str(file["bands"]).split(",") if "bands" in file else []
    if stored.ndim != 3 or stored.dtype != np.uint8:
        raise InputError(f"{path}: expected an array `q [C, H, W]` of uint8, found {stored.dtype}{list(stored.shape)}")
    bands = (torch.from_numpy(stored).float() / _WHITE).square()
    if soft and min(bands.shape[-2:]) >= 2 * LEAST_SIDE:
        bands = torch.nn.functional.avg_pool2d(bands, 2)
    return SharpImage(path.stem, _scaled(bands), tuple(colours))


def _scaled(bands: Tensor) -> Tensor:
    top = torch.stack([band.flatten()[:: max(1, band.numel() // 1_000_000)].quantile(0.999) for band in bands])
    return (bands / top.clamp(min=1e-6)[:, None, None]).clamp(max=2).half()
