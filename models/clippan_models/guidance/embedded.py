"""The architecture of the embedded CLIP: small, and looking at pixels as they are.

ViT-B-32 sees a patch of a scene resized to 224 pixels in squares of 32, and was not trained to tell whether an image is
blurred. This one sees 64 x 64 pixels at their native resolution in squares of 8. Most of its parameters are the word
embeddings of open_clip's tokenizer, which it keeps so that any prompt can be encoded.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from clippan_models.guidance.backend import import_open_clip

SIDE = 64
"""Pixels a side of the crops it looks at."""

TRUTH_DIRECTION = 0.01
"""Direction loss below which it is taken to tell no difference. That of true images is 0.003 to 0.05 on twelve scenes,
median 0.015; with 0.02 instead, `clippan` gains 0.046 dB on one scene and loses up to 0.035 dB on three."""

CONFIG: dict[str, Any] = {
    "embed_dim": 192,
    "vision_cfg": {"image_size": SIDE, "patch_size": 8, "width": 192, "head_width": 48, "layers": 6, "mlp_ratio": 4.0},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
}
"""A model configuration of open_clip: 9.7 million parameters, 6.3 of them word embeddings."""


def build_embedded() -> nn.Module:
    """The model with random weights from torch's generator."""
    model: nn.Module = import_open_clip().model.CLIP(**CONFIG)
    return model


def embedded_tokenizer() -> Any:
    """open_clip's tokenizer, for texts of the context length of this model: `list[str] -> [N, 32]`."""
    return import_open_clip().tokenizer.SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])
