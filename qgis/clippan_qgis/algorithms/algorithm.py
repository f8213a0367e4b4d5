"""What all algorithms share: parameters become options, clippan runs, its output becomes results."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Optional

from qgis.core import (
    NULL,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
)
from qgis.PyQt.QtGui import QIcon

from clippan_qgis.arguments import Joined, Repeated, Value, arguments, split
from clippan_qgis.executable import ClippanNotFoundError, environment
from clippan_qgis.layers import file_of
from clippan_qgis.process import ClippanError, run_clippan

EXTRA = "ARGUMENTS"
"""The parameter with arguments that the user has typed."""

Option = tuple[Optional[str], QgsProcessingParameterDefinition]
"""An option of clippan as `arguments` takes it, or None, and the parameter of QGIS that gives its value."""


class ClippanAlgorithm(QgsProcessingAlgorithm):
    """A command of clippan.

    Attributes:
        command: its name.
        fixed: options that it is always given.
        title: what it does, in a few words.
        text: what the dialog says of it, in HTML.
    """

    command: ClassVar[str]
    fixed: ClassVar[tuple[str, ...]] = ()
    title: ClassVar[str]
    text: ClassVar[str]

    def options(self) -> list[Option]:
        """The parameters, in the order of the dialog, with the options that they set."""
        raise NotImplementedError

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        self._options: dict[str, str | None] = {}
        for option, parameter in self.options():
            self._options[parameter.name()] = option
            self.addParameter(parameter)

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Read the inputs; here, because layers belong to the main thread."""
        reader = _Reader(self, parameters, context, feedback)
        inputs = [each.name() for each in self.parameterDefinitions() if not each.isDestination()]
        values = {name: reader.value(name) for name in inputs}
        try:
            self._command_line = [*self.provider().command(), self.command, *self._arguments(values), *self.fixed]
            self._extra = split(str(values[EXTRA] or ""))
        except (ClippanNotFoundError, ValueError) as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run clippan; outputs are read here, where QGIS notes that it has to load them."""
        reader = _Reader(self, parameters, context, feedback)
        outputs = {each.name(): reader.value(each.name()) for each in self.destinationParameterDefinitions()}
        command_line = [*self._command_line, *self._arguments(outputs), *self._extra, "--progress=json"]
        feedback.pushCommandInfo(shlex.join(command_line))
        try:
            text = run_clippan(command_line, environment(os.environ), feedback)
        except ClippanError as error:
            raise QgsProcessingException(str(error)) from error
        if text is None:
            return {}
        results = {name: str(path) for name, path in outputs.items() if path}
        self.finish(text, results)
        return results

    def finish(self, text: str, results: Mapping[str, str]) -> None:
        """Write what clippan itself does not.

        Args:
            text: what clippan wrote on stdout.
            results: paths by the names of their parameters.
        """

    def _arguments(self, values: Mapping[str, Value]) -> list[str]:
        options = ((self._options[name], value) for name, value in values.items())
        return arguments((option, value) for option, value in options if option is not None)

    def canExecute(self) -> tuple[bool, str]:
        """Whether clippan is there; if not, the dialog does not open but says why."""
        try:
            self.provider().command()
        except ClippanNotFoundError as error:
            return False, str(error)
        return True, ""

    def name(self) -> str:
        """Its name in identifiers, `clippan:sharpen`."""
        return self.command

    def displayName(self) -> str:
        """Its name in the toolbox."""
        return self.title

    def shortHelpString(self) -> str:
        """The text beside the parameters."""
        return " ".join(self.text.split())  # QGIS would begin a paragraph at each line break

    def icon(self) -> QIcon:
        """The picture of the provider."""
        return self.provider().icon()

    def createInstance(self) -> ClippanAlgorithm:
        """Another one, as QGIS makes for each run."""
        return type(self)()


class _Reader:
    """Values of parameters, in the form of options."""

    def __init__(
        self,
        algorithm: ClippanAlgorithm,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> None:
        self._algorithm, self._parameters, self._context = algorithm, parameters, context
        self._feedback = feedback

    def value(self, name: str) -> Value:
        """The value of a parameter; None where it is not given.

        Raises:
            QgsProcessingException: a layer is not a file.
        """
        parameter = self._algorithm.parameterDefinition(name)
        given = self._parameters.get(name, parameter.defaultValue())
        if given is None or given == "" or given == NULL:  # NULL comes from expressions and models
            return None
        read: Callable[[str], Value] = getattr(self, f"_{parameter.type()}")
        return read(name)

    def _of(self, name: str) -> tuple[dict[str, Any], str, QgsProcessingContext]:
        return self._parameters, name, self._context

    def _raster(self, name: str) -> str:
        return file_of(self._algorithm.parameterAsRasterLayer(*self._of(name)))

    def _multilayer(self, name: str) -> Repeated:
        return Repeated(tuple(map(file_of, self._algorithm.parameterAsLayerList(*self._of(name)))))

    def _source(self, name: str) -> str:
        return str(
            self._algorithm.parameterAsCompatibleSourceLayerPath(
                *self._of(name), ["geojson"], "geojson", self._feedback
            )
        )

    def _extent(self, name: str) -> Joined | None:
        crs = self._algorithm.parameterAsRasterLayer(*self._of("PAN")).crs()
        box = self._algorithm.parameterAsExtent(*self._of(name), crs)
        if box.isNull():
            return None
        return Joined((box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()))

    def _band(self, name: str) -> Joined:
        return Joined(tuple(self._algorithm.parameterAsInts(*self._of(name))))

    def _enum(self, name: str) -> Joined:
        return Joined(tuple(self._algorithm.parameterAsEnumStrings(*self._of(name))))

    def _number(self, name: str) -> int:
        return int(self._algorithm.parameterAsInt(*self._of(name)))

    def _boolean(self, name: str) -> bool:
        return bool(self._algorithm.parameterAsBool(*self._of(name)))

    def _string(self, name: str) -> str:
        return str(self._algorithm.parameterAsString(*self._of(name)))

    def _file(self, name: str) -> str:
        return str(self._algorithm.parameterAsFile(*self._of(name)))

    def _rasterDestination(self, name: str) -> str:
        return str(self._algorithm.parameterAsOutputLayer(*self._of(name)))

    def _fileDestination(self, name: str) -> str:
        return str(self._algorithm.parameterAsFileOutput(*self._of(name)))

    _folderDestination = _string
