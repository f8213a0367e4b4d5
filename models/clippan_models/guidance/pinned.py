"""Weights on Hugging Face that clippan knows to the byte."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pin:
    """One file at one commit.

    Attributes:
        revision: the commit of the repository.
        sha256: of the file's bytes, hexadecimal.
        size: of the file in bytes.
    """

    revision: str
    sha256: str
    size: int


PINNED = {
    # The CLIP of the paper, ViT-B-32:openai: what Hugging Face states of open_clip_model.safetensors at this commit.
    # The size is that of open_clip's 302 tensors in float32 and their header.
    "timm/vit_base_patch32_clip_224.openai": Pin(
        revision="a6f597a30f7b82c51704746581f9a4e41421e878",
        sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
        size=605_143_284,
    )
}
"""By repository."""
