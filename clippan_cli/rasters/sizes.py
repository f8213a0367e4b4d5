"""Relate two rasters of which nothing is known but their sizes, and that they begin at the same corner."""

from __future__ import annotations

from affine import Affine

from clippan_cli.rasters.source import RasterSource
from clippan_models.errors import IncompatiblePairError

_MOST_CROPPED = 0.1  # share of the rows or columns of one image that the other may lack


def relate_by_size(ms: RasterSource, pan: RasterSource, why: str) -> tuple[Affine, str]:
    """From pixels of the file of MS to those of PAN, which begins at the same corner, and how that is known.

    Args:
        ms: the multispectral image.
        pan: the panchromatic image.
        why: the same corner is assumed.

    Raises:
        IncompatiblePairError: the axes have no ratio in common.
    """
    pan_size, ms_size = (pan.width, pan.height), (ms.grid.width, ms.grid.height)
    across, down = (n / m for n, m in zip(pan_size, ms_size, strict=True))
    ratio = _shared_ratio(pan_size, ms_size)
    if ratio is None:
        raise IncompatiblePairError(
            f"{pan.name} has {across:.4g} times as many columns as {ms.name}, but {down:.4g} times as many rows: they "
            "do not cover the same extent; crop one to the other, or give both a geotransform"
        )
    note = f"MS and PAN are assumed to begin at the same upper left corner ({why})"
    if (across, down) != (ratio, ratio):
        note += (
            f"; as PAN has {across:.4g} times as many columns and {down:.4g} times as many rows, {ratio:.4g} is taken "
            "as the ratio of both, and what one of them lacks at the right or below is cropped"
        )
    return Affine.scale(ratio), note


def _shared_ratio(pan: tuple[int, int], ms: tuple[int, int]) -> float | None:
    """The ratio of two sizes along both axes; None where they share none.

    Cameras have whole ratios: one that fits an axis to within an MS pixel stands where the other axis was cropped.
    """
    ratios = [n / m for n, m in zip(pan, ms, strict=True)]
    if ratios[0] == ratios[1]:
        return ratios[0]
    for ratio, n, m in zip(ratios, pan, ms, strict=True):
        whole = max(1, round(ratio))
        if abs(n - whole * m) < whole and all(abs(r / whole - 1) < _MOST_CROPPED for r in ratios):
            return float(whole)
    longer = ratios[pan.index(max(pan))]
    only_rounded = all(abs(n - longer * m) <= 1 for n, m in zip(pan, ms, strict=True))
    return longer if only_rounded else None
