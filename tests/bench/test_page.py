"""The charts of the page: can each method be told from the others?"""

from __future__ import annotations

from clippan_cli.pages.charts import draw
from clippan_cli.pages.content import Chart, Line


def test_each_of_many_methods_has_a_colour_and_shape_of_its_own() -> None:
    lines = tuple(Line(f"method {number}", (1.0,), (float(number),)) for number in range(20))
    drawing = draw(Chart("PSNR", "PSNR of each method", "seconds", "PSNR", lines, dots=True))
    assert drawing is not None
    assert len({(stroke.colour, stroke.shape) for stroke in drawing.strokes}) == len(lines)
