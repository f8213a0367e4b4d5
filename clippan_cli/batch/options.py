"""How to run a batch; free of torch and numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from clippan_cli.rasters.names import address_of
from clippan_cli.writing.path import RASTER_ENDINGS
from clippan_models.errors import UsageError

NAME_FIELDS = ("scene", "method", "ms", "pan")
"""What a template of names can hold: the id of the scene, the method, and the names of the files without endings."""


@dataclass(frozen=True)
class BatchOptions:
    """How to run.

    Attributes:
        folder: where the outputs go.
        workers: processes at once on this machine.
        scheduler: address of a Dask scheduler, whose workers do it instead, or None.
        shard: (i, n), counted from 1: only every n-th scene, beginning with the i-th; the n runs are for n machines.
        retry_failed: try again what failed by the same inputs and parameters.
        ignore_unpaired: files that look like half a pair do not count as failed.
        name_template: what the results are called, with any of `NAME_FIELDS` in braces.
        quicklook: draw each scene, as a PNG named like the result.
        stac: write a STAC item of each scene, named like the result, and a collection of all.
    """

    folder: Path
    workers: int = 1
    scheduler: str | None = None
    shard: tuple[int, int] = (1, 1)
    retry_failed: bool = False
    ignore_unpaired: bool = False
    name_template: str = "{scene}.tif"
    quicklook: bool = False
    stac: bool = False

    def __post_init__(self) -> None:
        if address := address_of(self.folder):
            raise UsageError(
                f"{address} is on an object store, but a batch keeps its images and records in a folder of this "
                f"machine: name one with -o, and copy it when the batch is done, e.g. aws s3 sync DIR {address}"
            )
        if not 1 <= self.workers <= 256:
            raise UsageError(f"{self.workers}: must be 1 to 256", "workers")
        number, count = self.shard
        if not 1 <= number <= count:
            raise UsageError(f"{number}/{count}: must be I/N with I from 1 to N", "shard")
        _check_template(self.name_template)


def _check_template(template: str) -> None:
    def refused(why: str) -> UsageError:
        return UsageError(f"{template}: {why}", "name_template")

    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise refused(f"is no template ({error})") from error
    for _, name, spec, conversion in parts:
        whole = f"{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}"
        if whole not in NAME_FIELDS:
            fields = ", ".join(f"{{{field}}}" for field in NAME_FIELDS)
            raise refused(f"there is no {{{whole}}}; the fields are {fields}")
    if "/" in template or "\\" in template:
        raise refused("must be the name of a file in the folder of the results, without / and \\")
    if not template.lower().endswith(RASTER_ENDINGS):
        raise refused(f"must end with {' or '.join(RASTER_ENDINGS)}")
