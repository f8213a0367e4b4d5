"""The functions of clippan. Each takes files or arrays, a few arguments of its own, and the options of a command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from clippan.calls import OnProgress, running, verb
from clippan.options import ArrayFlags
from clippan_cli.options.adapt import AdaptFlags, archive_options
from clippan_cli.options.assess import AssessFlags, assess_options, report_files
from clippan_cli.options.batch import BatchFlags, batch_options, batch_sharpening
from clippan_cli.options.bench import BenchFlags
from clippan_cli.options.flags import filled
from clippan_cli.options.scene import FileFlags, InfoFlags, path_or_none, read_options, trust
from clippan_cli.options.sharpen import SharpenFlags, sharpen_options
from clippan_cli.scene.files import SceneFiles

if TYPE_CHECKING:
    from affine import Affine

    from clippan_cli.bench.result import BenchResult
    from clippan_cli.quality.many_scenes import IndexReport
    from clippan_cli.quality.result import AssessReport
    from clippan_cli.scene.files import PairTable
    from clippan_cli.tasks.batch import BatchResult
    from clippan_cli.tasks.info import PairInfo
    from clippan_cli.tasks.sharpen import SharpenResult
    from clippan_cli.training.result import ArchiveResult

File = str | os.PathLike[str]
Images = TypeVar("Images")


@verb
def sharpen(
    ms: File | Sequence[File],
    pan: File | Sequence[File],
    output: File,
    *,
    progress: bool | None = None,
    on_progress: OnProgress | None = None,
    **options: Unpack[SharpenFlags],
) -> SharpenResult:
    """Sharpen a multispectral image with its panchromatic one.

    The result lies on the PAN grid, cropped to the overlap, in the type of MS. The file is there whole, or not at all.

    Args:
        ms: the multispectral raster, several rasters on one grid in band order, or the tiles of one image.
        pan: the panchromatic raster, or its tiles.
        output: the raster to write.
        progress: show a bar; None: in a notebook only.
        on_progress: is called with a `Progress` after each unit of work.
        options: those of `clippan sharpen`.

    Returns:
        What was done: the plan, shifts, quality, times. With `dry_run` the plan alone.

    Raises:
        ClippanError: one of its children; the output is then as it was before.

    Example:
        result = clippan.sharpen("ms.tif", "pan.tif", "hrms.tif", method="gsa", overwrite=True)
        print(result.quality.metrics["QNR"])
    """
    from clippan_cli.tasks.sharpen_report import plan_with_addresses, sharpen_with_report

    chosen = filled(SharpenFlags, options)
    pair, read, sharpening = _pair(ms, pan), read_options(options), sharpen_options(Path(output), options)
    with running(progress, on_progress) as control:
        if chosen["dry_run"]:
            return plan_with_addresses(pair, read, sharpening, control)
        return sharpen_with_report(pair, read, sharpening, path_or_none(chosen["report"]), control)


@verb
def sharpen_arrays(
    ms: Images,
    pan: Any,
    *,
    ratio: float | None = None,
    ms_mask: Any = None,
    pan_mask: Any = None,
    ms_transform: Affine | None = None,
    pan_transform: Affine | None = None,
    crs: Any = None,
    nodata: float | None = None,
    progress: bool | None = None,
    on_progress: OnProgress | None = None,
    **options: Unpack[ArrayFlags],
) -> Images:
    """Sharpen arrays: the same as `sharpen`, without files.

    Arrays are those of numpy, masked arrays of numpy, or DataArrays of xarray. The pixels are those that `sharpen`
    writes of the same images; on the way they are files in the system's folder for temporary ones.

    Args:
        ms: `[C, h, w]`, of one of the types that files may have: uint8, uint16, int16, float32 or float64.
        pan: `[H, W]` or `[1, H, W]`.
        ratio: PAN pixels per MS pixel, where there are no geotransforms: the upper left corners of the images then
            coincide. Not needed where all corners do.
        ms_mask: `[h, w]` or `[C, h, w]`, True where MS is valid.
        pan_mask: `[H, W]`, True where PAN is valid.
        ms_transform: geotransform of MS.
        pan_transform: geotransform of PAN.
        crs: of both, as rasterio takes it.
        nodata: the value of invalid pixels, in the images and in the result. Without it, they are NaN in the result
            where it is of floating point, and 0 otherwise. NaN is always invalid.
        progress: show a bar; None: in a notebook only.
        on_progress: is called with a `Progress` after each unit of work.
        options: those of `clippan sharpen` that are not about files.

    Returns:
        `[C, H, W]` on the grid of PAN in the type of MS. A masked array where one was given. Of DataArrays a DataArray
        with the coordinates of PAN, and the bands, name and attributes of MS; masks, geotransforms, CRS and nodata are
        then theirs.

    Raises:
        UsageError: shapes or options that do not fit together.
        ClippanError: another of its children.

    Example:
        sharp = clippan.sharpen_arrays(ms, pan, ratio=4, method="mtf-glp-fs")
    """
    from clippan.arrays import Given, sharpen_images

    given = Given(ratio, ms_mask, pan_mask, ms_transform, pan_transform, crs, nodata)
    with running(progress, on_progress) as control:
        fused: Images = sharpen_images(ms, pan, given, options, control)
        return fused


@verb
def assess(
    fused: File | Sequence[File],
    *,
    ms: File | Sequence[File],
    pan: File | Sequence[File],
    reference: File | None = None,
    progress: bool | None = None,
    on_progress: OnProgress | None = None,
    **options: Unpack[AssessFlags],
) -> AssessReport:
    """Measure fused images against the pair they were made from, and against the truth where there is one.

    Args:
        fused: one raster on the PAN grid, or several to compare.
        ms: the multispectral raster, several rasters on one grid in band order, or the tiles of one image.
        pan: the panchromatic raster, or its tiles.
        reference: the truth on the PAN grid.
        progress: show a bar; None: in a notebook only.
        on_progress: is called with a `Progress` after each unit of work.
        options: those of `clippan assess`.

    Returns:
        The indices of each image, then those of the baselines, and warnings.

    Raises:
        ClippanError: files that cannot be read, or an image that does not belong to the pair.

    Example:
        report = clippan.assess("hrms.tif", ms="ms.tif", pan="pan.tif")
        print(report.images[0].metrics["QNR"], report.warnings)
    """
    from clippan_cli.tasks import assess as task

    read, files = read_options(options), report_files(options)
    chosen = assess_options(options, None if reference is None else os.fspath(reference))
    with running(progress, on_progress) as control:
        return task.assess(_pair(ms, pan), read, _names(fused), chosen, control, files)


@verb
def assess_many(
    scenes: File,
    *,
    progress: bool | None = None,
    on_progress: OnProgress | None = None,
    **options: Unpack[AssessFlags],
) -> IndexReport:
    """Measure the fused images of many scenes.

    Args:
        scenes: a folder, or a CSV file with the columns ms, pan and fused.
        progress: show a bar; None: in a notebook only.
        on_progress: is called with a `Progress` after each unit of work.
        options: those of `clippan assess`.

    Returns:
        A report for each scene, or why there is none.

    Raises:
        ClippanError: there is no scene, or a file cannot be written. A scene that fails does not stop the others.

    Example:
        for outcome in clippan.assess_many("results/").outcomes:
            print(outcome.entry.id, outcome.error)
    """
    from clippan_cli.products.finding import find_scenes as find
    from clippan_cli.tasks.assess_index import assess_scenes

    read, files, chosen = read_options(options), report_files(options), assess_options(options, None)
    with running(progress, on_progress) as control:
        return assess_scenes(find(Path(scenes), read.pair.trust, control).pairs, read, chosen, files, control)


@verb
def adapt(
    archive: File,
    output: File,
    *,
    progress: bool | None = None,
    on_progress: OnProgress | None = None,
    **options: Unpack[AdaptFlags],
) -> ArchiveResult:
    """Learn from an archive of one sensor: weights that sharpen its scenes without learning on each.

    Ctrl-C saves what was learned; `resume=True` continues.

    Args:
        archive: a folder with rasters, a CSV file with ms,pan[,id], or the JSON of STAC.
        output: the file of weights to write, FILE.safetensors.
        progress: show a bar; None: in a notebook only.
        on_progress: is called with a `Progress` after each unit of work.
        options: those of `clippan adapt`.

    Returns:
        What was learned, from what, and how good it is on held-out scenes.

    Raises:
        ClippanError: one of its children; the output is then as it was before.

    Example:
        clippan.adapt("archive/", "sensor.safetensors", steps=2000)
        clippan.sharpen("ms.tif", "pan.tif", "hrms.tif", weights="sensor.safetensors", steps=0)
    """
    from clippan_cli.products.finding import find_scenes as find
    from clippan_cli.tasks.adapt import adapt_archive
    from clippan_cli.training.page import check_adapt_report, write_adapt_report

    folder, read, chosen = Path(archive), read_options(options), archive_options(Path(output), options)
    report = path_or_none(options.get("report"))
    with running(progress, on_progress) as control:
        table = find(folder, read.pair.trust, control)
        if report is not None:
            check_adapt_report(report, folder, table, chosen)
        result = adapt_archive(table, read, chosen, control)
        if report is not None:
            write_adapt_report(report, folder, table, result, chosen, control)
        return result


@verb
def batch(
    pairs: File,
    output: File,
    *,
    progress: bool | None = None,
    on_progress: OnProgress | None = None,
    **options: Unpack[BatchFlags],
) -> BatchResult:
    """Sharpen many pairs, each as `sharpen` does with the same options.

    A scene that is finished is not made again, unless its inputs, the options or the version have changed.

    Args:
        pairs: a folder with rasters, a CSV file with ms,pan[,id], or the JSON of STAC.
        output: the folder for the results.
        progress: show a bar; None: in a notebook only.
        on_progress: is called with a `Progress` after each unit of work.
        options: those of `clippan batch`.

    Returns:
        What became of each scene. Those that failed are in `failed`; they stop no other.

    Raises:
        ClippanError: what would fail for every scene.

    Example:
        result = clippan.batch("archive/", "sharp/", method="gsa")
        print(len(result.scenes), [scene.record.error for scene in result.failed])
    """
    from clippan_cli.products.finding import find_scenes as find
    from clippan_cli.tasks.batch_report import batch_with_report

    folder, read, report = Path(output), read_options(options), path_or_none(options.get("report"))
    chosen, sharpening = batch_options(folder, options), batch_sharpening(folder, options)
    with running(progress, on_progress) as control:
        table = find(Path(pairs), read.pair.trust, control)
        return batch_with_report(table, read, sharpening, chosen, report, control)


@verb
def bench(
    suite: File,
    output: File,
    *,
    progress: bool | None = None,
    on_progress: OnProgress | None = None,
    **options: Unpack[BenchFlags],
) -> BenchResult:
    """Compare methods: run each on every scene of a suite, and write tables and a page.

    A suite that was interrupted continues; a run is made again only if its inputs, its options or the version have
    changed.

    Args:
        suite: a TOML file with scenes, methods and indices.
        output: the folder for images, figures, tables and the page.
        progress: show a bar; None: in a notebook only.
        on_progress: is called with a `Progress` after each unit of work.
        options: those of `clippan bench`.

    Returns:
        The figures of all runs. Those that failed are in `failed`; they stop no other.

    Raises:
        ClippanError: the suite has a mistake, or the folder cannot be written.

    Example:
        result = clippan.bench("suite.toml", "bench/")
        print([(row.scene, row.method, row.metrics["QNR"]) for row in result.rows if not row.error])
    """
    from clippan_cli.bench.task import bench as run

    chosen = filled(BenchFlags, options)
    with running(progress, on_progress) as control:
        return run(
            Path(suite),
            Path(output),
            path_or_none(chosen["results"]),
            retry_failed=chosen["retry_failed"],
            scheduler=chosen["scheduler"],
            compute=options,
            control=control,
        )


@verb
def find_pairs(archive: File, **options: Unpack[FileFlags]) -> PairTable:
    """The pairs of MS and PAN that `batch` and `adapt` would take of an archive.

    Args:
        archive: a folder with rasters, a CSV file with ms,pan[,id], or the JSON of STAC.
        options: what may be opened.

    Returns:
        The pairs, and why other files are in none.

    Raises:
        InputError: there is no pair.

    Example:
        for pair in clippan.find_pairs("archive/").pairs:
            print(pair.id, pair.ms, pair.pan, pair.reason)
    """
    from clippan_cli.products.finding import find_scenes as find

    with running(False, None) as control:
        return find(Path(archive), trust(options), control)


@verb
def info(ms: File | Sequence[File], pan: File | Sequence[File], **options: Unpack[InfoFlags]) -> PairInfo:
    """Look at a pair: grids, overlap, nodata, sensor, and the shift of each band.

    Args:
        ms: the multispectral raster, several rasters on one grid in band order, or the tiles of one image.
        pan: the panchromatic raster, or its tiles.
        options: those of `clippan info`.

    Returns:
        What the pair is, and what `sharpen` would do with it.

    Raises:
        ClippanError: files that cannot be read or do not belong together.

    Example:
        pair = clippan.info("ms.tif", "pan.tif")
        print(pair.ratio, pair.shifts, pair.advice)
    """
    from clippan_cli.tasks import info as task

    with running(False, None) as control:
        return task.info(_pair(ms, pan), read_options(options), control)


def _pair(ms: File | Sequence[File], pan: File | Sequence[File]) -> SceneFiles:
    first, *others = _names(pan)
    return SceneFiles(_names(ms), first, pan_tiles=tuple(others))


def _names(files: File | Sequence[File]) -> tuple[str, ...]:
    """Names of one file or of several."""
    return tuple(os.fspath(file) for file in ([files] if isinstance(files, str | os.PathLike) else files))
