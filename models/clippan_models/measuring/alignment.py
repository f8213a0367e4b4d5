"""How far a reference lies from a fused image, by fractions of a pixel, and the image moved to where it lies.

A fused image lies on PAN. Its reference at reduced resolution is the MS that was delivered, which can lie some tenths
of a pixel off PAN; an error of half a pixel then hides those of the methods.

The displacement is that of Lucas and Kanade, "An iterative image registration technique with an application to stereo
vision", IJCAI 1981, by the gradients of both images, with the filters of Farid and Simoncelli, "Differentiation of
discrete multidimensional signals", IEEE TIP 13(4), 2004.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clippan_models.contracts import INTERPOLATION_RADIUS, Sampling, Window
from clippan_models.measuring.planes import PlaneSource
from clippan_models.measuring.reading import read_padded
from clippan_models.metrics.d_rho import box_sum
from clippan_models.ops.resample import upsample
from clippan_models.ops.toolbox import correlate_axis

_SMOOTH = (0.037659, 0.249153, 0.426375, 0.249153, 0.037659)
_SLOPE = (-0.109604, -0.276691, 0.0, 0.276691, 0.109604)  # in the direction of growing indexes
_REACH = 2
_MARGIN = INTERPOLATION_RADIUS  # pixels around a window that moving by less than a pixel looks at
_ROUNDS = 3  # the first is right to a few hundredths of a pixel


def find_offset(reference: PlaneSource, fused: PlaneSource, windows: Sequence[Window]) -> tuple[float, float] | None:
    """How far the reference lies from a fused image, in pixels down and to the right; None where nothing tells.

    Displacements below a pixel are right to a few hundredths; of others it is certain only that they are larger.

    Args:
        reference: `(C, H, W)`, DN.
        fused: `(C, H, W)`, DN.
        windows: where to look.
    """
    down = right = 0.0
    for _ in range(_ROUNDS):
        more = _offset_left(reference, Moved(fused, down, right) if down or right else fused, windows)
        if more is None:
            return None
        down, right = down + more[0], right + more[1]
        if max(abs(down), abs(right)) >= 1:
            break
    return down, right


class Moved:
    """An image moved by less than a pixel, by Lanczos interpolation (`PlaneSource`).

    What lies within three pixels of its border or of an invalid pixel is invalid.
    """

    def __init__(self, source: PlaneSource, down: float, right: float) -> None:
        """Move an image by so many pixels."""
        self._source, self._down, self._right = source, down, right

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        return self._source.shape

    def read(self, window: Window) -> Tensor:
        """`[C, h, w]`, DN."""
        bands, *size = self.shape
        wide = window.grown(_MARGIN)
        valid = read_padded(self._source.valid, wide, (size[0], size[1]))
        image = read_padded(self._source.read, wide, (size[0], size[1]))
        places = Sampling(1.0, 1.0, (self._down,) * bands, (self._right,) * bands)
        return upsample(torch.where(valid, image, 0.0).float(), wide, window, places)

    def valid(self, window: Window) -> Tensor:
        """`[h, w]` bool."""
        _, *size = self.shape
        around = read_padded(self._source.valid, window.grown(_MARGIN), (size[0], size[1]))
        return box_sum((~around).to(torch.float32), 2 * _MARGIN + 1) == 0


def _offset_left(reference: PlaneSource, fused: PlaneSource, windows: Sequence[Window]) -> tuple[float, float] | None:
    """The least-squares displacement between two images that nearly lie on each other."""
    gram, shared = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for window in windows:
        if min(window.height, window.width) <= 2 * _REACH:
            continue
        valid = reference.valid(window) & fused.valid(window)
        seen = box_sum((~valid).to(torch.float32), 2 * _REACH + 1) == 0
        if not seen.any():
            continue
        truth, image = (torch.where(valid, source.read(window), 0.0).double() for source in (reference, fused))
        difference = _filtered(truth - image, _SMOOTH, _SMOOTH)[:, seen]
        mean = (truth + image) / 2
        slopes = torch.stack([_filtered(mean, _SLOPE, _SMOOTH)[:, seen], _filtered(mean, _SMOOTH, _SLOPE)[:, seen]])
        gram += torch.einsum("ibn,jbn->ij", slopes, slopes).cpu()
        shared += torch.einsum("ibn,bn->i", slopes, difference).cpu()
    if float(torch.linalg.det(gram)) <= 1e-6 * float(gram.trace()) ** 2:  # flat, or stripes of one direction
        return None
    down, right = torch.linalg.solve(gram, -shared).tolist()
    return down, right


def _filtered(image: Tensor, rows: Sequence[float], cols: Sequence[float]) -> Tensor:
    """Filtered along both axes, where the filters fit: `[C, H, W] -> [C, H - 4, W - 4]`."""
    return correlate_axis(correlate_axis(image, rows, -2), cols, -1)
