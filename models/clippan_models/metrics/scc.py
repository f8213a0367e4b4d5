"""Spatial correlation coefficient, SCC, of the edges of two images (Zhou, Civco & Silander 1998; toolbox form)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from clippan_models.ops.toolbox import correlate_axis


def scc(reference: Tensor, fused: Tensor) -> float:
    """Cosine between the Sobel magnitudes of the two images, all bands and pixels together.

    As in the toolbox, a ring of one pixel is cut off and what then lies beyond the border counts as 0, so that the
    border itself becomes an edge.

    Args:
        reference: `[C, H, W]`, any unit. No nodata.
        fused: `[C, H, W]`; its scale does not matter.

    Returns:
        In [0, 1]; 1 is ideal, and also the value of two images without any edge.
    """
    x, y = _edges(reference), _edges(fused)
    norms = torch.sqrt((x * x).sum() * (y * y).sum())
    if norms > 0:
        return float((x * y).sum() / norms)
    return 1.0 if torch.equal(x, y) else 0.0


def edge_magnitude(image: Tensor) -> Tensor:
    """Sobel magnitude where the operator fits: `[C, H, W]` to `[C, H - 2, W - 2]`, float64."""
    image = image.double()
    down = correlate_axis(correlate_axis(image, (1, 0, -1), -2), (1, 2, 1), -1)
    across = correlate_axis(correlate_axis(image, (1, 2, 1), -2), (1, 0, -1), -1)
    return torch.hypot(down, across)


def _edges(image: Tensor) -> Tensor:
    return edge_magnitude(pad(image.double()[:, 1:-1, 1:-1], (1, 1, 1, 1)))
