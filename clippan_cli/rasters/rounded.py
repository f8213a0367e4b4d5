"""Corners that the header of a NITF rounds: to whole seconds of arc, thousandths of a degree, or whole metres.

Where nothing else in the file says where the image lies, GDAL makes its geotransform, or its GCPs, of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.transform import from_gcps

from clippan_cli.rasters.source import RasterSource

_METRE = (1.0, "whole metres")
_UNITS = {
    "G": (1 / 3600, "whole seconds of arc"),
    "C": (1 / 3600, "whole seconds of arc"),
    "D": (1e-3, "thousandths of a degree"),
    "U": _METRE,
    "N": _METRE,
    "S": _METRE,
}
_MOST = 1.0  # pixels of the file; finer steps are taken for a shift, which is estimated
_NOISE = 1e-3  # steps; corners that are known better lie anywhere between two


@dataclass(frozen=True)
class Rounding:
    """How the corners of a file are rounded.

    Attributes:
        name: the file.
        unit: in words.
        pixels: of the file, between one value and the next.
    """

    name: str
    unit: str
    pixels: float

    def __str__(self) -> str:
        return f"the corners of {self.name} are rounded to {self.unit}, steps of {self.pixels:.3g} pixels"


def coarse_rounding(sources: Iterable[RasterSource]) -> Rounding | None:
    """The first of several files whose corners are known to no pixel; None where all are known better."""
    return next((found for source in sources if (found := _rounding_of(source))), None)


def _rounding_of(source: RasterSource) -> Rounding | None:
    dataset = source.grid
    step, unit = _UNITS.get(dataset.tags().get("NITF_ICORDS", ""), (0.0, ""))
    places = _corners(dataset)
    if not step or not places.size or (np.abs(places / step - (places / step).round()) > _NOISE).any():
        return None
    transform = from_gcps(dataset.gcps[0]) if dataset.transform.is_identity else dataset.transform
    pixels = step / abs(transform.determinant) ** 0.5
    return Rounding(source.name, unit, pixels) if pixels > _MOST else None


def _corners(dataset: Any) -> np.ndarray:
    """Where the four corner pixels lie, by their centres, or the GCPs of a file without a geotransform."""
    if dataset.transform.is_identity:
        return np.array([(point.x, point.y) for point in dataset.gcps[0]])
    ends = [(col, row) for col in (0.5, dataset.width - 0.5) for row in (0.5, dataset.height - 0.5)]
    return np.array([dataset.transform @ end for end in ends])
