"""From the arguments that name a scene to `SceneFiles` and `ReadOptions`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.scene.files import ReadOptions, SceneFiles


def read_options(
    *,
    pan_band: int | None,
    sensor: str,
    coregister: str,
    assume_aligned: bool,
    allow_vrt: bool,
    allow_remote: bool,
    extent: str = "intersection",
    bbox: str | None = None,
    bbox_crs: str | None = None,
    aoi: Path | None = None,
    seed: int = 0,
) -> ReadOptions:
    """How to read a scene, or each of many.

    Raises:
        UsageError: the arguments contradict each other.
    """
    from clippan_cli.rasters.pair import PairOptions
    from clippan_cli.rasters.source import Trust
    from clippan_cli.scene.files import ReadOptions

    if bbox is not None and aoi is not None:
        raise UsageError("--bbox and --aoi both name a region; give one of them")
    if bbox_crs is not None and bbox is None:
        raise UsageError(f"--bbox-crs {bbox_crs} needs a --bbox")
    return ReadOptions(
        pair=PairOptions(
            trust=Trust(vrt=allow_vrt, remote=allow_remote),
            assume_aligned=assume_aligned,
            pan_band=pan_band,
            extent=cast(Literal["intersection", "pan"], one_of("--extent", extent, ("intersection", "pan"))),
        ),
        bbox=_numbers(bbox) if bbox is not None else None,
        bbox_crs=bbox_crs,
        aoi=aoi,
        sensor=sensor,
        coregister=cast(Literal["auto", "off"], one_of("--coregister", coregister, ("auto", "off"))),
        seed=seed,
    )


def scene_files(files: list[str], ms: list[str] | None, pan: str | None) -> SceneFiles:
    """MS and PAN from two positional arguments, or from --ms and --pan.

    Raises:
        UsageError: neither, or a mixture.
    """
    from clippan_cli.scene.files import SceneFiles

    if files and (ms or pan):
        raise UsageError("name the files either as MS PAN or with --ms and --pan, not both")
    if files:
        if len(files) != 2:
            raise UsageError(f"expected two files, MS then PAN, but got {len(files)}; use --ms for one-band files")
        return SceneFiles((files[0],), files[1])
    if not ms or not pan:
        raise UsageError("name a scene: clippan COMMAND ms.tif pan.tif, or --ms FILE [--ms FILE ...] --pan FILE")
    return SceneFiles(tuple(ms), pan)


def one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    """The value, if it is one of the choices.

    Raises:
        UsageError: it is not.
    """
    if value not in choices:
        raise UsageError(f"{option} {value}: choose {' or '.join(choices)}")
    return value


def _numbers(text: str) -> tuple[float, float, float, float]:
    parts = text.replace(",", " ").split()
    try:
        left, bottom, right, top = (float(p) for p in parts)
    except ValueError as error:
        raise UsageError(f"--bbox {text}: four numbers are needed, left,bottom,right,top") from error
    return left, bottom, right, top
