"""Data sets for pansharpening: PanCollection and alike (HDF5), those of the MATLAB toolboxes, and npz.

for scene in samples(Path("test_wv3_multiExm1.h5")):
    ms, pan = read_image(scene.ms[0]), read_image(scene.pan)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from clippan_cli.products.product import PairsOf
from clippan_cli.rasters.array_files import Array, find_arrays, read_image
from clippan_cli.rasters.array_names import ImageName, sample_in_file
from clippan_cli.rasters.in_memory import write_plain
from clippan_cli.rasters.pair import MAX_RATIO
from clippan_cli.scene.files import PairTable, SceneFiles
from clippan_cli.scene.names import safe_name
from clippan_models.errors import IncompatiblePairError, InputError

_MS, _PAN, _TRUTH = ("ms", "I_MS_LR"), ("pan", "I_PAN"), ("gt", "I_GT")
"""What PanCollection and the toolboxes call them. MS resampled to PAN (lms, I_MS) can be made of MS: it is not read."""

_LEAST_RATIO = 2
_MOST_SAMPLES = 200_000


class ArraysReader:
    """Reads files of arrays, FILE or FILE#N."""

    kind = "arrays"
    is_whole = False

    def recognises(self, path: Path) -> bool:
        """Whether a file is called like one of arrays, with or without the number of a sample."""
        return sample_in_file(path.name) is not None

    def read(self, path: Path, pairs_of: PairsOf) -> PairTable:
        """The scenes in a file of arrays, see `samples`."""
        return PairTable(samples(path))


def samples(path: Path) -> tuple[SceneFiles, ...]:
    """The scenes in a file of arrays, or one of them, with the truth as reference where there is one.

    Args:
        path: the file, or FILE#N for sample N.

    Raises:
        InputError: it cannot be read, lacks MS or PAN, or has no such sample.
        IncompatiblePairError: shapes that do not fit together.
        UsageError: the package that reads it is not installed.
    """
    file, number = sample_in_file(str(path)) or (path, None)
    arrays = find_arrays(file, (*_MS, *_PAN, *_TRUTH))
    ms, pan = _one_of(_MS, arrays, f"{file} holds no MS"), _one_of(_PAN, arrays, f"{file} holds no PAN")
    truth = next((name for name in _TRUTH if name in arrays), None)
    count = _checked_count(file, arrays, ms, pan, truth)
    if number is not None and number >= count:
        raise InputError(f"{path}: {file.name} has the samples 0 to {count - 1}")
    return tuple(
        SceneFiles(
            (str(ImageName(file, n, ms)),),
            str(ImageName(file, n, pan)),
            id=safe_name(file.stem if count == 1 else f"{file.stem}-{n}"),
            reason=f"sample {n} of {file.name}",
            reference=None if truth is None else str(ImageName(file, n, truth)),
        )
        for n in (range(count) if number is None else [number])
    )


def write_sample(scene: SceneFiles, folder: Path) -> SceneFiles:
    """Write the images of a sample to GeoTIFFs without georeferencing, for programs that read no arrays.

    Args:
        scene: one of `samples`.
        folder: gets ms.tif, pan.tif and, where the truth is known, gt.tif.

    Returns:
        The scene with these files.

    Raises:
        InputError: an image cannot be read.
    """
    names = {"ms": scene.ms[0], "pan": scene.pan} | ({"gt": scene.reference} if scene.reference else {})
    paths = {role: str(folder / f"{role}.tif") for role in names}
    for role, name in names.items():
        write_plain(paths[role], read_image(name))
    return replace(scene, ms=(paths["ms"],), pan=paths["pan"], reference=paths.get("gt"))


def _one_of(names: tuple[str, ...], arrays: Mapping[str, Array], missing: str) -> str:
    for name in names:
        if name in arrays:
            return name
    raise InputError(f"{missing}, an array called {' or '.join(names)}")


def _checked_count(file: Path, arrays: Mapping[str, Array], ms: str, pan: str, truth: str | None) -> int:
    """How many samples there are.

    Raises:
        InputError: too many.
        IncompatiblePairError: the shapes do not fit together.
    """
    shapes = f"{file}: " + ", ".join(f"{name} has the shape {arrays[name].shape}" for name in (ms, pan, truth) if name)
    axes = "rows, columns, bands" if arrays[ms].bands_last else "samples, bands, rows, columns"
    count, bands, rows, columns = arrays[ms].axes
    pan_count, pan_bands, pan_rows, pan_columns = arrays[pan].axes
    ratio = pan_rows // rows
    if (pan_count, pan_bands, pan_rows, pan_columns) != (
        count,
        1,
        ratio * rows,
        ratio * columns,
    ) or not _LEAST_RATIO <= ratio <= MAX_RATIO:
        raise IncompatiblePairError(
            f"{shapes}; with the axes {axes}, {pan} must have one band, and the rows and columns of {ms} "
            f"times a whole number from {_LEAST_RATIO} to {MAX_RATIO:g}"
        )
    if truth is not None and arrays[truth].axes != (count, bands, pan_rows, pan_columns):
        raise IncompatiblePairError(
            f"{shapes}; with the axes {axes}, {truth} must have the bands of {ms}, and the rows and columns of {pan}"
        )
    if count > _MOST_SAMPLES:
        raise InputError(f"{file} holds {count:,} samples; clippan reads up to {_MOST_SAMPLES:,}")
    return count
