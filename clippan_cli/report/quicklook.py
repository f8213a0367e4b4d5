"""The quicklook: PAN, MS and result side by side, the whole scene above and the part with most detail at 1:1 below."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from clippan_cli.rasters.source import RasterSource, Values, open_source
from clippan_cli.report.painting import PAGE_GAMMA, PAGE_PERCENTILES, Stretch, as_floats, ms_picture, pan_picture
from clippan_cli.report.sheet import Panel, draw_sheet
from clippan_cli.running.control import Control
from clippan_cli.scene.band_roles import band_roles
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, open_scene
from clippan_models.contracts import Window
from clippan_models.errors import OutputError
from clippan_models.store.files import written_whole

_PANEL = 512  # pixels: width of one panel
_CROP = 256  # result pixels shown at 1:1, magnified twice


def write_quicklook(path: Path, files: SceneFiles, read: ReadOptions, fused_name: Path) -> Path:
    """Draw the quicklook of a fused scene as a PNG, each picture with its caption.

    MS and result share one stretch, that of MS on pages; PAN has its own. Pixels without data are black.

    Raises:
        OutputError: the picture cannot be written.
    """
    with ExitStack() as stack:
        scene = open_scene(files, read, Control(), stack)
        fused = open_source([str(fused_name)], "fused", scene.options.pair.trust, stack)
        picture = _draw(scene, fused)
    return write_picture(path, picture)


def write_picture(path: Path, picture: Image.Image) -> Path:
    """Write a PNG beside its target, then rename it.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with written_whole(path) as partial:
            picture.save(partial, format="PNG")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _draw(scene: Scene, fused: RasterSource) -> Image.Image:
    rgb = band_roles(fused, scene.sensor).rgb
    whole = Window(0, 0, fused.height, fused.width)
    overview = _views(scene, fused, rgb, whole)
    part = _most_detailed(overview[0], whole)
    stretches = [Stretch.between(PAGE_PERCENTILES, view, PAGE_GAMMA) for view in overview[:2]]
    rows = [(whole, overview), (part, _views(scene, fused, rgb, part))]
    return draw_sheet([_panels(scene, window, views, stretches) for window, views in rows])


def _panels(scene: Scene, window: Window, views: Sequence[Values], stretches: Sequence[Stretch]) -> list[Panel]:
    pan, ms = stretches
    sampling = scene.nominal.sampling
    in_ms = (max(1, round(window.width / sampling.ratio_x)), max(1, round(window.height / sampling.ratio_y)))
    in_pan = (window.width, window.height)
    shown = (("PAN", in_pan, pan), ("MS", in_ms, ms), ("result", in_pan, ms))
    return [
        Panel(f"{name}, {columns} x {rows} pixels", stretch.paint(view))
        for (name, (columns, rows), stretch), view in zip(shown, views, strict=True)
    ]


def _views(
    scene: Scene, fused: RasterSource, rgb: tuple[int, int, int], window: Window
) -> tuple[Values, Values, Values]:
    """PAN, MS and result in a window of the result, each `[1 or 3, h, _PANEL]` with NaN where invalid."""
    shape = (max(1, round(window.height * (_PANEL / window.width))), _PANEL)
    on_pan = Window(scene.window.row + window.row, scene.window.col + window.col, window.height, window.width)
    ms = scene.pair.ms
    ms_bands = [ms.bands[b] for b in rgb] if ms.count == fused.count else ms.bands[:1] * 3
    return (
        pan_picture(scene, on_pan, shape),
        ms_picture(scene, on_pan, shape, ms_bands),
        fused.picture([fused.bands[b] for b in rgb], as_floats(window), shape),
    )


def _most_detailed(pan: Values, whole: Window) -> Window:
    """The square of the result with the most PAN detail, found on the small picture."""
    side = min(_CROP, whole.height, whole.width)
    scale = pan.shape[2] / whole.width
    step = max(1, int(side * scale))
    best, place = -1.0, (0, 0)
    for row in range(0, max(1, pan.shape[1] - step + 1), max(1, step // 2)):
        for col in range(0, max(1, pan.shape[2] - step + 1), max(1, step // 2)):
            block = pan[0, row : row + step, col : col + step]
            detail = float(np.nanstd(np.diff(block, axis=0))) if np.isfinite(block).mean() > 0.9 else -1.0
            if detail > best:
                best, place = detail, (row, col)
    row, col = min(int(place[0] / scale), whole.height - side), min(int(place[1] / scale), whole.width - side)
    return Window(row, col, side, side)
