"""The Processing provider, and its setting: where clippan is."""

from __future__ import annotations

import os
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from clippan_qgis.algorithms.assess import AssessAlgorithm
from clippan_qgis.algorithms.batch import BatchAlgorithm
from clippan_qgis.algorithms.info import InfoAlgorithm
from clippan_qgis.algorithms.sharpen import SharpenAlgorithm
from clippan_qgis.executable import find_clippan

SETTING = "CLIPPAN_PATH"


class ClippanProvider(QgsProcessingProvider):
    """One algorithm for each command of clippan that works on scenes."""

    def load(self) -> bool:
        """Add the setting and the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        what = "Program clippan, or the Python interpreter of its environment (empty: look on the PATH)"
        ProcessingConfig.addSetting(Setting(self.name(), SETTING, what, "", valuetype=Setting.FILE))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Take the setting away."""
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self) -> None:
        """Add the algorithms."""
        for algorithm in (SharpenAlgorithm, AssessAlgorithm, InfoAlgorithm, BatchAlgorithm):
            self.addAlgorithm(algorithm())

    def command(self) -> list[str]:
        """The beginning of each command line.

        Raises:
            ClippanNotFoundError: there is no clippan.
        """
        return find_clippan(ProcessingConfig.getSetting(SETTING) or "", os.environ)

    def id(self) -> str:
        """Its name in identifiers of algorithms, `clippan:sharpen`."""
        return "clippan"

    def name(self) -> str:
        """Its name for people."""
        return "clippan"

    def icon(self) -> QIcon:
        """Its picture."""
        return QIcon(str(Path(__file__).with_name("icon.svg")))

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """What clippan writes."""
        return ["tif", "tiff"]
