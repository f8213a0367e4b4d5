"""Parameters that several algorithms have."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBand,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from clippan_qgis.algorithms.algorithm import EXTRA, Option
from clippan_qgis.arguments import METHODS, PRESETS


def pair() -> list[Option]:
    """MS and PAN."""
    return [
        ("--ms", QgsProcessingParameterRasterLayer("MS", "Multispectral raster (MS)")),
        ("--pan", QgsProcessingParameterRasterLayer("PAN", "Panchromatic raster (PAN)")),
    ]


def more_of_the_pair() -> list[Option]:
    """What describes a pair further."""
    more = QgsProcessingParameterMultipleLayers(
        "MORE_MS",
        "More MS rasters on the same grid, such as one for each band",
        QgsProcessing.TypeRaster,
        optional=True,
    )
    band = QgsProcessingParameterBand("PAN_BAND", "Band of PAN", parentLayerParameterName="PAN", optional=True)
    return [("--ms", advanced(more)), ("--pan-band", advanced(band)), *sensor()]


def sensor() -> list[Option]:
    """The camera."""
    name = QgsProcessingParameterString("SENSOR", "Sensor (empty: from the files)", optional=True)
    return [("--sensor", advanced(name))]


def method() -> list[Option]:
    """How to sharpen."""
    choice = {"usesStaticStrings": True}
    name = QgsProcessingParameterEnum("METHOD", "Method", METHODS, defaultValue=METHODS[0], **choice)
    preset = QgsProcessingParameterEnum(
        "PRESET", "Time to spend on learning", PRESETS, defaultValue="balanced", **choice
    )
    weights = QgsProcessingParameterFile("WEIGHTS", "Weights to start from", extension="safetensors", optional=True)
    return [
        ("--method", name),
        ("--preset", preset),
        ("--steps", advanced(whole("STEPS", "Steps of learning (empty: those of the preset)", 0))),
        ("--weights", advanced(weights)),
        ("--seed", advanced(whole("SEED", "Seed of all random choices", 0))),
    ]


def computing() -> list[Option]:
    """How to compute, and what has no parameter of its own."""
    extra = QgsProcessingParameterString(EXTRA, "More options, as on the command line", optional=True)
    return [
        ("--threads", advanced(whole("THREADS", "CPU threads (empty: all)", 1))),
        (None, advanced(extra)),
    ]


def report(created: bool = False) -> Option:
    """The page on the quality."""
    page = QgsProcessingParameterFileDestination(
        "REPORT", "Report", "HTML files (*.html)", optional=True, createByDefault=created
    )
    return "--report", page


def whole(name: str, text: str, least: int) -> QgsProcessingParameterNumber:
    """An optional whole number."""
    return QgsProcessingParameterNumber(name, text, QgsProcessingParameterNumber.Integer, optional=True, minValue=least)


def advanced(parameter: Any) -> QgsProcessingParameterDefinition:
    """The parameter, in the part of the dialog that is closed at first."""
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
    return parameter
