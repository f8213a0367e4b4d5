"""Runs in the Python of QGIS: what a project can do that qgis_process cannot.

    python3 in_qgis.py TEST FOLDER

Prints one JSON document. FOLDER has ms.tif and pan.tif.
"""

import json
import os
import sys
from pathlib import Path

from qgis.core import (
    NULL,
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QEventLoop

PROFILE = os.path.join(os.environ["QGIS_CUSTOM_CONFIG_PATH"], "profiles", "default", "")
QgsApplication.setPrefixPath("/usr", True)
application = QgsApplication([], False, PROFILE)
application.initQgis()
sys.path += [os.path.join(QgsApplication.pkgDataPath(), "python", "plugins"), PROFILE + "python/plugins"]

from processing.core.Processing import Processing  # noqa: E402
from processing.core.ProcessingConfig import ProcessingConfig  # noqa: E402

Processing.initialize()

import clippan_qgis  # noqa: E402

plugin = clippan_qgis.classFactory(None)
plugin.initProcessing()


class Feedback(QgsProcessingFeedback):
    """Remembers errors, and may cancel as soon as clippan has said something of the pair."""

    def __init__(self, cancels=False):
        super().__init__(False)
        self.cancels, self.errors = cancels, []

    def pushInfo(self, info):
        if self.cancels:
            self.cancel()

    def reportError(self, error, fatalError=False):
        self.errors.append(error)


def run(parameters, cancels=False):
    """Sharpen in the background, as the dialog does, and tell how it ended."""
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("clippan:sharpen")
    allowed, why = algorithm.canExecute()
    if not allowed:
        return {"refused": why}
    context, feedback = QgsProcessingContext(), Feedback(cancels)
    context.setProject(QgsProject.instance())
    task, loop, ended = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback), QEventLoop(), [{}]
    task.executed.connect(lambda succeeded, results: (ended.append(results), loop.quit()))
    if not task.isCanceled():  # as it is where the parameters cannot be read
        QgsApplication.taskManager().addTask(task)
        loop.exec_()
    loaded = [details.name for details in context.layersToLoadOnCompletion().values()]
    return {"results": ended[-1], "errors": feedback.errors, "canceled": feedback.isCanceled(), "loaded": loaded}


def layer(*arguments):
    """A raster layer of the project."""
    made = QgsRasterLayer(*arguments)
    assert made.isValid()
    QgsProject.instance().addMapLayer(made)
    return made


def cancel(folder):
    ms, pan = layer(str(folder / "ms.tif"), "ms"), layer(str(folder / "pan.tif"), "pan")
    return run({"MS": ms, "PAN": pan.id(), "METHOD": "gsa", "OUTPUT": str(folder / "out.tif")}, cancels=True)


def remote(folder):
    tiles = layer("type=xyz&url=https://localhost/{z}/{x}/{y}.png&zmax=1&zmin=0", "map", "wms")
    return run({"MS": tiles, "PAN": str(folder / "pan.tif"), "METHOD": "exp", "OUTPUT": str(folder / "out.tif")})


def mask_in_memory(folder):
    pan = layer(str(folder / "pan.tif"), "pan")
    box = pan.extent()
    box.setXMaximum(box.center().x())
    field = QgsVectorLayer(f"Polygon?crs={pan.crs().authid()}", "field", "memory")
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(box))
    field.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(field)
    output = QgsProcessingOutputLayerDefinition(str(folder / "out.tif"), QgsProject.instance())
    names = {"MS": str(folder / "ms.tif"), "PAN": pan, "MASK": field.id(), "OUTPUT": output}
    return run({**names, "METHOD": "exp", "QUALITY": False, "THREADS": NULL})


def setting(folder):
    ProcessingConfig.setSettingValue("CLIPPAN_PATH", str(folder))
    return run({})


print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))), flush=True)
os._exit(0)  # what QGIS does at the end may fail without a screen
