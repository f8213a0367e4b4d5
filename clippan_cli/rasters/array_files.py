"""Files of arrays, as data sets for pansharpening come: HDF5, MATLAB (version 5, and 7.3, which is HDF5), npz of numpy.

Shapes and types are looked at before any pixel is read. What could lead to another file, or run code, is refused.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from clippan_cli.rasters.array_names import image_in_file
from clippan_cli.rasters.bounds import MOST_BANDS
from clippan_cli.rasters.names import check_local_path
from clippan_cli.rasters.zipped import members_of
from clippan_cli.running.extras import needed_by
from clippan_models.errors import ClippanError, InputError, in_one_line
from clippan_models.outside import open_regular, size_text

LARGEST_IMAGE = 2**30
"""Bytes of one image of an array, which is held in memory; of a whole array where it cannot be read in parts."""

MOST_VARIABLES = 10_000
"""Of one MATLAB file."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # bytes before the HDF5 in a MATLAB file
_COMPRESSED = 15  # type of an element in a MATLAB file


@dataclass(frozen=True)
class Array:
    """An array, before its values are read.

    Attributes:
        shape: as the libraries of its format show it.
        dtype: of its values.
        bands_last: its axes are rows, columns, bands, as in MATLAB; otherwise samples, bands, rows, columns, of which
            the first ones may be missing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bands_last: bool = False

    @property
    def axes(self) -> tuple[int, int, int, int]:
        """Samples, bands, rows, columns; all 0 where it has too few axes, or too many."""
        if not 2 <= len(self.shape) <= (3 if self.bands_last else 4):
            return 0, 0, 0, 0
        shape = (*self.shape[2:], *self.shape[:2]) if self.bands_last else self.shape
        samples, bands, rows, columns = (1,) * (4 - len(shape)) + tuple(shape)
        return samples, bands, rows, columns


class ArrayFile(Protocol):
    """An open file of arrays."""

    def find(self, name: str) -> Array | None:
        """What an array is; None where there is none of this name."""
        ...

    def read(self, name: str, array: Array, sample: int) -> NDArray[Any]:
        """The values of one sample of an array with four axes, or of all of an array with fewer."""
        ...


def find_arrays(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    """Those of some arrays that a file holds.

    Raises:
        InputError: it cannot be read, or one of them is no image, or too large.
        UsageError: the package that reads it is not installed.
    """
    with _opened(path) as file:
        found = {name: file.find(name) for name in names}
    arrays = {name: array for name, array in found.items() if array is not None}
    for name, array in arrays.items():
        _check(path, name, array)
    return arrays


def read_image(name: str) -> NDArray[Any]:
    """An image `[C, H, W]` of a file of arrays, in a type that clippan works with.

    Args:
        name: FILE#N:ARRAY.

    Raises:
        InputError: there is no such image, it cannot be read, or it is too large.
        UsageError: the package that reads it is not installed.
    """
    image = image_in_file(name)
    if image is None:
        raise InputError(f"{name} is not the name of an image in a file of arrays: FILE#N:ARRAY")
    with _opened(image.file) as file:
        array = file.find(image.array)
        if array is None:
            raise InputError(f"{image.file} holds no array {image.array}")
        _check(image.file, image.array, array)
        samples, *shape = array.axes
        if image.sample >= samples:
            raise InputError(f"{name}: {image.array} has the samples 0 to {samples - 1}")
        values = file.read(image.array, array, image.sample)
    if array.bands_last:
        values = values.transpose(*range(2, values.ndim), 0, 1)
    return _in_known_type(np.ascontiguousarray(values.reshape(shape)))


def _check(path: Path, name: str, array: Array) -> None:
    """Refuse what is no image, or too large a one."""
    if array.dtype.kind not in "iuf" or array.dtype.shape:
        raise InputError(f"{path}: the array {name} holds {array.dtype}, not numbers")
    _, bands, rows, columns = array.axes
    if 0 in array.axes:
        wanted = "rows, columns, bands" if array.bands_last else "samples, bands, rows, columns"
        raise InputError(f"{path}: {name} has the shape {array.shape}; the axes are {wanted}, none of them empty")
    if bands > MOST_BANDS:
        raise InputError(
            f"{path}: {name} has the shape {array.shape}, {bands:,} bands; clippan reads up to {MOST_BANDS}"
        )
    if bands * rows * columns * array.dtype.itemsize > LARGEST_IMAGE:
        raise InputError(
            f"{path}: an image of {name} has {bands} x {rows} x {columns} values, more than {size_text(LARGEST_IMAGE)}"
            "; write it to a GeoTIFF"
        )


def _in_known_type(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in a type that rasters have here: that of the array, else the smallest that holds them all."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if (kind, size) in (("u", 1), ("u", 2), ("i", 2), ("f", 4), ("f", 8)):
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    return values.astype({("i", 1): np.int16, ("f", 2): np.float32}.get((kind, size), np.float64))


@contextmanager
def _opened(path: Path) -> Iterator[ArrayFile]:
    """Open a file by its ending; whatever its library has against it becomes an InputError."""
    check_local_path(str(path))
    try:
        if path.suffix.lower() == ".npz":
            yield _Npz(path)
        elif path.suffix.lower() == ".mat" and not _is_hdf5(path):
            yield _Mat(path)
        else:
            with needed_by(str(path), "hdf5"):
                import h5py
            with h5py.File(path, "r", locking=False) as file:
                yield _Hdf5(file, path, matlab=path.suffix.lower() == ".mat")
    except ClippanError:
        raise
    except Exception as error:  # of damaged files, these libraries raise anything
        raise InputError(f"{path} cannot be read: {in_one_line(error)}; is it damaged or incomplete?") from error


def _is_hdf5(path: Path) -> bool:
    with open_regular(path) as file:
        head = file.read(_USER_BLOCK + len(_HDF5))
    return head.startswith(_HDF5) or head[_USER_BLOCK:] == _HDF5


class _Hdf5:
    """HDF5, whose arrays MATLAB stores with all axes in reverse."""

    def __init__(self, file: Any, path: Path, *, matlab: bool) -> None:
        self._file, self._path, self._matlab = file, path, matlab

    def find(self, name: str) -> Array | None:
        import h5py

        link = self._file.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{self._path}: {name} is a link, which is not followed; copy the array there")
        found = self._file[name]
        if not isinstance(found, h5py.Dataset):
            raise InputError(f"{self._path}: {name} is a group, not an array")
        if found.is_virtual or found.external:
            raise InputError(
                f"{self._path}: the values of {name} lie in other files, which are not read; copy them there"
            )
        if found.chunks and math.prod(found.chunks) * found.dtype.itemsize > LARGEST_IMAGE:
            raise InputError(f"{self._path}: the chunks of {name} have more than {size_text(LARGEST_IMAGE)}; repack it")
        return Array(found.shape[::-1] if self._matlab else found.shape, found.dtype, self._matlab)

    def read(self, name: str, array: Array, sample: int) -> NDArray[Any]:
        values: NDArray[Any] = self._file[name][sample if len(array.shape) == 4 else ()]
        return values.T if self._matlab else values


class _Npz:
    """The npz of numpy: a zip archive of arrays, none of them pickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, name: str) -> Array | None:
        if f"{name}.npy" not in members_of(self._path):
            return None
        with self._content(name) as (_, shape, _, dtype):
            return Array(shape, dtype)

    def read(self, name: str, array: Array, sample: int) -> NDArray[Any]:
        with self._content(name) as (file, shape, columns_first, dtype):
            whole = columns_first or len(shape) < 4
            count = math.prod(shape if whole else shape[1:])
            size = count * dtype.itemsize
            if size > LARGEST_IMAGE:
                raise InputError(f"{self._path}: {name} is in Fortran order; save numpy.ascontiguousarray of it")
            file.seek(0 if whole else sample * size, 1)
            content = file.read(size)
        values = np.frombuffer(content, dtype, count)
        if not whole:
            return values.reshape(shape[1:])
        values = values.reshape(shape, order="F" if columns_first else "C")
        return values[sample] if len(shape) == 4 else values

    @contextmanager
    def _content(self, name: str) -> Iterator[tuple[Any, tuple[int, ...], bool, np.dtype[Any]]]:
        """An array at its first value, with its shape, whether columns come first, and its type."""
        with open_regular(self._path) as file, ZipFile(file) as archive, archive.open(f"{name}.npy") as content:
            if np.lib.format.read_magic(content) != (1, 0):  # others may have headers of any size
                raise InputError(f"{self._path}: {name} is not in the format that numpy saves arrays of numbers in")
            yield content, *np.lib.format.read_array_header_1_0(content)


class _Mat:
    """A MATLAB file of version 5."""

    def __init__(self, path: Path) -> None:
        from scipy.io import whosmat

        self._path = path
        _check_variables(path)
        self._about = {name: (shape, kind) for name, shape, kind in whosmat(path, appendmat=False)}

    def find(self, name: str) -> Array | None:
        if name not in self._about:
            return None
        shape, kind = self._about[name]
        numbers = {"double": "float64", "single": "float32"}.get(kind, kind)
        if numbers not in np.sctypeDict:
            raise InputError(f"{self._path}: {name} is a {kind}, not an array of numbers")
        return Array(tuple(shape), np.dtype(numbers), bands_last=True)

    def read(self, name: str, array: Array, sample: int) -> NDArray[Any]:
        from scipy.io import loadmat

        values: NDArray[Any] = loadmat(self._path, variable_names=[name], appendmat=False)[name]
        if values.dtype.kind not in "iuf":  # complex numbers are called double
            raise InputError(f"{self._path}: the array {name} holds {values.dtype}, not numbers")
        return values.astype(array.dtype, copy=False)  # MATLAB stores whole numbers of any type in small ones


def _check_variables(path: Path) -> None:
    """Refuse a MATLAB file with too many variables, or one that would be too large unpacked: scipy unpacks it whole."""
    with open_regular(path) as file:
        marks = {b"IM": "<", b"MI": ">"}
        order = marks.get(file.read(128)[126:])
        if order is None:
            raise InputError(f"{path} is not a MATLAB file of version 5 or 7.3; save it with -v7 in MATLAB")
        for _ in range(MOST_VARIABLES):
            tag = file.read(8)
            if len(tag) < 8:
                return
            kind, size = struct.unpack(f"{order}II", tag)
            end = file.tell() + size
            if kind == _COMPRESSED and _inflates_beyond(file, size, LARGEST_IMAGE):
                raise InputError(f"{path} holds a variable of more than {size_text(LARGEST_IMAGE)}")
            file.seek(end)
    raise InputError(f"{path} holds more than {MOST_VARIABLES:,} variables")


def _inflates_beyond(file: BinaryIO, size: int, most: int) -> bool:
    """Whether the next so many bytes are more than the most once they are unpacked."""
    unpacker, unpacked, step = zlib.decompressobj(), 0, 2**20
    while size > 0 and (packed := file.read(min(size, step))):
        size -= len(packed)
        while packed and unpacked <= most:
            unpacked += len(unpacker.decompress(packed, 16 * step))
            packed = unpacker.unconsumed_tail
    return unpacked > most
