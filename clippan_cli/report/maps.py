"""Local maps of the indices: as GeoTIFFs, and small ones for the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from affine import Affine

from clippan_cli.pages.content import Floats, Map, Maps
from clippan_cli.quality.measure import Measured
from clippan_cli.report.findings import Findings
from clippan_cli.scene.scene import Scene
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.path import make_folder
from clippan_cli.writing.writer import SafeWriter
from clippan_models.contracts import Window
from clippan_models.metrics.catalogue import INDICES

_SIDE = 256  # values a side of a map on the page; the GeoTIFFs hold all
_SHOWN = ("QNR", "D_lambda", "D_s", "D_rho")
_STRIP = 512  # values a side that are written at once


def write_maps(scene: Scene, measured: Sequence[Measured], folder: Path, overwrite: bool) -> list[Path]:
    """Write the local maps of every image as GeoTIFFs, NaN where unknown.

    Raises:
        OutputError: they cannot be written.
    """
    make_folder(folder)
    written = []
    stems = _different([Path(m.assessment.path).stem for m in measured])
    for stem, m in zip(stems, measured, strict=True):
        for index in m.maps.names:
            path = folder / f"{stem}_{index}.tif"
            _write_map(path, scene, m, index, overwrite)
            written.append(path)
    return written


def page_maps(findings: Findings) -> tuple[Maps, ...]:
    """The maps of a few indices, each under one colour scale that leaves out outliers; bright is better in all."""
    found = []
    for name in _SHOWN:
        index = INDICES[name]
        images = [_reduced(m.maps.image(name).numpy().astype(np.float64)) for m in findings.drawn]
        known = np.concatenate([image[np.isfinite(image)] for image in images])
        if not known.size:
            continue
        worst = float(np.percentile(known, 2 if index.higher_is_better else 98))
        maps = tuple(Map(label, image, _summary(image)) for label, image in zip(findings.names, images, strict=True))
        found.append(Maps(index, (worst, index.ideal), findings.first.maps.cell_of(name), maps))
    return tuple(found)


def _write_map(path: Path, scene: Scene, measured: Measured, index: str, overwrite: bool) -> None:
    values, cell = measured.maps.image(index).numpy(), measured.maps.cell_of(index)
    bare = scene.pair.pan.grid.transform.is_identity
    grid = OutputGrid(
        width=values.shape[1],
        height=values.shape[0],
        count=1,
        dtype="float32",
        crs=scene.pair.crs,
        transform=Affine.identity() if bare else scene.pair.transform(measured.subject.place) @ Affine.scale(cell),
        nodata=float("nan"),
        mask=False,
        nbits=None,
    )
    with SafeWriter(path, grid, OutputOptions(driver="gtiff", overwrite=overwrite)) as writer:
        for row in range(0, grid.height, _STRIP):
            for col in range(0, grid.width, _STRIP):
                part = values[row : row + _STRIP, col : col + _STRIP]
                writer.write(Window(row, col, *part.shape), part[None])
        writer.commit()


def _different(stems: Sequence[str]) -> list[str]:
    return [stem if stems.count(stem) == 1 else f"{stem}_{n}" for n, stem in enumerate(stems, start=1)]


def _reduced(values: Floats) -> Floats:
    """A map of at most 256 values a side, by means over squares."""
    step = -(-max(values.shape) // _SIDE)
    if step == 1:
        return values
    rows, cols = (-(-size // step) * step for size in values.shape)
    wide = np.full((rows, cols), np.nan)
    wide[: values.shape[0], : values.shape[1]] = values
    parts = wide.reshape(rows // step, step, cols // step, step)
    count = np.isfinite(parts).sum(axis=(1, 3))
    total = np.where(np.isfinite(parts), parts, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _summary(values: Floats) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return "no value is known"
    low, high, mean = (f"{0 if abs(v) < 1e-6 else v:.3g}" for v in (known.min(), known.max(), known.mean()))
    return f"from {low} to {high}, mean {mean}"
