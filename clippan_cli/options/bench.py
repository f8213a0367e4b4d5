"""How to run a suite."""

from __future__ import annotations

from typing import Annotated, TypedDict

from clippan_cli.options.compute import ComputeFlags
from clippan_cli.options.flags import OptionalPath, Panel

_SUITE = Panel("Suite")


class _SuiteFlags(TypedDict, total=False):
    results: Annotated[
        OptionalPath,
        _SUITE.flag(None, "DIR", "Also score the images that other code has made, named SCENE_METHOD.tif."),
    ]
    scheduler: Annotated[
        str | None,
        _SUITE.flag(None, "tcp://HOST:PORT", "Run on the workers of a Dask cluster, one run at a time on each."),
    ]
    retry_failed: Annotated[bool, _SUITE.flag(False, None, "Try failed runs again.")]


class BenchFlags(_SuiteFlags, ComputeFlags, total=False):
    """The options of `bench`."""
