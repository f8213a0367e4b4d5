"""Pictures side by side in rows, each below its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clippan_cli.pages.content import Pixels

CAPTION = 36  # pixels: height of the line above a picture
_GAP = 8
_FONT, _SMALLEST_FONT = 24, 8  # pixels
_INK, _PAPER = (27, 31, 36), (255, 255, 255)


@dataclass(frozen=True)
class Panel:
    """One picture and its caption."""

    caption: str
    pixels: Pixels


def draw_sheet(rows: Sequence[Sequence[Panel]]) -> Image.Image:
    """Draw rows of panels. A caption that is wider than its picture is written smaller, down to a limit, then cut."""
    widths = [sum(panel.pixels.shape[1] + _GAP for panel in row) - _GAP for row in rows]
    heights = [CAPTION + max(panel.pixels.shape[0] for panel in row) for row in rows]
    sheet = Image.new("RGB", (max(widths), sum(heights) + _GAP * (len(rows) - 1)), _PAPER)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for panel in row:
            width = panel.pixels.shape[1]
            sheet.paste(_caption(panel.caption, width), (left, top))
            sheet.paste(Image.fromarray(np.ascontiguousarray(panel.pixels)), (left, top + CAPTION))
            left += width + _GAP
        top += height + _GAP
    return sheet


def _caption(text: str, width: int) -> Image.Image:
    line = Image.new("RGB", (width, CAPTION), _PAPER)
    ImageDraw.Draw(line).text((2, CAPTION / 2), text, _INK, _fitting_font(text, width), "lm")
    return line


def _fitting_font(text: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for size in range(_FONT, _SMALLEST_FONT, -1):
        if (font := ImageFont.load_default(size)).getlength(text) <= width - 4:
            return font
    return ImageFont.load_default(_SMALLEST_FONT)
