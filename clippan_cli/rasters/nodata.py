"""Which values of a raster stand for no data: by the file, or by what the user says instead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clippan_cli.rasters.options import Nodata
from clippan_models.errors import InputError, UsageError

LARGEST = 1e15
"""No DN, reflectance or radiance is larger, and the squares of larger values do not fit into float32."""

_LAST_DIGITS = 4  # of a float32: by so many GDAL lets floats of both types differ from the nodata value


@dataclass(frozen=True)
class NodataRule:
    """How to tell the pixels of a raster that hold no data.

    Attributes:
        said: the value that the user gives, or "none"; None: what the file declares.
        role: what the raster is; only of "MS" and "PAN" the user can say it.
    """

    said: Nodata = None
    role: str = ""

    def value(self, dataset: Any, band: int) -> float | None:
        """The nodata value of a band, counted from 1."""
        if self.said is None:
            declared: float | None = dataset.nodatavals[band - 1]
            return declared
        return None if self.said == "none" else self.said

    def check(self, name: str, dtype: str) -> None:
        """Refuse a value that no pixel of a file can have.

        Raises:
            UsageError: the type of the file has no such value.
        """
        if isinstance(self.said, float) and not _is_value_of(dtype, self.said):
            raise UsageError(
                f"--{self.role.lower()}-nodata {self.said:g}: {name} holds {dtype}, which has no such value "
                "(--nodata is for both MS and PAN)"
            )

    def refuse_absurd(self, name: str, band: int, values: NDArray[Any]) -> None:
        """Refuse valid values that no instrument measures.

        Raises:
            InputError: there is one.
        """
        extreme = max(values.min(), values.max(), key=abs)
        if abs(extreme) > LARGEST:
            value = text_of(extreme)
            option = f"--{self.role.lower()}-nodata" if self.role in ("MS", "PAN") else "gdal_edit.py -a_nodata"
            raise InputError(
                f"{name} holds {value} in band {band}, which no instrument measures; if it stands for no data, say so "
                f"with {option} {value}"
            )


AS_DECLARED = NodataRule()
"""The user says nothing."""


def is_nodata(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Where values are the nodata value, as GDAL compares them.

    A float that differs in its last digits is it as well, as files may declare the value in rounded text. A nodata
    value beyond what is measured stands for all values that are, with its sign.
    """
    if np.isnan(nodata):
        return np.asarray(np.isnan(values), np.bool_)
    if values.dtype.kind != "f":
        return np.asarray(values == nodata, np.bool_)
    if abs(nodata) > LARGEST:
        return np.asarray(values * math.copysign(1.0, nodata) > LARGEST, np.bool_)
    return np.asarray(np.abs(values - values.dtype.type(nodata)) <= nodata_tolerance(nodata), np.bool_)


def nodata_tolerance(nodata: float) -> float:
    """How far from the nodata value a float is still taken for it."""
    return float(_LAST_DIGITS * np.finfo(np.float32).eps * abs(nodata))


def text_of(value: float) -> str:
    """A value of a file in as few digits as tell it from all others, as an option takes it."""
    short = f"{value:g}"
    return short if np.float32(short) == np.float32(value) else f"{value:.9g}"


def _is_value_of(dtype: str, value: float) -> bool:
    if np.dtype(dtype).kind == "f":
        return True
    return value.is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
