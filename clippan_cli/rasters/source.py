"""Open a raster safely and read any window of it with its valid mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from clippan_cli.rasters.bounds import MOST_BANDS, MOST_PARTS
from clippan_cli.rasters.dimap import files_of_product
from clippan_cli.rasters.gdal_errors import reason_of, small_cache
from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart, same_crs
from clippan_cli.rasters.index import read_by_index
from clippan_cli.rasters.mosaic import are_tiles, has_mask_band, joined_tiles
from clippan_cli.rasters.nodata import AS_DECLARED, NodataRule, is_nodata
from clippan_cli.rasters.opening import open_dataset, options_of_gdal
from clippan_cli.rasters.options import Declared, Nodata, Trust
from clippan_models.contracts import Window
from clippan_models.errors import IncompatiblePairError, InputError

DTYPES = ("uint8", "uint16", "int16", "float32", "float64")

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


class RasterSource:
    """Bands of one raster, or of several on the same grid, read by window as float32 with a mask.

    The raster may be the mosaic of several files, the tiles of one image.

    A pixel is valid where it is not the band's nodata, is finite, and neither alpha nor mask band hides it. Windows
    may reach outside the raster; there values are 0 and the mask is False.

    Attributes:
        names: the files, as the user named them.
        datasets: the open rasters, one for each file or one for all tiles; the first one stands for the grid.
        bands: (dataset number, band counted from 1) of each band.
        alphas: of each dataset, the band that says where there is image, counted from 1, or None.
        notes: what was decided for the user, one sentence each.
        rule: how to tell nodata.
        declared: what its product says of it.
    """

    declared: Declared = Declared()

    def __init__(
        self,
        names: tuple[str, ...],
        datasets: tuple[Any, ...],
        bands: tuple[tuple[int, int], ...],
        alphas: tuple[int | None, ...],
        notes: tuple[str, ...] = (),
        rule: NodataRule = AS_DECLARED,
    ) -> None:
        """Take open datasets."""
        self.names = names
        self.datasets = datasets
        self.bands = bands
        self.alphas = alphas
        self.notes = notes
        self.rule = rule
        self.width, self.height = int(datasets[0].width), int(datasets[0].height)
        self._has_mask = [has_mask_band(d) and not (rule.said is not None and _masked_by_values(d)) for d in datasets]

    @property
    def name(self) -> str:
        """The files, for messages."""
        return ", ".join(self.names)

    @property
    def grid(self) -> Any:
        """The dataset that stands for the grid: CRS, transform, size."""
        return self.datasets[0]

    @property
    def in_file(self) -> Affine:
        """From its pixels to those of the file, both in corner coordinates."""
        return Affine.identity()

    @property
    def transform(self) -> Affine:
        """Geotransform of its pixels."""
        on_grid: Affine = self.grid.transform
        return on_grid @ self.in_file

    @property
    def count(self) -> int:
        """Number of image bands (alpha does not count)."""
        return len(self.bands)

    @property
    def dtype(self) -> str:
        """Type of the values in the file; the first band stands for all."""
        return str(self._band(0)[0].dtypes[self._band(0)[1] - 1])

    @property
    def nodata(self) -> tuple[float | None, ...]:
        """Nodata value of each band."""
        return tuple(self.rule.value(*self._band(b)) for b in range(self.count))

    @property
    def masked(self) -> bool:
        """Whether any pixel can be invalid for another reason than its value being nodata."""
        return any(a is not None for a in self.alphas) or any(self._has_mask)

    def selected(self, bands: Sequence[int]) -> RasterSource:
        """The same raster with some of its bands, counted from 0."""
        chosen = tuple(self.bands[band] for band in bands)
        return RasterSource(self.names, self.datasets, chosen, self.alphas, self.notes, self.rule)

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values `[C, h, w]` float32 and validity `[C, h, w]` of any window.

        Raises:
            InputError: the file cannot be read there, or holds values that no instrument measures.
        """
        values = np.zeros((self.count, window.height, window.width), np.float32)
        valid = np.zeros(values.shape, np.bool_)
        inner = window.intersection(Window(0, 0, self.height, self.width))
        if inner.pixels == 0:
            return values, valid
        rows, cols = inner.inside(window)
        for number in range(len(self.datasets)):
            mine = [b for b, (d, _) in enumerate(self.bands) if d == number]
            with self._reading(number):
                block, good = self._read_dataset(number, [self.bands[b][1] for b in mine], inner)
            for k, b in enumerate(mine):
                values[b, rows, cols], valid[b, rows, cols] = block[k], good[k]
        return values, valid

    @contextmanager
    def _reading(self, number: int) -> Iterator[None]:
        """Read from a dataset; whatever GDAL has against it becomes an InputError."""
        try:
            with rasterio.Env():  # in each thread: without it, GDAL writes to stderr
                yield
        except RasterioError as error:
            in_tiles = len(self.datasets) < len(self.names)
            raise _unreadable(f"a tile of {self.names[0]}" if in_tiles else self.names[number], error) from error

    def _read_dataset(self, number: int, indexes: list[int], inner: Window) -> tuple[Values, Mask]:
        dataset = self.datasets[number]
        where = RasterioWindow(inner.col, inner.row, inner.width, inner.height)
        raw = dataset.read(indexes, window=where)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and invalid
            values = raw.astype(np.float32, copy=False)
        good = np.isfinite(values)
        for k, index in enumerate(indexes):
            nodata = self.rule.value(dataset, index)
            if nodata is not None and not np.isnan(nodata):
                good[k] &= ~is_nodata(raw[k], nodata)
        alpha = self.alphas[number]
        if alpha is not None:
            good &= dataset.read(alpha, window=where) > 0
        if self._has_mask[number]:
            good &= dataset.read_masks(indexes[0], window=where) > 0
        values = values if good.all() else np.where(good, values, np.float32(0))
        if raw.dtype.kind == "f":
            for k, index in enumerate(indexes):
                self.rule.refuse_absurd(self.names[number], index, values[k])
        return values, good

    def picture(
        self, bands: Sequence[tuple[int, int]], window: tuple[float, float, float, float], shape: tuple[int, int]
    ) -> Values:
        """Bands as a picture of any size, `[n, h, w]`, NaN outside the raster and where it is invalid.

        Args:
            bands: as in `bands`; one may be named several times.
            window: (column, row, width, height) in fractional pixels; may reach outside the raster.
            shape: rows and columns of the picture.

        Raises:
            InputError: the file cannot be read there.
        """
        out = np.full((len(bands), *shape), np.nan, np.float32)
        col, row, width, height = window
        # only what lies on the raster can be read; find which part of the picture that is
        x0, x1 = max(0.0, -col / width), min(1.0, (self.width - col) / width)
        y0, y1 = max(0.0, -row / height), min(1.0, (self.height - row) / height)
        rows = slice(round(y0 * shape[0]), round(y1 * shape[0]))
        cols = slice(round(x0 * shape[1]), round(x1 * shape[1]))
        inner = (rows.stop - rows.start, cols.stop - cols.start)
        if min(inner) <= 0:
            return out
        part = RasterioWindow(col + x0 * width, row + y0 * height, (x1 - x0) * width, (y1 - y0) * height)
        # GDAL leaves nodata out of averages where the file declares it, but not where only the user does
        averaged = width > shape[1] and self.rule.said is None
        method = Resampling.average if averaged else Resampling.nearest
        for k, (number, index) in enumerate(bands):
            with self._reading(number):
                values = self.datasets[number].read(index, window=part, out_shape=inner, resampling=method)
                shown = self._shown(number, index, values, part)
            out[k, rows, cols] = np.where(shown, values.astype(np.float32), np.nan)
        return out

    def _shown(self, number: int, index: int, values: NDArray[Any], part: RasterioWindow) -> Mask:
        """Which pixels of a picture of a band exist."""
        dataset, nodata = self.datasets[number], self.rule.value(self.datasets[number], index)
        if self.rule.said is None:
            return np.asarray(dataset.read_masks(index, window=part, out_shape=values.shape) > 0)
        shown = np.ones(values.shape, np.bool_) if nodata is None else ~is_nodata(values, nodata)
        if self.alphas[number] is not None:
            shown &= dataset.read(self.alphas[number], window=part, out_shape=values.shape) > 0
        if self._has_mask[number]:
            shown &= dataset.read_masks(index, window=part, out_shape=values.shape) > 0
        return shown

    def _band(self, band: int) -> tuple[Any, int]:
        number, index = self.bands[band]
        return self.datasets[number], index


def open_source(names: Sequence[str], role: str, trust: Trust, stack: ExitStack, nodata: Nodata = None) -> RasterSource:
    """Open one raster, several on one grid, whose bands follow each other, or the tiles of one image, which are joined.

    Args:
        names: paths or, where allowed, remote addresses.
        role: "MS" or "PAN", for messages.
        trust: what may be opened besides local files.
        stack: closes the datasets.
        nodata: the value of pixels without data, where the user says it.

    Raises:
        InputError: not a raster that clippan reads.
        UsageError: a nodata value that the raster cannot hold.
        IncompatiblePairError: several files that do not share a grid, or are no tiles of one image.
    """
    if len(names) > MOST_PARTS:
        raise InputError(f"{names[0]} and {len(names) - 1:,} more: one image may have up to {MOST_PARTS:,} files")
    stack.enter_context(rasterio.Env(**small_cache(), **options_of_gdal(trust)))
    files, datasets = tuple(names), tuple(stack.enter_context(_open_image(name, trust)) for name in names)
    rule = NodataRule(nodata, role)
    for name, dataset in zip(names, datasets, strict=True):
        rule.check(name, dataset.dtypes[0])
    joined: tuple[str, ...] = ()
    if are_tiles(datasets):
        mosaic, note = joined_tiles(names, datasets, stack)
        image, of_index = read_by_index(names, datasets, mosaic, lambda path: _open_image(path, trust), stack)
        if image is not None:
            mosaic, note, of_index = image, of_index, ""
        names, datasets, joined = files[:1], (mosaic,), (note, of_index) if of_index else (note,)
    if nodata is None and datasets[0].driver == "DIMAP":
        rule = NodataRule(files_of_product(str(datasets[0].name)).nodata, role)
    for name, dataset in zip(names, datasets, strict=True):
        _check_like_first(names[0], datasets[0], name, dataset)
    called = [_called_alpha(dataset) for dataset in datasets]
    alphas = tuple(
        None if band is not None and _holds_image(name, dataset, band) else band
        for name, dataset, band in zip(names, datasets, called, strict=True)
    )
    notes = tuple(
        f"band {band} of {name} is called alpha but holds an image: it is taken as one of its bands"
        for name, band, alpha in zip(names, called, alphas, strict=True)
        if band != alpha
    )
    bands = tuple(
        (number, index)
        for number, dataset in enumerate(datasets)
        for index in range(1, dataset.count + 1)
        if index != alphas[number]
    )
    if len(bands) > MOST_BANDS:
        raise InputError(f"{names[0]} and the others have {len(bands):,} bands; clippan reads up to {MOST_BANDS}")
    if not bands:
        raise InputError(f"{names[0]} holds an alpha band only; {role} needs image bands")
    return RasterSource(files, datasets, bands, alphas, (*joined, *notes), rule)


def _open_image(name: str, trust: Trust) -> Any:
    dataset = open_dataset(name, trust)
    try:
        _check_content(name, dataset)
    except InputError:
        dataset.close()
        raise
    return dataset


def _check_content(name: str, dataset: Any) -> None:
    if dataset.count == 0:
        raise InputError(f"{name} holds no band (a container of several images?); name one image inside it")
    wrong = next((d for d in dataset.dtypes if d not in DTYPES), None)
    if wrong is not None:
        raise InputError(
            f"{name} holds {wrong} values; clippan works with {', '.join(DTYPES)}: convert with gdal_translate -ot"
        )
    if ColorInterp.palette in dataset.colorinterp:
        raise InputError(f"{name} holds palette indexes, not radiometry; expand it with gdal_translate -expand rgb")
    try:
        dataset.rpcs  # noqa: B018 - rasterio reads them as numbers only now
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{name} has broken RPCs: {reason_of(error)}; correct or remove them") from error
    transform = np.array(dataset.transform)[:6]
    if not np.isfinite(transform).all() or abs(dataset.transform.determinant) == 0:
        raise InputError(
            f"{name} has a broken geotransform {tuple(float(t) for t in transform)}; set it with gdal_edit.py -a_ullr"
        )


def _check_like_first(first_name: str, first: Any, name: str, dataset: Any) -> None:
    if (dataset.width, dataset.height) != (first.width, first.height):
        raise IncompatiblePairError(
            f"{name} has {dataset.width}x{dataset.height} pixels but {first_name} {first.width}x{first.height}; "
            "files of one image must share one grid"
        )
    if dataset.dtypes[0] != first.dtypes[0]:
        raise IncompatiblePairError(
            f"{name} holds {dataset.dtypes[0]} values but {first_name} {first.dtypes[0]}; files of one image must have "
            "one type: convert with gdal_translate -ot"
        )
    apart = corners_apart(~first.transform @ dataset.transform, Affine.identity(), first.width, first.height)
    if not same_crs(dataset.crs, first.crs) or apart > GRID_TOLERANCE:
        raise IncompatiblePairError(
            f"{name} lies on another grid than {first_name}, its corners up to {apart:.3g} pixels off; files "
            "of one image must share CRS and geotransform"
        )


def _called_alpha(dataset: Any) -> int | None:
    """The band that the file calls alpha, counted from 1."""
    interpretations = list(dataset.colorinterp)
    return interpretations.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in interpretations else None


def _holds_image(name: str, dataset: Any, band: int) -> bool:
    """Whether a band called alpha holds an image, as the near infrared does that many writers call the fourth of RGBA.

    A true alpha is fully opaque or fully transparent nearly everywhere; the pixels of an image differ.
    """
    side, count = 64, 4
    tops, lefts = (np.linspace(0, max(0, size - side), count).astype(int) for size in (dataset.height, dataset.width))
    windows = (RasterioWindow(left, top, side, side) for top in np.unique(tops) for left in np.unique(lefts))
    try:
        blocks = [dataset.read(band, window=window).ravel() for window in windows]
    except RasterioError as error:
        raise _unreadable(name, error) from error
    seen = np.concatenate(blocks)
    seen = seen[np.isfinite(seen) & (seen > 0)].astype(np.float64)
    if len(np.unique(seen)) <= 16:
        return False
    opaque = seen >= 0.98 * seen.max()  # a lossy compression blurs the alpha
    return bool(opaque.mean() < 0.5)


def _masked_by_values(dataset: Any) -> bool:
    """Whether its mask comes from the tag NODATA_VALUES."""
    return MaskFlags.nodata in dataset.mask_flag_enums[0]


def _unreadable(name: str, error: BaseException) -> InputError:
    return InputError(f"{name} cannot be read: {reason_of(error)}; is it damaged or incomplete?")
