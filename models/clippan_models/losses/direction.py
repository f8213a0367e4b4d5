"""Direction loss, `d`: CLIP features move from MS and PAN to the fused image as their prompts do (CLIPPan eq. 6-8).

Where the displacement of an image's features is near zero, its direction means nothing and its gradient grows without
bound; so lengths have a floor. Where a prompt equals that of the fused image there is no direction, and no loss.

CLIP sees three channels. The paper's gradient changes those bands alone, and their colour against the other bands is
lost; here it moves all bands of a pixel together (`through_intensity`).
"""

from __future__ import annotations

import torch
from torch import Tensor

LENGTH_FLOOR = 1e-3
"""Shortest displacement, of unit features, whose direction counts in full; a shorter one counts in proportion."""


def direction_loss(
    out: Tensor, ms: Tensor, pan: Tensor, text_ms: Tensor, text_pan: Tensor, text_hrms: Tensor
) -> Tensor:
    """`1 - (cos(out - ms, text_hrms - text_ms) + cos(out - pan, text_hrms - text_pan)) / 2` of each image.

    Args:
        out: unit features of fused images, `[B, D]`.
        ms: those of the MS they came from.
        pan: those of the PAN.
        text_ms: unit feature of the prompt of MS, `[D]` or one per image `[B, D]`.
        text_pan: that of the prompt of PAN.
        text_hrms: that of the prompt of the fused image.

    Returns:
        `[B]`, from 0 (the same direction) over 1 (no relation) to 2 (the opposite direction). A prompt nearer than
        `LENGTH_FLOOR` to that of the fused image is left out; where both are, the loss is 0 and so is its gradient.
    """
    from_ms, counts_ms = _agreement(out - ms, text_hrms - text_ms)
    from_pan, counts_pan = _agreement(out - pan, text_hrms - text_pan)
    terms = counts_ms + counts_pan
    lost = counts_ms * (1 - from_ms) + counts_pan * (1 - from_pan)
    loss: Tensor = lost / terms.clamp(min=1)
    return loss


def through_intensity(image: Tensor, scale: Tensor) -> Tensor:
    """The same image, whose gradient moves all bands of a pixel by as many of their scales.

    Args:
        image: `[B, C, H, W]`.
        scale: of each band, such as its standard deviation, `[C, 1, 1]`.
    """
    intensity = (image / scale).mean(1, keepdim=True)
    return image.detach() + scale * (intensity - intensity.detach())


def _agreement(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine of displacements, `[B]` within -1 .. 1, and 1 where that of the text has a direction, else 0."""
    # the norm of zero has a subgradient of 0, so that out == ms gives numbers too
    length, text_length = torch.linalg.vector_norm(image, dim=-1), torch.linalg.vector_norm(text, dim=-1)
    cosine = (image * text).sum(-1) / (length.clamp(min=LENGTH_FLOOR) * text_length.clamp(min=LENGTH_FLOOR))
    counts = (text_length > LENGTH_FLOOR).to(cosine.dtype).expand_as(cosine)
    return cosine.clamp(-1, 1), counts
