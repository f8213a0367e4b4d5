"""`clippan info` as an algorithm."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path

from qgis.core import QgsProcessingParameterFileDestination

from clippan_qgis.algorithms import parameters
from clippan_qgis.algorithms.algorithm import ClippanAlgorithm, Option


class InfoAlgorithm(ClippanAlgorithm):
    """What a pair is."""

    command = "info"
    title = "Describe a pair"
    text = """<p>Shows what a pair is and what sharpening would do with it: grids, overlap, nodata, sensor, and how
far each band is shifted from the position that its georeferencing gives.</p>
<p>Run it first on a product that you do not know.</p>"""

    def options(self) -> list[Option]:
        """The pair, and a page for what is said of it."""
        page = QgsProcessingParameterFileDestination("OUTPUT", "Description", "HTML files (*.html)")
        return [
            *parameters.pair(),
            *parameters.more_of_the_pair(),
            *parameters.computing(),
            (None, page),
        ]

    def finish(self, text: str, results: Mapping[str, str]) -> None:
        """A page with the text."""
        page = f'<!doctype html><meta charset="utf-8"><title>clippan info</title><pre>{html.escape(text)}</pre>\n'
        Path(results["OUTPUT"]).write_text(page, encoding="utf-8")
