"""Names of images that are arrays in a file of many: `FILE#N:ARRAY`, sample N (from 0) of an array; free of numpy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_FILE = r"(.+\.(?:h5|hdf5|mat|npz))"
_SAMPLE = re.compile(rf"{_FILE}(?:#(\d{{1,9}}))?", re.IGNORECASE | re.DOTALL)
_IMAGE = re.compile(rf"{_FILE}#(\d{{1,9}}):(\w+)", re.IGNORECASE | re.DOTALL)


class ImageName(NamedTuple):
    """What the name of an image in a file of arrays says.

    Attributes:
        file: the HDF5, MATLAB or numpy file.
        sample: which image of the array, counted from 0.
        array: the name of the array.
    """

    file: Path
    sample: int
    array: str

    def __str__(self) -> str:
        return f"{self.file}#{self.sample}:{self.array}"


def image_in_file(name: str) -> ImageName | None:
    """The image in a file of arrays that a name stands for; None for any other name."""
    found = _IMAGE.fullmatch(name)
    return ImageName(Path(found[1]), int(found[2]), found[3]) if found else None


def sample_in_file(name: str) -> tuple[Path, int | None] | None:
    """The file of arrays and the sample that a name stands for, None for all of them; None for any other name."""
    found = _SAMPLE.fullmatch(name)
    return (Path(found[1]), None if found[2] is None else int(found[2])) if found else None


def same_sample(one: str, other: str) -> bool:
    """Whether two images are of one sample, so that they show the same ground."""
    first, second = image_in_file(one), image_in_file(other)
    return first is not None and second is not None and first[:2] == second[:2]
