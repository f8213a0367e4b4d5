"""Pictures inside a page: arrays as data addresses, and a colour scale that everybody can read."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from clippan_cli.pages.content import Floats, Pixels

_VIRIDIS = (
    (68, 1, 84), (72, 36, 117), (65, 68, 135), (53, 95, 141), (42, 120, 142), (33, 145, 140),
    (34, 168, 132), (68, 191, 112), (122, 209, 81), (189, 223, 38), (253, 231, 37),
)  # fmt: skip


def jpeg(pixels: Pixels, quality: int = 92) -> str:
    """A photograph, `[h, w, 3]`, as a data address, without chroma subsampling."""
    return _address(pixels, "JPEG", quality=quality, subsampling=0)


def png(pixels: Pixels) -> str:
    """A picture, `[h, w, 3 or 4]`, as a data address, without loss."""
    return _address(pixels, "PNG", optimize=True)


def viridis(values: Floats, dark: float, bright: float) -> Pixels:
    """Values as colours, `[h, w, 4]`; NaN is transparent.

    Args:
        values: `[h, w]`.
        dark: the value that is dark blue.
        bright: the value that is yellow, above or below the other.
    """
    share = np.clip((values - dark) / ((bright - dark) or 1.0), 0, 1)
    known = np.isfinite(share)
    stops = np.array(_VIRIDIS, np.float64)
    position = np.where(known, share, 0) * (len(stops) - 1)
    colours = [np.interp(position, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.asarray(np.stack([*colours, np.where(known, 255, 0)], axis=-1) + 0.5, np.uint8)


def viridis_gradient() -> str:
    """The scale itself as stops of a CSS gradient."""
    last = len(_VIRIDIS) - 1
    return ", ".join(f"rgb({r},{g},{b}) {100 * k / last:.0f}%" for k, (r, g, b) in enumerate(_VIRIDIS))


def _address(pixels: Pixels, kind: str, **options: int | bool) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
