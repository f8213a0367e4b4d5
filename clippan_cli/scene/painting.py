"""Painting of synthetic landscapes on an image `[C, H, W]` of float32: parcels, furrows, buildings and trees.

The demo draws one fixed scene with these; the program that trains the embedded CLIP draws families of random ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Field = NDArray[Any]
Spectrum = Sequence[float] | NDArray[Any]
"""A value for each band."""


def coordinates(side: int) -> tuple[Image, Image]:
    """Row and column of each pixel of a square image, `[side, side]` each."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return y, x


def nearest(y: Field, x: Field, centres: Field, *, city_block: bool = False) -> NDArray[np.int64]:
    """Index of the centre, of `[N, 2]` rows and columns, that each pixel at `y`, `x` is nearest to: its parcel."""
    owner, least = np.zeros(y.shape, np.int64), np.full(y.shape, np.inf)
    for number, (row, col) in enumerate(centres):
        distance = np.abs(y - row) + np.abs(x - col) if city_block else (y - row) ** 2 + (x - col) ** 2
        closer = distance < least
        owner[closer], least[closer] = number, distance[closer]
    return owner


def furrows(angle: Field, spacing: Field, strength: Field | float) -> Field:
    """A factor about 1 that runs in waves `spacing` pixels apart along a direction, each `[side, side]`."""
    y, x = coordinates(len(angle))
    return np.asarray(1 + strength * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / spacing))


def paint(image: Image, where: Field, spectrum: Spectrum) -> None:
    """Give the pixels of a mask `[H, W]` one spectrum."""
    image[:, where] = np.asarray(spectrum)[:, None]


@dataclass(frozen=True)
class Building:
    """A rectangle: row and column of its centre, pixels along and across the ridge of its roof, and its turn."""

    row: float
    col: float
    length: float
    width: float
    turn: float = 0.0

    def draw(self, image: Image, roof: tuple[Spectrum, Spectrum], shadow: tuple[float, float], shade: float) -> None:
        """Draw its shadow, so many rows and columns off and darker by a factor, then both halves of its roof."""
        part, inside, _ = self._about(image, *shadow)
        part[:, inside] *= shade
        part, inside, across = self._about(image)
        paint(part, inside & (across < 0), roof[0])
        paint(part, inside & (across >= 0), roof[1])

    def _about(self, image: Image, down: float = 0, right: float = 0) -> tuple[Image, Field, Field]:
        """The part of the image about it, which of its pixels are inside, and how far each is across the ridge."""
        part, y, x = around(image, self.row + down, self.col + right, self.length + self.width)
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        along, across = cosine * x + sine * y, cosine * y - sine * x
        return part, (np.abs(along) < self.length / 2) & (np.abs(across) < self.width / 2), across


def draw_tree(image: Image, row: float, col: float, radius: float, crown: Spectrum, light: float) -> None:
    """Draw a round crown, lit from the upper left by a share of its brightness."""
    part, y, x = around(image, row, col, radius)
    inside = np.hypot(y, x) < radius
    part[:, inside] = (np.asarray(crown)[:, None, None] * (1 - light * (x + y) / radius))[:, inside]


def around(image: Image, row: float, col: float, reach: float) -> tuple[Image, Field, Field]:
    """The part of an image about a position, a view, with the rows and columns of its pixels from there."""
    steps = int(reach) + 1
    top, left = max(int(row) - steps, 0), max(int(col) - steps, 0)
    part = image[:, top : max(int(row) + steps + 1, 0), left : max(int(col) + steps + 1, 0)]
    y, x = np.ogrid[top : top + part.shape[1], left : left + part.shape[2]]
    return part, y - row, x - col
