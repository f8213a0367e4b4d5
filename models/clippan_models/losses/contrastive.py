"""The losses of stage I, which adapts CLIP to pansharpening: `inter`, `intra` and `fusion` (CLIPPan eq. 1-5).

They differ from the paper, whose equations do not work as printed. N equal prompts in a batch make the softmax of eq. 2
log N whatever the features are; here the prompts of the other types are the negatives. Indices in eq. 3 are
inconsistent; here images of one scene are positives and those of other scenes negatives. Targets of eq. 5 would follow
what is fitted to them; here no gradient flows into them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def inter_modal_loss(images: Tensor, texts: Tensor, temperature: float = 0.07) -> Tensor:
    """InterMCL (eq. 2): an image is nearest to the prompt of its type, and a prompt to the images of its type.

    Args:
        images: unit features of T types of B scenes, `[T, B, D]`.
        texts: unit features of the prompts of the types, `[T, D]`.
        temperature: tau_c.

    Returns:
        0 when types are told apart, ln T when features do not depend on the type.
    """
    types, scenes = images.shape[:2]
    similarity = images @ texts.T / temperature  # [T, B, T']
    own = torch.diagonal(similarity, dim1=0, dim2=2)  # [B, T]
    image_to_text = (torch.logsumexp(similarity, dim=2) - own.T).mean()
    over_images = torch.logsumexp(similarity.reshape(types * scenes, types), dim=0)  # [T']
    # each prompt has B positives, so the softmax over all images cannot fall below log B
    text_to_image = (over_images - own).mean() - math.log(scenes)
    return 0.5 * (image_to_text + text_to_image)


def intra_modal_loss(images: Tensor, temperature: float = 0.1) -> Tensor:
    """IntraMCL (eq. 3): images of one scene are near each other whatever their type, those of other scenes far.

    Args:
        images: unit features of T types of B scenes that do not overlap, `[T, B, D]`; T and B at least 2.
        temperature: tau_i.

    Returns:
        0 when scenes are told apart, ln(1 + T (B - 1)) when all similarities are equal.
    """
    types, scenes = images.shape[:2]
    if types < 2 or scenes < 2:
        raise ValueError(f"needs two types of two scenes, not {types} of {scenes}")
    flat = images.flatten(0, 1)
    similarity = flat @ flat.T / temperature
    scene = torch.arange(scenes, device=images.device).repeat(types)
    same_scene = scene[:, None] == scene[None, :]
    negatives = torch.logsumexp(similarity.masked_fill(same_scene, -math.inf), dim=1)
    # an image is not its own positive, and neither positive is a negative of the other
    positive = same_scene & ~torch.eye(types * scenes, dtype=torch.bool, device=images.device)
    return functional.softplus(negatives[:, None] - similarity)[positive].mean()


def fusion_loss(fused_images: Tensor, hrms: Tensor, fused_text: Tensor, text_hrms: Tensor) -> Tensor:
    """Fusion-aware alignment (eq. 5): what is fused of MS and PAN features is the feature of the fused image.

    The sum over D of absolute differences is divided by sqrt(D), which makes it of the order of 1 for any D.

    Args:
        fused_images: unit features, `[B, D]`.
        hrms: those they should be; no gradient flows into them.
        fused_text: unit feature, `[D]`.
        text_hrms: the one it should be; no gradient flows into it.
    """
    scale = math.sqrt(hrms.shape[-1])
    image = (fused_images - hrms.detach()).abs().sum(-1).mean()
    text = (fused_text - text_hrms.detach()).abs().sum(-1).mean()
    return (image + text) / scale
