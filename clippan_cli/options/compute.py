"""Where to compute and with how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from clippan_cli.options.flags import COMPUTE, filled
from clippan_cli.running.options import ComputeOptions


class DeviceFlags(TypedDict, total=False):
    """Of every command that computes."""

    device: Annotated[
        str, COMPUTE.flag(ComputeOptions.device, "auto|cpu|cuda[:i]|mps", "Where to compute.", any_case=True)
    ]
    threads: Annotated[
        int | None, COMPUTE.flag(ComputeOptions.threads, "N", "CPU threads; all available ones if not given.", "-j")
    ]


class RamFlag(TypedDict, total=False):
    """Of commands that plan for memory."""

    ram: Annotated[int, COMPUTE.flag(ComputeOptions.ram_mb, "MB", "Memory that the tiles may use.")]


class TileFlag(TypedDict, total=False):
    """Of commands that write in tiles."""

    tile: Annotated[
        int | None,
        COMPUTE.flag(ComputeOptions.tile, "N", "Side of a tile in PAN pixels; planned from --ram if not given."),
    ]


class ComputeFlags(DeviceFlags, RamFlag, TileFlag, total=False):
    """All of them."""


def compute_options(given: Mapping[str, Any]) -> ComputeOptions:
    """Where to compute and with how much.

    Raises:
        UsageError: a number out of range.
    """
    options = filled(ComputeFlags, given)
    return ComputeOptions(options["device"], options["threads"], options["ram"], options["tile"])
