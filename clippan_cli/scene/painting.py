"""Painting of synthetic landscapes: parcels, furrows, roads, buildings and trees on an image `[C, H, W]` of float32.

The demo draws one fixed place with these; the program that trains the embedded CLIP draws families of random ones.
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

_LINE = 0.8
"""Half the width of the line painted on a road, pixels."""


@dataclass(frozen=True)
class Building:
    """A rectangle with a gabled roof; row and column of its centre, pixels along and across the ridge, its turn."""

    row: float
    col: float
    length: float
    width: float
    turn: float = 0.0


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


def draw_road(image: Image, distance: Field, width: float, surface: Spectrum, line: Spectrum | None = None) -> None:
    """Draw a road of a width, given the distance of each pixel from its middle, with a line painted there or none."""
    paint(image, distance < width / 2, surface)
    if line is not None:
        paint(image, distance < _LINE, line)


def draw_building(
    image: Image, building: Building, roof: tuple[Spectrum, Spectrum], shadow: tuple[float, float], shade: float
) -> None:
    """Draw the two halves of a roof, above and below the ridge, after the shadow.

    Args:
        image: `[C, H, W]`, changed.
        building: where.
        roof: spectrum of the upper and of the lower half.
        shadow: rows and columns by which it lies off.
        shade: what is left of the light in it.
    """
    part, along, across = _rectangle(image, building, shadow)
    part[:, _inside(building, along, across)] *= shade
    part, along, across = _rectangle(image, building)
    inside = _inside(building, along, across)
    paint(part, inside & (across < 0), roof[0])
    paint(part, inside & (across >= 0), roof[1])


def draw_tree(image: Image, place: tuple[float, float], radius: float, crown: Spectrum, light: float) -> None:
    """Draw a round crown, lit from the upper left by a share of its brightness."""
    part, y, x = around(image, *place, radius)
    inside = np.hypot(y, x) < radius
    part[:, inside] = (np.asarray(crown)[:, None, None] * (1 - light * (x + y) / radius))[:, inside]


def around(image: Image, row: float, col: float, reach: float) -> tuple[Image, Field, Field]:
    """The part of an image about a place, a view, with the offsets of its rows and columns from that place."""
    height, width = image.shape[1:]
    steps = int(reach) + 1
    top, left = (min(max(int(at) - steps, 0), size - 1) for at, size in ((row, height), (col, width)))
    bottom, right = (max(min(int(at) + steps + 1, size), 1) for at, size in ((row, height), (col, width)))
    part = image[:, top:bottom, left:right]
    y, x = np.mgrid[top : top + part.shape[1], left : left + part.shape[2]]
    return part, y - row, x - col


def _rectangle(image: Image, at: Building, offset: tuple[float, float] = (0, 0)) -> tuple[Image, Field, Field]:
    """The part about a building, with the place of each pixel along its ridge and across it."""
    part, y, x = around(image, at.row + offset[0], at.col + offset[1], at.length + at.width)
    cosine, sine = np.cos(at.turn), np.sin(at.turn)
    return part, cosine * x + sine * y, cosine * y - sine * x


def _inside(building: Building, along: Field, across: Field) -> Field:
    return np.asarray((np.abs(along) < building.length / 2) & (np.abs(across) < building.width / 2))
