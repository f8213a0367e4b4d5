"""A fused image against its reference, and where the reference lies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from clippan_cli.rasters.tiles import plan_tiles, spread_tiles
from clippan_cli.running.warnings import NOT_ALIGNED, REFERENCE_OFF, RunWarning
from clippan_models.contracts import Window
from clippan_models.measuring.alignment import Moved, find_offset
from clippan_models.measuring.planes import PlaneSource
from clippan_models.measuring.reference import ReferenceScores, score_reference
from clippan_models.measuring.windows import Windows

_WINDOW, _WINDOWS = 256, 24  # side and number of those that tell where the reference lies
_OFF = 0.1  # PAN pixels: from there on, it can hide what methods differ by


@dataclass(frozen=True)
class Compared:
    """What the comparison with a reference finds.

    Attributes:
        scores: the indices.
        offset: PAN pixels that the reference lies down and to the right of the image; None where nothing tells, or
            where it is a pixel or more.
        far: it is a pixel or more.
        aligned: the image was moved there first; None: it was not to be.
    """

    scores: ReferenceScores
    offset: tuple[float, float] | None
    far: bool
    aligned: bool | None

    @property
    def distance(self) -> float:
        """How far the reference lies off along an axis, PAN pixels; infinite where it is a pixel or more."""
        if self.offset is None:
            return math.inf if self.far else 0.0
        return max(map(abs, self.offset))

    @property
    def definition(self) -> dict[str, str]:
        """Where the reference lies, in words."""
        if self.offset is None:
            return {}
        down, right = self.offset
        done = "moved there by Lanczos interpolation" if self.aligned else "compared as it lies"
        return {"reference": f"{down:+.3f} PAN pixels down and {right:+.3f} right of the image, which was {done}"}

    def warnings(self) -> Iterator[RunWarning]:
        """Where the scores mislead."""
        if self.aligned is False:
            yield NOT_ALIGNED.says("no displacement below a pixel was found between the reference and this image")
        elif not self.aligned and self.distance >= _OFF:
            down, right = self.offset or (math.inf, math.inf)
            where = "a PAN pixel or more off" if self.far else f"{down:+.2f} PAN pixels down and {right:+.2f} right of"
            yield REFERENCE_OFF.says(
                f"the reference lies {where} this image: PSNR, SAM and the other indices against it measure that, too"
            )


def compare(
    reference: PlaneSource, fused: PlaneSource, ratio: float, peak: float, windows: Windows, *, align: bool
) -> Compared:
    """Compare an image with its reference.

    Args:
        reference: `(C, H, W)`, DN.
        fused: the same size.
        ratio: PAN pixels per MS pixel.
        peak: the largest possible DN.
        windows: how they are read.
        align: move the image to where the reference lies first, by less than a pixel.

    Raises:
        InputError: the images differ in size, or have no valid pixel in common.
    """
    shape = fused.shape[1:]
    cells = spread_tiles(shape, _WINDOW, _WINDOWS) or plan_tiles(Window(0, 0, *shape), _WINDOW)
    found = find_offset(reference, fused, cells)
    far = found is not None and max(map(abs, found)) >= 1
    offset = None if far else found
    moved = fused if offset is None or not align else Moved(fused, *offset)
    scores = score_reference(reference, moved, ratio, peak, windows)
    return Compared(scores, offset, far, offset is not None if align else None)
