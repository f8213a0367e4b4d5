"""Weights on Hugging Face that clippan knows to the byte."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pin:
    """One file at one commit.

    Attributes:
        revision: the commit of the repository.
        sha256: of the file's bytes, hexadecimal.
    """

    revision: str
    sha256: str


PINNED = {
    # The CLIP of the paper, ViT-B-32:openai: what Hugging Face states of open_clip_model.safetensors at this commit.
    "timm/vit_base_patch32_clip_224.openai": Pin(
        revision="a6f597a30f7b82c51704746581f9a4e41421e878",
        sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
    )
}
"""By repository."""
