"""What Landsat says of its pixels beside them: fill, and quality rasters, of products and of STAC items alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from clippan_cli.rasters.options import QualityBits

FILL = 0
"""DN of pixels without data, in all bands."""


@dataclass(frozen=True)
class QualityRaster:
    """A kind of quality raster.

    Attributes:
        of: what is read from it.
        bits: of the band with a number, those that tell it.
    """

    of: Literal["fill", "saturation"]
    bits: Callable[[int], int]

    def file(self, name: str, bands: Sequence[int]) -> QualityBits:
        """A file of this kind, for bands by their numbers."""
        return QualityBits(name, tuple(self.bits(band) for band in bands), self.of)


QA_PIXEL = QualityRaster("fill", lambda band: 1 << 0)
QA_RADSAT = QualityRaster("saturation", lambda band: 1 << band - 1)
BQA_FILL = QA_PIXEL
BQA_SATURATION = QualityRaster("saturation", lambda band: 0b11 << 2)  # how many bands are saturated; not which
