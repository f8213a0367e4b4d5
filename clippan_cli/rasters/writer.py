"""Write a raster such that its path holds the old file or the whole new one, never anything between.

Pixels go to a temporary file beside the target. Committing closes it, translates it (COG), reads every block of the
result back, compares it with checksums noted while writing, and only then renames it onto the target. GDAL alone does
not give this: with several threads it hides a full disk, and an interrupted write leaves a valid file of zeros.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import mmap
import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import numpy as np
import rasterio
import rasterio.env
import rasterio.shutil
from numpy.typing import NDArray
from rasterio import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterWindow

from clippan_cli.rasters.metadata import DEFAULT_DOMAIN, PROVENANCE_DOMAIN, RasterMetadata, write_metadata
from clippan_models.contracts import Window
from clippan_models.errors import OutputError, UsageError

logger = logging.getLogger(__name__)

Driver = Literal["cog", "gtiff"]
DataType = Literal["uint8", "uint16", "int16", "float32"]
Progress = Callable[[Literal["translate", "verify"], float], None]
"""Called several times a second while committing with the stage and the share done; may raise to abort."""

BLOCK = 512
"""Side of the blocks in the file; windows on multiples of it are the fastest to write and to verify."""

_CACHE_BYTES = 128 * 2**20
_BIGTIFF_ABOVE_BYTES = 2_000_000_000
_OVERVIEW_SHARE = 1 / 3
_PREDICTABLE = frozenset({"DEFLATE", "LZW", "ZSTD"})
_LOSSY = frozenset({"JPEG", "WEBP", "JXL"})
_COMPRESSIONS = (
    "none",
    "deflate",
    "lzw",
    "zstd",
    "lzma",
    "packbits",
    "lerc",
    "lerc_deflate",
    "lerc_zstd",
    "jpeg",
    "webp",
    "jxl",
)
_SIDECARS = (".aux.xml", ".ovr", ".msk", ".msk.ovr", ".ovr.msk")
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_UNTOUCHED = "the previous file, if any, is untouched"
_GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError, SystemError)
_HIDDEN_BAND_DOMAIN = "clippan-default-band-domain"


@dataclass(frozen=True)
class OutputOptions:
    """How the output is encoded.

    Attributes:
        driver: "cog" (Cloud Optimized GeoTIFF, with overviews) or "gtiff" (tiled GeoTIFF without).
        compress: name of a compression as GDAL knows it, in any case, or "none".
        creation_options: GDAL creation options of the user; they win over everything chosen here.
        overwrite: whether an existing file may be replaced.
        threads: threads to compress and to verify with.
    """

    driver: Driver = "cog"
    compress: str = "deflate"
    creation_options: tuple[tuple[str, str], ...] = ()
    overwrite: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        if self.driver not in get_args(Driver):
            raise UsageError(f"unknown output format '{self.driver}'; choose one of: {', '.join(get_args(Driver))}")
        if self.threads < 1:
            raise UsageError(f"cannot write with {self.threads} threads; at least 1 is needed")

    @property
    def user_options(self) -> dict[str, str]:
        """The creation options of the user by upper-case name."""
        return {key.upper(): value for key, value in self.creation_options}

    @property
    def compression(self) -> str:
        """The compression that will be used, in upper case."""
        return self.user_options.get("COMPRESS", self.compress).upper()


@dataclass(frozen=True)
class OutputGrid:
    """The pixels to write: how many, of which type and where.

    Attributes:
        width: columns.
        height: rows.
        count: bands.
        dtype: numpy name of the data type.
        crs: CRS, or None.
        transform: geotransform; the identity when there is none.
        nodata: value of invalid pixels, or None.
        mask: whether to store a mask of valid pixels in the file; it is one for all bands.
        nbits: bits per sample to store when fewer than the type has, or None.
    """

    width: int
    height: int
    count: int
    dtype: DataType
    crs: CRS | None = None
    transform: Affine = Affine.identity()  # noqa: RUF009 - immutable
    nodata: float | None = None
    mask: bool = False
    nbits: int | None = None

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.count) < 1:
            raise UsageError(f"an image of {self.width} x {self.height} pixels and {self.count} bands is empty")
        if self.dtype not in get_args(DataType):
            raise UsageError(f"unknown data type '{self.dtype}'; choose one of: {', '.join(get_args(DataType))}")
        if self.nodata is not None and not _fits(self.nodata, self.dtype):
            raise UsageError(f"nodata {self.nodata:g} is not a value of {self.dtype}; choose another one")
        if self.nbits is not None:
            self._refuse_odd_bits(self.nbits)

    @property
    def raw_bytes(self) -> int:
        """Size of the uncompressed pixels, mask included."""
        pixels = self.width * self.height
        return pixels * self.count * np.dtype(self.dtype).itemsize + (pixels // 8 if self.mask else 0)

    def _refuse_odd_bits(self, nbits: int) -> None:
        if self.dtype not in ("uint8", "uint16") or not 1 <= nbits <= np.iinfo(self.dtype).bits:
            raise UsageError(f"{self.dtype} samples cannot be stored in {nbits} bits")
        if self.nodata is not None and self.nodata >= 2**nbits:
            raise UsageError(f"nodata {self.nodata:g} does not fit {nbits} bits; choose another one")

    @property
    def whole(self) -> Window:
        """The window of all pixels."""
        return Window(0, 0, self.height, self.width)


@dataclass(frozen=True)
class CommitReport:
    """What a commit did: seconds of each stage, and the size of the file that is now at the target."""

    translate_seconds: float
    verify_seconds: float
    file_bytes: int


def estimate_disk_bytes(grid: OutputGrid, options: OutputOptions) -> int:
    """Bytes that writing needs at its peak in the folder of the output, on the hopeful side.

    The raw temporary file of a COG is exact; compressed parts are taken at half their size (satellite images keep
    50 to 70 % under lossless compression), at a tenth when lossy. What does not fit by this, does not fit.
    """
    share = {"NONE": 1.0}.get(options.compression, 0.1 if options.compression in _LOSSY else 0.5)
    final = grid.raw_bytes * share
    if options.driver == "gtiff":
        return int(final)
    # GDAL first builds the overviews in a file of their own, then copies them behind the image.
    overviews = final * _OVERVIEW_SHARE
    return int(grid.raw_bytes + overviews + final + overviews)


def needs_bigtiff(grid: OutputGrid) -> bool:
    """Whether the file might pass the limits of classic TIFF, overviews included.

    GDAL decides this too late on its own when it cannot foresee what compression saves.
    """
    return grid.raw_bytes * (1 + _OVERVIEW_SHARE) > _BIGTIFF_ABOVE_BYTES


def check_output_path(path: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Refuse, before any work, an output path that cannot or must not be written.

    Raises:
        OutputError: the path is an input under any name, exists and `overwrite` is not set, is not a regular file,
            or its folder is missing or not writable.
    """
    try:
        os.fsencode(path).decode("utf-8")
        _refuse_inputs(path, list(inputs))
        _refuse_existing(path, overwrite)
        _refuse_folder(_real(path))
    except UnicodeDecodeError as error:
        raise OutputError(f"{_shown(path)} is not a UTF-8 name; choose another one") from error
    except OSError as error:
        raise OutputError(f"cannot write {_shown(path)}: {error.strerror}") from error


def available_compressions() -> tuple[str, ...]:
    """The compressions that this GDAL can write."""
    return tuple(name for name in _COMPRESSIONS if _gdal_can_write(name))


class SafeWriter:
    """Writes one raster window by window; nothing appears at the target before `commit` has verified it.

    Leaving the context without a commit, for whatever reason, removes everything temporary. Calls may come from any
    thread, but from one at a time.

        with SafeWriter(path, grid, options, metadata) as writer:
            for window in windows:
                writer.write(window, data, valid)
            writer.commit()
    """

    def __init__(
        self, path: Path, grid: OutputGrid, options: OutputOptions, metadata: RasterMetadata | None = None
    ) -> None:
        self._path = path
        self._grid = grid
        self._options = options
        self._metadata = metadata
        self._token = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._checksums: dict[Window, _Checksum] = {}
        self._dataset: Any = None

    def __enter__(self) -> Self:
        """Check path, options and space, and open the temporary file.

        Raises:
            OutputError: the target cannot be written or the disk is too full.
            UsageError: GDAL does not accept the options.
        """
        check_output_path(self._path, (), self._options.overwrite)
        _check_free_space(self._path, self._grid, self._options)
        self._rehearsal = _rehearse(self._grid, self._options, self._metadata)
        # The file behind a symbolic link is replaced, not the link; temporary files must be on its file system.
        self._target = _real(self._path)
        self._temporary = self._target.with_name(f".{_short_name(self._target)}.{self._token}.part.tif")
        try:
            self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove what is temporary, unless it has become the target."""
        self._discard()

    def write(self, window: Window, data: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> None:
        """Write the pixels of a window.

        A window may be written again, but two windows must not overlap otherwise: each is verified as it was written.

        Args:
            window: where in the output.
            data: `[C, h, w]` in the data type of the grid.
            valid: `[h, w]`; None means all. Invalid pixels get the nodata value, if there is one.

        Raises:
            OutputError: the pixels do not reach the disk.
        """
        self._refuse_misfit(window, data, valid)
        pixels = self._filled(data, valid)
        validity = np.ones(data.shape[1:], bool) if valid is None else valid
        mask = validity.astype(np.uint8) * np.uint8(255) if self._grid.mask else None
        place = _raster_window(window)
        with self._gdal():
            self._dataset.write(pixels, window=place)
            if mask is not None:
                self._dataset.write_mask(mask, window=place)
        self._checksums[window] = _Checksum.of(pixels, mask)

    def write_provenance(self, tags: Mapping[str, str]) -> None:
        """Write how the output was made into a metadata domain of its own, any time before the commit."""
        with self._gdal():
            self._dataset.update_tags(ns=PROVENANCE_DOMAIN, **tags)

    def commit(self, on_progress: Progress | None = None) -> CommitReport:
        """Finish the file, verify it, and move it to the target.

        Raises:
            OutputError: pixels are missing, the disk is full, or what is read back is not what was written.
        """
        self._refuse_gaps()
        progress = on_progress or (lambda stage, share: None)
        self._close()
        start = time.perf_counter()
        final = self._translate(progress) if self._options.driver == "cog" else self._temporary
        with self._gdal():
            _sync(final)
        # A side file of a temporary name would be read while verifying, yet lost by the rename.
        self._sweep(keep=final)
        translated = time.perf_counter()
        self._verify(final, progress)
        verified = time.perf_counter()
        size = final.stat().st_size
        self._publish(final)
        return CommitReport(translated - start, verified - translated, size)

    def _open(self) -> None:
        profile = _temporary_options(self._grid, self._options)
        with self._gdal():
            # Creating it exclusively reserves the name and leaves it to nobody else to have put a link there.
            os.close(os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            self._dataset = _create(self._temporary, self._grid, profile, self._metadata_to_write())

    def _metadata_to_write(self) -> RasterMetadata | None:
        if self._metadata is None or self._options.driver == "gtiff":
            return self._metadata
        return _hide_band_tags(self._metadata)

    def _refuse_misfit(self, window: Window, data: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
        grid = self._grid
        if data.shape != (grid.count, window.height, window.width) or data.dtype != grid.dtype:
            raise ValueError(f"{data.dtype} data of shape {data.shape} for {window} of {grid}")
        if min(window.row, window.col) < 0 or window.row_stop > grid.height or window.col_stop > grid.width:
            raise ValueError(f"{window} reaches outside {grid}")
        if valid is not None and not grid.mask and grid.nodata is None and not valid.all():
            raise ValueError("invalid pixels, but the output has neither nodata nor a mask to tell so")
        if grid.nbits is not None and data.size and data.max() >= 2**grid.nbits:
            raise ValueError(f"value {data.max()} does not fit {grid.nbits} bits")

    def _filled(self, data: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[Any]:
        if valid is None or self._grid.nodata is None or valid.all():
            return data
        return np.where(valid, data, np.array(self._grid.nodata, data.dtype))

    def _refuse_gaps(self) -> None:
        written = sum(window.pixels for window in self._checksums)
        if written != self._grid.whole.pixels:
            raise OutputError(
                f"{_shown(self._path)} is not complete: {written} of {self._grid.whole.pixels} pixels were written; "
                f"{_UNTOUCHED}"
            )

    def _close(self) -> None:
        dataset, self._dataset = self._dataset, None
        with self._gdal():
            dataset.close()

    def _translate(self, progress: Progress) -> Path:
        final = self._temporary.with_suffix(".cog.tif")
        with self._gdal():
            os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        complaint = _copy_in_child(self._temporary, final, _cog_options(self._grid, self._options), progress)
        if complaint is not None:
            raise _write_failure(self._path, complaint)
        if self._metadata is not None:
            with self._gdal():
                _reveal_band_tags(final, sum(len(tags.get(DEFAULT_DOMAIN, {})) for tags in self._metadata.band_tags))
        return final

    def _verify(self, final: Path, progress: Progress) -> None:
        try:
            _verify_facts(final, self._rehearsal.facts, self._grid, self._options)
            checksums = self._checksums
            if not self._rehearsal.lossless:
                checksums = {window: checksum.of_mask_only() for window, checksum in checksums.items()}
            _verify_blocks(final, checksums, self._options.threads, progress)
        except (_Mismatch, *_GDAL_ERRORS) as error:
            raise OutputError(
                f"{_shown(self._path)} does not read back as it was written ({_reason(error)}); is the disk full or "
                f"faulty? {_UNTOUCHED}"
            ) from error

    def _publish(self, final: Path) -> None:
        with self._gdal():
            if self._options.overwrite:
                os.replace(final, self._target)
            else:
                _rename_to_free_name(final, self._target)
        with suppress(OSError):  # the file is in place; not every file system can sync a folder
            _sync(self._target.parent)
        # Only now: until the rename the sidecars belong to the old image, which must stay whole if we stop before it.
        # A crash right here leaves sidecars that lie about the new image, but the run did not report success, and
        # the next one with --overwrite removes them. The other order could destroy overviews or masks of an image
        # that we then fail to replace.
        _remove_sidecars(self._target)

    def _discard(self) -> None:
        dataset, self._dataset = self._dataset, None
        if dataset is not None:
            with suppress(OutputError), self._gdal():
                dataset.close()
        self._sweep(keep=None)

    def _sweep(self, keep: Path | None) -> None:
        """Remove temporary files of this writer, those that GDAL puts beside them included.

        Best effort: what cannot be removed must not hide why we are here.
        """
        for folder in {self._target.parent, Path(os.environ.get("CPL_TMPDIR", self._target.parent))}:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if f".{self._token}.part" in entry.name and (keep is None or entry.name != keep.name):
                        os.unlink(entry.path)

    @contextmanager
    def _gdal(self) -> Iterator[None]:
        """Do something with the temporary file; whatever GDAL or the system has against it becomes an OutputError."""
        complaints: list[str] = []
        try:
            with _environment(), _stderr_of_gdal(complaints):
                yield
        except _GDAL_ERRORS as error:
            raise _write_failure(self._path, *complaints, _reason(error)) from error
        if complaints:
            raise _write_failure(self._path, *complaints)


# --- Before the work: path and space ----------------------------------------------------------------------------------


def _refuse_inputs(path: Path, inputs: list[Path]) -> None:
    for name in (path, *_sidecars(_real(path))):
        for source in inputs:
            if _same_file(name, source):
                raise OutputError(f"{_shown(name)} is the same file as the input {_shown(source)}; choose another name")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return _real(one) == _real(other)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{_shown(path)} is a folder; add a file name")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise OutputError(f"{_shown(path)} is not a regular file; choose another path")
    # A sidecar without its raster would describe the new one, and removing it is no less overwriting.
    existing = [*([path] if path.exists() else []), *_sidecars(_real(path))]
    if existing and not overwrite:
        raise OutputError(f"{_shown(existing[0])} exists; add --overwrite to replace it")


def _refuse_folder(target: Path) -> None:
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"the folder {_shown(folder)} does not exist; create it first")
    # Trying tells more than access rights do: read-only file systems, quotas, and names too long.
    probe = folder / f".{_short_name(target)}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.unlink(probe)
    except OSError as error:
        raise OutputError(f"cannot write in the folder {_shown(folder)}: {error.strerror}") from error


def _check_free_space(path: Path, grid: OutputGrid, options: OutputOptions) -> None:
    needed, free = estimate_disk_bytes(grid, options), shutil.disk_usage(_real(path).parent).free
    if needed > free:
        raise OutputError(
            f"not enough space to write {_shown(path)}: about {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free"
        )


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _sidecars(path: Path) -> list[Path]:
    """The files that GDAL would read as parts of the one at `path`."""
    named = [path.with_name(path.name + ending) for ending in _SIDECARS]
    return [sidecar for sidecar in named if os.path.lexists(sidecar)]


def _short_name(target: Path) -> str:
    """The name, cut so that GDAL's endings still fit into the 143 bytes of the strictest file systems."""
    return target.name.encode()[:80].decode(errors="ignore")


def _shown(path: Path) -> str:
    """The path as part of a message of one line."""
    return str(path) if str(path).isprintable() else ascii(str(path))


def _fits(value: float, dtype: str) -> bool:
    if np.dtype(dtype).kind == "f":
        return not math.isfinite(value) or abs(value) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max


# --- Creation options -------------------------------------------------------------------------------------------------


def _temporary_options(grid: OutputGrid, options: OutputOptions) -> dict[str, str]:
    """A GeoTIFF is written as it will stay, a COG is translated from a raw file."""
    return _gtiff_options(grid, options) if options.driver == "gtiff" else _raw_options(grid)


def _raw_options(grid: OutputGrid) -> dict[str, str]:
    """A tiled, uncompressed GeoTIFF: as fast as the disk, and read only once.

    Interleaved by pixel: that is also the layout of a COG, and writing 4 bands took a third of the time of separate
    ones (0.5 s against 1.5 s for 8192 x 8192); deflated files are 1.5 % smaller by band, which is not worth it.
    """
    layout = {
        "TILED": "YES",
        "BLOCKXSIZE": str(BLOCK),
        "BLOCKYSIZE": str(BLOCK),
        "INTERLEAVE": "PIXEL",
        # GDAL takes the fourth band of 8 bits for alpha if it is not told.
        "PHOTOMETRIC": "MINISBLACK",
        "ALPHA": "NO",
        "BIGTIFF": "YES" if needs_bigtiff(grid) else "NO",
    }
    return layout | ({} if grid.nbits is None else {"NBITS": str(grid.nbits)})


def _gtiff_options(grid: OutputGrid, options: OutputOptions) -> dict[str, str]:
    chosen = _raw_options(grid) | {"COMPRESS": options.compression}
    if not grid.mask:
        # With a mask inside of the file, the compressing threads of GDAL print spurious errors (seen with 3.10).
        chosen["NUM_THREADS"] = str(options.threads)
    if _has_predictor(grid, options):
        chosen["PREDICTOR"] = "3" if grid.dtype == "float32" else "2"
    if options.compression == "DEFLATE":
        chosen["ZLEVEL"] = "1"
    return chosen | options.user_options


def _cog_options(grid: OutputGrid, options: OutputOptions) -> dict[str, str]:
    chosen = {
        "COMPRESS": options.compression,
        "NUM_THREADS": str(options.threads),
        "BLOCKSIZE": str(BLOCK),
        "BIGTIFF": "YES" if needs_bigtiff(grid) else "NO",
        # Means of valid pixels: no ringing beside saturation and nodata, unlike GDAL's default, cubic.
        "OVERVIEW_RESAMPLING": "AVERAGE",
        # Else GDAL drops all metadata domains but the default one.
        "COPY_SRC_MDD": "YES",
    }
    if _has_predictor(grid, options):
        chosen["PREDICTOR"] = "YES"
    if options.compression == "DEFLATE":
        # Behind a predictor, level 1 makes sharp images no larger than level 6 does, in half of the time.
        chosen["LEVEL"] = "1"
    if grid.nbits is not None:
        chosen["NBITS"] = str(grid.nbits)
    return chosen | options.user_options


def _has_predictor(grid: OutputGrid, options: OutputOptions) -> bool:
    # TIFF defines predictors for whole bytes only.
    return options.compression in _PREDICTABLE and grid.nbits in (None, 8, 16, 32)


def _create(path: Path | str, grid: OutputGrid, options: Mapping[str, str], metadata: RasterMetadata | None) -> Any:
    """Open a new GeoTIFF for writing, with everything in it but pixels."""
    dataset = rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=grid.count,
        dtype=grid.dtype,
        crs=grid.crs,
        transform=None if grid.transform.is_identity else grid.transform,
        nodata=grid.nodata,
        **options,
    )
    try:
        if metadata is not None:
            write_metadata(dataset, metadata)
    except BaseException:
        dataset.close()
        raise
    return dataset


# --- Metadata that GDAL would lose in a COG ---------------------------------------------------------------------------


def _hide_band_tags(metadata: RasterMetadata) -> RasterMetadata:
    """Move the default tags of the bands into a domain with a name of its own.

    When GDAL is told to copy all domains into a COG, it skips just the default domain of the bands (seen with 3.10),
    and setting tags afterwards would break the layout of the COG. `_reveal_band_tags` moves them back.
    """
    hidden = tuple(
        {_HIDDEN_BAND_DOMAIN if domain == DEFAULT_DOMAIN else domain: found for domain, found in tags.items()}
        for tags in metadata.band_tags
    )
    return replace(metadata, band_tags=hidden)


def _reveal_band_tags(path: Path, count: int) -> None:
    """Blank the name of the hidden domain in the XML of the file; a tag without domain is in the default one.

    The blanks keep every byte of the file at its place.
    """
    name = f' domain="{_HIDDEN_BAND_DOMAIN}"'.encode()
    if count == 0:
        return
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        position = content.find(name)
        # The metadata lies ahead of the pixels; stopping after the last tag spares searching through them.
        while count and position >= 0:
            content[position : position + len(name)] = b" " * len(name)
            count -= 1
            position = content.find(name, position) if count else -1


# --- Rehearsal --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Facts:
    """What a reader of the file is told about it, in comparable form."""

    width: int
    height: int
    dtypes: tuple[str, ...]
    crs: str | None
    transform: tuple[float, ...]
    nodata: tuple[str, ...]
    mask_flags: tuple[tuple[str, ...], ...]
    descriptions: tuple[str | None, ...]
    layout: str | None

    @classmethod
    def of(cls, dataset: Any) -> _Facts:
        return cls(
            dataset.width,
            dataset.height,
            tuple(dataset.dtypes),
            None if dataset.crs is None else dataset.crs.to_wkt(),
            tuple(dataset.transform),
            tuple(repr(value) for value in dataset.nodatavals),
            tuple(tuple(flag.name for flag in flags) for flags in dataset.mask_flag_enums),
            tuple(dataset.descriptions),
            dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT"),
        )

    def differences(self, other: _Facts) -> str:
        """Names and values of what differs, or an empty string."""
        mine, theirs = vars(self), vars(other)
        return "; ".join(f"{key}: {mine[key]} became {theirs[key]}" for key in mine if mine[key] != theirs[key])


@dataclass(frozen=True)
class _Rehearsal:
    """What writing a small image in memory has shown.

    Attributes:
        facts: what GDAL says of the file; all but the size holds for the true output, too.
        lossless: whether pixels come back as they were written.
    """

    facts: _Facts
    lossless: bool


def _rehearse(grid: OutputGrid, options: OutputOptions, metadata: RasterMetadata | None) -> _Rehearsal:
    """Write a small image with the true options in memory, to fail before hours of work and not after them.

    Raises:
        UsageError: GDAL does not know an option, or it cannot do with these bands what the option asks for.
    """
    if not options.user_options.get("COMPRESS") and not _gdal_can_write(options.compression):
        offered = ", ".join(available_compressions())
        raise UsageError(f"unknown compression '{options.compress}'; GDAL offers here: {offered}")
    small = replace(grid, width=min(grid.width, 64), height=min(grid.height, 64))
    complaints: list[str] = []
    try:
        with _environment(), _warnings_of_gdal(complaints), _stderr_of_gdal([]):
            rehearsal = _write_in_memory(small, options, metadata)
    except _GDAL_ERRORS as error:
        raise UsageError(
            f"GDAL cannot write {grid.count} bands of {grid.dtype} as {_described(options)}: {_reason(error)}"
        ) from error
    if complaints:
        raise UsageError(f"GDAL does not accept a creation option: {complaints[0]}")
    _refuse_changed_grid(small, rehearsal.facts, options)
    return rehearsal


def _write_in_memory(grid: OutputGrid, options: OutputOptions, metadata: RasterMetadata | None) -> _Rehearsal:
    pixels, is_cog = _noise(grid), options.driver == "cog"
    with MemoryFile(ext=".tif") as file, MemoryFile(ext=".tif") as copy:
        with _create(file.name, grid, _temporary_options(grid, options), metadata) as dataset:
            dataset.write(pixels)
            if grid.mask:
                dataset.write_mask(np.full((grid.height, grid.width), 255, np.uint8))
        if is_cog:
            rasterio.shutil.copy(file.name, copy.name, driver="COG", **_cog_options(grid, options))
        final = (copy if is_cog else file).name
        # What needs a side file to survive would not survive the rename.
        if rasterio.shutil.exists(f"{final}.aux.xml"):
            rasterio.shutil.delete(f"{final}.aux.xml")
        with rasterio.open(final) as dataset:
            same = bool(np.array_equal(dataset.read(), pixels)) and not _allows_error(options)
            return _Rehearsal(_Facts.of(dataset), same)


def _noise(grid: OutputGrid) -> NDArray[Any]:
    """Pixels that no lossy compression can keep, within 8 bits so that they fit any NBITS above."""
    values = np.random.default_rng(0).random((grid.count, grid.height, grid.width))
    top = 1 if grid.dtype == "float32" else 2 ** min(grid.nbits or 8, 8) - 1
    return (values * top).astype(grid.dtype)


def _allows_error(options: OutputOptions) -> bool:
    # LERC keeps noise exactly where it cannot save anything, whatever error it is allowed.
    return options.user_options.get("MAX_Z_ERROR", "0").strip("0.") != ""


def _refuse_changed_grid(grid: OutputGrid, facts: _Facts, options: OutputOptions) -> None:
    kept = (facts.width, facts.height, facts.dtypes) == (grid.width, grid.height, (grid.dtype,) * grid.count)
    # Point images are stored half a pixel off and moved back, which may cost the last digit.
    digit = 1e-12 * max(abs(value) for value in grid.transform)
    moved = any(abs(a - b) > digit for a, b in zip(grid.transform, facts.transform, strict=True))
    if not kept or moved:
        raise UsageError(f"the creation options change the grid of the image ({_described(options)}); leave them out")
    if grid.crs is not None and (facts.crs is None or CRS.from_wkt(facts.crs) != grid.crs):
        logger.warning("GeoTIFF cannot hold the CRS exactly; it will read as %s", facts.crs)


def _described(options: OutputOptions) -> str:
    extras = "".join(f", {key}={value}" for key, value in options.creation_options)
    return f"{options.driver} with {options.compression.lower()} compression{extras}"


def _gdal_can_write(compression: str) -> bool:
    complaints: list[str] = []
    try:
        with _environment(), _warnings_of_gdal(complaints), _stderr_of_gdal([]), MemoryFile(ext=".tif") as file:
            rasterio.open(
                file.name, "w", driver="GTiff", width=16, height=16, count=3, dtype="uint8", COMPRESS=compression
            ).close()
    except _GDAL_ERRORS:
        return False
    return not complaints


# --- GDAL, tamed ------------------------------------------------------------------------------------------------------


@contextmanager
def _environment() -> Iterator[None]:
    """GDAL set up for writing: the mask inside of the file, a small block cache.

    Entered anew for each call, since rasterio keeps it by thread. A cache limit of the user's own stays.
    """
    configured = {key.upper() for key in rasterio.env.getenv()} if rasterio.env.hasenv() else set()
    limit = {} if "GDAL_CACHEMAX" in configured | os.environ.keys() else {"GDAL_CACHEMAX": _CACHE_BYTES}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, **limit):
        yield


@contextmanager
def _warnings_of_gdal(complaints: list[str]) -> Iterator[None]:
    """Collect what GDAL warns of about creation options, instead of logging it."""

    class Collector(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            message = record.getMessage()
            if "CPLE_NotSupported" in message or "CPLE_IllegalArg" in message:
                complaints.append(message.partition(" in ")[2])
            return record.levelno >= logging.ERROR

    source = logging.getLogger("rasterio._env")
    collector, level = Collector(), source.level
    source.addFilter(collector)
    source.setLevel(logging.WARNING)
    try:
        yield
    finally:
        source.setLevel(level)
        source.removeFilter(collector)


_STDERR_LOCK = threading.RLock()
_LIBTIFF_FAILURE = re.compile(r"_tiff\w+Proc: (?P<reason>.*?)\.?$")
_NOISE_OF_GDAL = re.compile(r"(ERROR|Warning) \d+: ")  # from threads of GDAL; if it matters, an exception follows


@contextmanager
def _stderr_of_gdal(complaints: list[str]) -> Iterator[None]:
    """Keep libtiff from writing its failures to the stderr of the user, and collect their reasons.

    libtiff prints failed system calls straight to file descriptor 2, past every handler of GDAL, and sometimes that
    is the only trace of a full disk: writing with several threads raises nothing. Whatever else is written there
    meanwhile is passed on. For short calls only: stderr is not a terminal meanwhile.
    """
    with _STDERR_LOCK:
        saved = _duplicate_stderr()
        if saved is None:
            yield
            return
        source, sink = os.pipe()
        # Better to lose words than to wait forever for a reader of a full pipe.
        os.set_blocking(source, False)
        os.set_blocking(sink, False)
        try:
            os.dup2(sink, 2)
            os.close(sink)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            _sort_out(_drain(source), complaints)
            os.close(source)


def _duplicate_stderr() -> int | None:
    # Started without a stderr, as daemons are, the process may have our output open under the number 2.
    if sys.__stderr__ is None:
        return None
    try:
        return os.dup(2)
    except OSError:
        return None


def _drain(source: int) -> bytes:
    words = b""
    with suppress(BlockingIOError):
        while more := os.read(source, 2**16):
            words += more
    return words


def _sort_out(words: bytes, complaints: list[str]) -> None:
    foreign = b""
    for line in words.splitlines(keepends=True):
        text = line.decode(errors="replace").rstrip()
        if failure := _LIBTIFF_FAILURE.match(text):
            complaints.append(failure["reason"])
        elif not _NOISE_OF_GDAL.match(text):
            foreign += line
    if foreign:
        with suppress(OSError):
            os.write(2, foreign)


def _write_failure(path: Path, *reasons: str) -> OutputError:
    reason = reasons[0]
    full = any(os.strerror(number) in text for number in _DISK_FULL for text in reasons)
    what = "disk full or quota exceeded while writing" if full else "cannot write"
    return OutputError(f"{what} {_shown(path)}: {reason}; {_UNTOUCHED}")


def _reason(error: BaseException) -> str:
    """The first line of what GDAL or the system says; rasterio's own words only point to the cause."""
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    cause = error.__cause__ if isinstance(error, RasterioError) and error.__cause__ is not None else error
    text = str(getattr(cause, "errmsg", "") or cause)
    return text.splitlines()[0] if text else type(cause).__name__


# --- Translation to COG, in a process of its own ----------------------------------------------------------------------

_CHILD = (
    "import json, sys; job = json.load(sys.stdin); sys.path[:] = job.pop('path'); "
    "from clippan_cli.rasters.writer import _copy_to_cog; _copy_to_cog(**job)"
)


def _copy_in_child(source: Path, target: Path, options: Mapping[str, str], progress: Progress) -> str | None:
    """Copy a GeoTIFF to a COG; the answer is what went wrong, or None.

    A call into GDAL that lasts minutes cannot be interrupted and prints to our stderr; a process can be killed and
    has a stderr of its own. It gets our module path, and not its working folder in front of that (-P).
    """
    job = {"path": sys.path, "source": str(source), "target": str(target), "options": dict(options)}
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is ours to handle
        )
    except OSError as error:
        return f"cannot start a process for the translation to COG: {error.strerror}"
    with child:
        try:
            words = _wait_for(child, json.dumps(job | {"parent": os.getpid()}), progress)
        except BaseException:
            child.kill()
            raise
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    failures = [failure["reason"] for failure in map(_LIBTIFF_FAILURE.match, lines) if failure]
    if child.returncode < 0:
        return f"the translation to COG was killed by signal {-child.returncode}"
    if child.returncode > 0 and not failures:
        return lines[-1] if lines else f"the translation to COG ended with exit code {child.returncode}"
    return failures[0] if failures else None


def _wait_for(child: subprocess.Popen[str], job: str, progress: Progress) -> str:
    question: str | None = job
    while True:
        progress("translate", 0.0)
        try:
            return child.communicate(question, timeout=0.2)[1]
        except subprocess.TimeoutExpired:
            question = None


def _copy_to_cog(source: str, target: str, options: Mapping[str, str], parent: int) -> None:
    """What the child does: one file to another by GDAL's COG driver, in bounded memory.

    Opening the COG driver for writing instead would hold the whole image in memory.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    big = options.get("BIGTIFF", "IF_SAFER")
    # Nothing needs a side file here, and the overviews are first built in a file that has to be BigTIFF in time, too.
    with _environment(), rasterio.Env(GDAL_PAM_ENABLED=False, BIGTIFF_OVERVIEW=big):
        rasterio.shutil.copy(Path(source), Path(target), driver="COG", **options)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: nobody would remove what it goes on to write."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


# --- Verification -----------------------------------------------------------------------------------------------------


class _Mismatch(Exception):
    """The file holds something else than what was written."""


@dataclass(frozen=True)
class _Checksum:
    """CRC-32 of the pixels and of the mask of a window; None for what is not compared."""

    data: int | None
    mask: int | None

    @classmethod
    def of(cls, data: NDArray[Any], mask: NDArray[np.uint8] | None) -> _Checksum:
        return cls(_crc(data), None if mask is None else _crc(mask))

    def of_mask_only(self) -> _Checksum:
        return _Checksum(None, self.mask)


@dataclass(frozen=True)
class _Reading:
    """A window to read, at full resolution (level None) or in an overview, and what should come out."""

    level: int | None
    window: Window
    expected: _Checksum

    def check(self, dataset: Any) -> None:
        place = _raster_window(self.window)
        data, mask = dataset.read(window=place), dataset.read_masks(1, window=place)
        if self.expected.data not in (None, _crc(data)):
            raise _Mismatch(f"other pixels in {self.window}")
        if self.expected.mask not in (None, _crc(mask)):
            raise _Mismatch(f"another mask in {self.window}")


def _crc(values: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data)


def _verify_facts(path: Path, rehearsed: _Facts, grid: OutputGrid, options: OutputOptions) -> None:
    expected = replace(rehearsed, width=grid.width, height=grid.height)
    with rasterio.Env(), rasterio.open(path, driver="GTiff") as dataset:
        differences = expected.differences(_Facts.of(dataset))
        overviews = dataset.overviews(1)
    if differences:
        raise _Mismatch(differences)
    wants_overviews = options.driver == "cog" and options.user_options.get("OVERVIEWS", "AUTO").upper() != "NONE"
    block = int(options.user_options.get("BLOCKSIZE", BLOCK))
    if wants_overviews and max(grid.width, grid.height) > block and not overviews:
        raise _Mismatch("no overviews")


def _verify_blocks(path: Path, checksums: Mapping[Window, _Checksum], threads: int, progress: Progress) -> None:
    """Read every block of the file, of its mask and of its overviews, in several threads with a handle each."""
    readings = [_Reading(None, window, checksums[window]) for window in sorted(checksums, key=lambda w: (w.row, w.col))]
    readings += _overview_readings(path)
    share = math.ceil(len(readings) / threads)
    stop, done = threading.Event(), _Counter()
    # The limit of the block cache is one for all threads; the first to leave would lift it for the others.
    with _environment(), ThreadPoolExecutor(threads) as pool:
        # Neighbours stay in one thread, so that a block that two windows share is decoded once.
        parts = [readings[start : start + share] for start in range(0, len(readings), share)]
        futures = [pool.submit(_read_back, path, part, stop, done) for part in parts]
        try:
            _watch(futures, lambda: progress("verify", done.value / len(readings)))
        finally:
            stop.set()


def _overview_readings(path: Path) -> list[_Reading]:
    with rasterio.Env(), rasterio.open(path, driver="GTiff") as dataset:
        levels = len(dataset.overviews(1))
    return [
        _Reading(level, window, _Checksum(None, None)) for level in range(levels) for window in _windows_of(path, level)
    ]


def _windows_of(path: Path, level: int) -> Iterator[Window]:
    side = 2 * BLOCK
    with rasterio.Env(), rasterio.open(path, driver="GTiff", overview_level=level) as dataset:
        for row in range(0, dataset.height, side):
            for col in range(0, dataset.width, side):
                yield Window(row, col, min(side, dataset.height - row), min(side, dataset.width - col))


class _Counter:
    """A count that threads can share."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def increase(self) -> None:
        with self._lock:
            self.value += 1


def _read_back(path: Path, readings: Sequence[_Reading], stop: threading.Event, done: _Counter) -> None:
    with rasterio.Env(), ExitStack() as handles:
        opened: dict[int | None, Any] = {}
        for reading in readings:
            if stop.is_set():
                return
            if reading.level not in opened:
                at_level = {} if reading.level is None else {"overview_level": reading.level}
                opened[reading.level] = handles.enter_context(rasterio.open(path, driver="GTiff", **at_level))
            reading.check(opened[reading.level])
            done.increase()


def _watch(futures: Sequence[Future[None]], report: Callable[[], None]) -> None:
    pending: set[Future[None]] = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
        for future in finished:
            future.result()
        report()


# --- Publishing -------------------------------------------------------------------------------------------------------


def _sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk; late write errors show up here."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_to_free_name(source: Path, target: Path) -> None:
    """Rename without replacing what another run may have put there since we looked."""
    try:
        os.link(source, target)
    except FileExistsError as error:
        raise OutputError(f"{_shown(target)} appeared meanwhile; add --overwrite to replace it") from error
    except OSError:  # a file system without hard links
        if target.exists():
            raise OutputError(f"{_shown(target)} appeared meanwhile; add --overwrite to replace it") from None
        os.replace(source, target)
    else:
        os.unlink(source)


def _remove_sidecars(target: Path) -> None:
    for sidecar in _sidecars(target):
        try:
            sidecar.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{_shown(target)} is written, but {_shown(sidecar)} describes the file that was there before and "
                f"cannot be removed ({error.strerror}); remove it"
            ) from error


def _raster_window(window: Window) -> RasterWindow:
    return RasterWindow(window.col, window.row, window.width, window.height)
