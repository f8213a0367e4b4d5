"""Where the numbers of a page come from: the command, versions, device, times and files."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

import rasterio
import torch

from clippan_cli import __version__
from clippan_cli.pages.content import Facts
from clippan_cli.rasters.metadata import PROVENANCE_DOMAIN
from clippan_cli.rasters.names import public_name
from clippan_cli.rasters.source import RasterSource
from clippan_cli.report.findings import Findings
from clippan_cli.running.compute import choose_device
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_models.store.files import sha256_of

_TAGS = ("METHOD", "VERSION", "SEED", "STEPS", "MTF_GAINS", "WEIGHTS")


def facts_of_run(compute: ComputeOptions, control: Control) -> Facts:
    """The command, the versions, the device, and how long the run took."""
    from_terminal = Path(sys.argv[0]).name.startswith(("clippan", "__main__"))
    return (
        ("command", " ".join(["clippan", *map(public_name, sys.argv[1:])]) if from_terminal else "from Python"),
        ("made", _date(time.time())),
        ("clippan", __version__),
        ("Python, torch", f"{platform.python_version()}, {torch.__version__}"),
        ("rasterio, GDAL", f"{rasterio.__version__}, {rasterio.__gdal_version__}"),
        ("device", f"{choose_device(compute.device)}, {compute.thread_count} threads"),
        ("time", ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in control.seconds.items())),
    )


def facts_of_files(findings: Findings) -> Facts:
    """The sensor, the files of the pair, and the images with the tags that clippan gave them."""
    scene = findings.scene
    facts = [("sensor", f"{scene.sensor.name} ({scene.sensor_reason})")]
    for role, source in (("MS", scene.pair.ms), ("PAN", scene.pair.pan)):
        facts += [(role, _describe(public_name(name), source)) for name in source.names]
    for m in findings.measured:
        image = m.subject.image
        if isinstance(image, RasterSource):
            facts.append(("image", _describe(image.name, image)))
            tags = provenance_tags(image)
            kept = {name: tags[name] for name in tags if name in _TAGS}
            if kept:
                facts.append(("made by", ", ".join(f"{name} {value}" for name, value in kept.items())))
    return tuple(facts)


def provenance_tags(image: object) -> dict[str, str]:
    """The tags that clippan gave a raster; none for an image that is not a file."""
    return dict(image.datasets[0].tags(ns=PROVENANCE_DOMAIN)) if isinstance(image, RasterSource) else {}


def _describe(name: str, source: RasterSource) -> str:
    size = f"{source.width} x {source.height} x {source.count}, {source.dtype}"
    path = Path(name)
    if not path.is_file():
        return f"{name}: {size}"
    status = path.stat()
    return f"{name}: {size}, {status.st_size} bytes, changed {_date(status.st_mtime)}, sha256 {sha256_of(path)}"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
