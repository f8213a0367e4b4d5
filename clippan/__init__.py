"""Pansharpening from Python: the verbs of the command line as functions, on files or on arrays.

    import clippan

    result = clippan.sharpen("ms.tif", "pan.tif", "hrms.tif", method="gsa")
    sharp = clippan.sharpen_arrays(ms, pan, ratio=4, method="gsa")

Importing it loads neither torch nor rasterio; a function does when it is called. Whatever can go wrong for a reason
that you can act on is a `ClippanError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clippan.calls import ClippanWarning
from clippan.verbs import adapt, assess, assess_many, batch, bench, find_pairs, info, sharpen, sharpen_arrays
from clippan_cli import __version__
from clippan_cli.batch.options import BatchOptions
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.result import Assessment, AssessReport
from clippan_cli.rasters.options import PairOptions, Trust
from clippan_cli.running.control import Progress
from clippan_cli.running.options import ComputeOptions
from clippan_cli.running.warnings import RunWarning
from clippan_cli.scene.files import PairTable, ReadOptions, SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.training.options import ArchiveOptions, ValidationOptions
from clippan_cli.writing.options import OutputOptions
from clippan_models.adaptation.options import AdaptOptions, LossWeights
from clippan_models.errors import (
    BatchError,
    ClippanError,
    IncompatiblePairError,
    InputError,
    OutputError,
    QualityGateError,
    ResourceError,
    StrictError,
    UsageError,
    WeightsError,
)
from clippan_models.guidance.options import GuidanceOptions
from clippan_models.guidance.prompts import Prompts

if TYPE_CHECKING:
    from clippan_cli.bench.result import BenchResult
    from clippan_cli.quality.many_scenes import IndexReport
    from clippan_cli.tasks.batch import BatchResult
    from clippan_cli.tasks.info import PairInfo
    from clippan_cli.tasks.sharpen import SharpenResult
    from clippan_cli.training.result import ArchiveResult

_RESULTS = {  # of modules that load torch
    "ArchiveResult": "clippan_cli.training.result",
    "BatchResult": "clippan_cli.tasks.batch",
    "BenchResult": "clippan_cli.bench.result",
    "IndexReport": "clippan_cli.quality.many_scenes",
    "PairInfo": "clippan_cli.tasks.info",
    "SharpenResult": "clippan_cli.tasks.sharpen",
}

__all__ = [
    "AdaptOptions",
    "ArchiveOptions",
    "ArchiveResult",
    "AssessOptions",
    "AssessReport",
    "Assessment",
    "BatchError",
    "BatchOptions",
    "BatchResult",
    "BenchResult",
    "ClippanError",
    "ClippanWarning",
    "ComputeOptions",
    "GuidanceOptions",
    "IncompatiblePairError",
    "IndexReport",
    "InputError",
    "LossWeights",
    "OutputError",
    "OutputOptions",
    "PairInfo",
    "PairOptions",
    "PairTable",
    "Progress",
    "Prompts",
    "QualityGateError",
    "ReadOptions",
    "ResourceError",
    "RunWarning",
    "SceneFiles",
    "SharpenOptions",
    "SharpenResult",
    "StrictError",
    "Trust",
    "UsageError",
    "ValidationOptions",
    "WeightsError",
    "__version__",
    "adapt",
    "assess",
    "assess_many",
    "batch",
    "bench",
    "find_pairs",
    "info",
    "sharpen",
    "sharpen_arrays",
]


def __getattr__(name: str) -> Any:
    if name in _RESULTS:
        return getattr(import_module(_RESULTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
