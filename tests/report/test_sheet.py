"""Can every caption of a sheet be read, and does every picture stand below its own?"""

from __future__ import annotations

import numpy as np
import pytest

from clippan_cli.report.sheet import CAPTION, Panel, draw_sheet

SIDE = 128


def gray(level: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


@pytest.mark.parametrize("caption", ["MS", "clippan, 35.1 dB", "a caption that is much wider than its picture"])
def test_captions_stand_above_their_pictures(caption: str) -> None:
    drawn = np.asarray(draw_sheet([[Panel("", gray(10)), Panel(caption, gray(20)), Panel("", gray(30))]]))
    places = [slice(k * (SIDE + 8), k * (SIDE + 8) + SIDE) for k in range(3)]
    assert [int(drawn[CAPTION:, place].mean()) for place in places] == [10, 20, 30]
    written = drawn[:CAPTION].min(axis=(0, 2)) < 128
    assert written[places[1]].any() and not written[places[0]].any() and not written[places[2]].any()


def test_rows_may_differ_in_length() -> None:
    drawn = np.asarray(draw_sheet([[Panel("a", gray(10))], [Panel("b", gray(20)), Panel("c", gray(30))]]))
    assert drawn.shape == (2 * (CAPTION + SIDE) + 8, 2 * SIDE + 8, 3)
    assert (drawn[CAPTION : CAPTION + SIDE, SIDE + 8 :] == 255).all()
