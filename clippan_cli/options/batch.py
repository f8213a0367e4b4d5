"""How to run over many scenes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from clippan_cli.batch.options import BatchOptions
from clippan_cli.options.compute import ComputeFlags
from clippan_cli.options.flags import BATCH, OUTPUT, OptionalPath, filled
from clippan_cli.options.learning import MethodFlags
from clippan_cli.options.output import EncodingFlags, PixelFlags, QualityFlag, StacFlag
from clippan_cli.options.scene import ReadFlags, RegionFlags, SeedFlag
from clippan_cli.options.sharpen import LearningFlags, sharpen_options
from clippan_cli.sharpening.options import SharpenOptions
from clippan_models.errors import UsageError


class PairsFlags(TypedDict, total=False):
    """Of commands that look for pairs."""

    dry_run: Annotated[bool, BATCH.flag(False, None, "Print the pairs, and why other files are left out, and stop.")]
    pairs_out: Annotated[OptionalPath, BATCH.flag(None, "FILE.csv", "Write the pairs as a CSV file.")]


class _RunFlags(StacFlag, total=False):
    workers: Annotated[
        int | None,
        BATCH.flag(
            None,
            "N",
            f"Scenes sharpened at the same time, each in its own process; {BatchOptions.workers} if not given.",
        ),
    ]
    scheduler: Annotated[
        str | None,
        BATCH.flag(
            BatchOptions.scheduler,
            "tcp://HOST:PORT",
            "Sharpen on the workers of a Dask cluster, one scene at a time on each.",
        ),
    ]
    shard: Annotated[
        str | tuple[int, int],
        BATCH.flag(
            "/".join(map(str, BatchOptions.shard)),
            "I/N",
            "Only every N-th scene, from the I-th on: shares the work among N machines.",
        ),
    ]
    retry_failed: Annotated[bool, BATCH.flag(BatchOptions.retry_failed, None, "Try failed scenes again.")]
    ignore_unpaired: Annotated[
        bool,
        BATCH.flag(
            BatchOptions.ignore_unpaired,
            None,
            "Do not count files as failed that look like half a pair but are in none.",
        ),
    ]
    name_template: Annotated[
        str,
        OUTPUT.flag(
            BatchOptions.name_template,
            "TEMPLATE",
            "Names of the results, with {scene}, {method}, and {ms} and {pan}, the names of the files without endings.",
        ),
    ]
    quicklook: Annotated[
        bool,
        OUTPUT.flag(
            BatchOptions.quicklook, None, "Draw PAN, MS and result of each scene, as a PNG named like the result."
        ),
    ]
    report: Annotated[
        OptionalPath, OUTPUT.flag(None, "FILE.html", "Write a sortable HTML page on the quality of all results.")
    ]


class BatchFlags(
    _RunFlags,
    PixelFlags,
    MethodFlags,
    LearningFlags,
    SeedFlag,
    ReadFlags,
    RegionFlags,
    EncodingFlags,
    QualityFlag,
    ComputeFlags,
    total=False,
):
    """The options of `batch` in Python."""


class BatchCommandFlags(PairsFlags, BatchFlags, total=False):
    """The options of the command `batch`."""


def batch_options(folder: Path, given: Mapping[str, Any]) -> BatchOptions:
    """How to run.

    Raises:
        UsageError: a value that is not possible, or options that contradict each other.
    """
    options = filled(_RunFlags, given)
    workers, scheduler = options["workers"], options["scheduler"]
    if workers is not None and scheduler is not None:
        raise UsageError("--workers is for this machine and --scheduler for a cluster: give one of them")
    usual = BatchOptions.workers if workers is None else workers
    return BatchOptions(
        folder,
        usual,
        scheduler,
        _shard(options["shard"]),
        options["retry_failed"],
        options["ignore_unpaired"],
        options["name_template"],
        options["quicklook"],
        options["stac"],
    )


def batch_sharpening(folder: Path, given: Mapping[str, Any]) -> SharpenOptions:
    """What to make of each scene; where its quicklook and its STAC item go is left to the batch.

    Raises:
        UsageError: a value that is not possible.
        WeightsError: the weights to start from cannot be read.
    """
    return sharpen_options(folder, {**given, "quicklook": None, "stac": False})


def _shard(shard: str | tuple[int, int]) -> tuple[int, int]:
    """The two numbers of I/N."""
    number, count = shard.partition("/")[::2] if isinstance(shard, str) else shard
    try:
        return int(number), int(count)
    except ValueError as error:
        raise UsageError(f"{shard}: must be I/N, e.g. 1/4", "shard") from error
