"""`clippan info`: what a pair is, and what sharpen would do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from clippan_cli.commands.flags import command
from clippan_cli.commands.scene_arguments import Files, MsFiles, PanFiles, found_scene, scene_and_bands
from clippan_cli.console import Terminal
from clippan_cli.options.scene import InfoFlags, read_options

if TYPE_CHECKING:
    from clippan_cli.tasks.info import PairInfo, RasterInfo


@command
def info(
    terminal: Terminal, files: Files = None, ms: MsFiles = None, pan: PanFiles = None, **flags: Unpack[InfoFlags]
) -> None:
    """Look at a pair: grids, overlap, nodata, sensor, and the shift of each band.

    Example: clippan info ms.tif pan.tif
    """
    from clippan_cli.tasks import info as task

    named, bands = scene_and_bands(files, ms, pan)
    read = read_options({**flags, **bands})
    with terminal.running() as control:
        found = task.info(found_scene(named, read.pair.trust, control), read, control)
    if terminal.as_json:
        terminal.json(found.as_json())
    else:
        _show(found, terminal)


def _show(found: PairInfo, terminal: Terminal) -> None:
    terminal.table("pair", ["", "MS", "PAN"], _columns(found.ms, found.pan))
    terminal.say(f"ratio      {found.ratio[0]:.6g} down, {found.ratio[1]:.6g} right")
    terminal.say(f"MS origin  {found.origin[0]:+.3f} down, {found.origin[1]:+.3f} right, in PAN pixels")
    down, right = (sum(shifts) / len(shifts) for shifts in zip(*found.shifts, strict=True))
    terminal.say(f"MS shift   {down:+.2f} down, {right:+.2f} right, in PAN pixels, mean of the bands")
    terminal.say(f"overlap    {found.overlap[0]}x{found.overlap[1]} PAN pixels")
    terminal.say(f"sensor     {found.sensor} ({found.sensor_reason})")
    terminal.say(f"PAN        {found.pan_r2:.1%} of its low-pass is explained by the bands")
    gains = zip(found.shifts, found.correlation, found.mtf_gains, strict=True)
    rows = [[str(b + 1), f"{y:+.2f}", f"{x:+.2f}", f"{c:.2f}", f"{g:.3f}"] for b, ((y, x), c, g) in enumerate(gains)]
    terminal.table(
        "bands against PAN", ["band", "down px", "right px", "correlation", f"MTF gain ({found.mtf_from})"], rows
    )
    terminal.say(found.advice)


def _columns(ms: RasterInfo, pan: RasterInfo) -> list[list[str]]:
    def row(name: str, of: object, other: object) -> list[str]:
        return [name, str(of), str(other)]

    return [
        row("files", ", ".join(ms.files), ", ".join(pan.files)),
        row("format", ms.driver, pan.driver),
        row("size", f"{ms.width}x{ms.height}", f"{pan.width}x{pan.height}"),
        row("bands", ms.bands, pan.bands),
        row("type", ms.dtype, pan.dtype),
        row("nodata", _nodata(ms), _nodata(pan)),
        row("CRS", ms.crs or "none", pan.crs or "none"),
        row("pixel", f"{ms.pixel[0]:g} x {ms.pixel[1]:g}", f"{pan.pixel[0]:g} x {pan.pixel[1]:g}"),
    ]


def _nodata(raster: RasterInfo) -> str:
    values = sorted({f"{n:g}" for n in raster.nodata if n is not None})
    return (
        ", ".join(values) + (" and a mask" if raster.has_mask else "")
        if values
        else "mask"
        if raster.has_mask
        else "none"
    )
