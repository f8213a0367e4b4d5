"""`clippan batch` as an algorithm."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
)

from clippan_qgis.algorithms import parameters
from clippan_qgis.algorithms.algorithm import ClippanAlgorithm, Option


class BatchAlgorithm(ClippanAlgorithm):
    """Many pairs, sharpened into one folder."""

    command = "batch"
    title = "Sharpen many pairs"
    text = """<p>Finds the pairs in a folder and its subfolders, or reads them from a CSV file with the columns
<i>ms</i> and <i>pan</i> or from a STAC file, and sharpens each into the folder of the results.</p>
<p>A second run with the same folder sharpens only what is new or has changed, and continues a run that was stopped.</p>
<p>If some scenes fail, the others are complete all the same, and the log says why each has failed.</p>"""

    def options(self) -> list[Option]:
        """The archive, the method, what to do with failures, and where to write."""
        folder = QgsProcessingParameterFile(
            "FOLDER", "Folder with pairs", QgsProcessingParameterFile.Folder, optional=True
        )
        table = QgsProcessingParameterFile(
            "TABLE", "Or a list of pairs", fileFilter="CSV or STAC (*.csv *.json)", optional=True
        )
        unpaired = QgsProcessingParameterBoolean("IGNORE_UNPAIRED", "Ignore files that look like half a pair", False)
        retry = QgsProcessingParameterBoolean("RETRY_FAILED", "Try failed scenes again", False)
        return [
            ("", folder),
            ("", table),
            *parameters.method(),
            ("--ignore-unpaired", unpaired),
            ("--retry-failed", retry),
            *parameters.sensor(),
            ("--workers", parameters.advanced(parameters.whole("WORKERS", "Scenes sharpened at the same time", 1))),
            *parameters.computing(),
            ("--output", QgsProcessingParameterFolderDestination("OUTPUT", "Folder of the results")),
            parameters.report(),
        ]

    def checkParameterValues(self, values: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """Also that the pairs come from one place."""
        given = [name for name in ("FOLDER", "TABLE") if self.parameterAsString(values, name, context)]
        if len(given) != 1:
            return False, "Give a folder with pairs or a list of pairs, one of the two"
        allowed, why = super().checkParameterValues(values, context)
        return bool(allowed), str(why)
