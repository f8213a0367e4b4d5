"""What clippan says while it works, handed on to QGIS. Free of QGIS."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

_BOX = re.compile("[\u2500-\u257f]+")  # Typer draws its messages in boxes
_USAGE = re.compile(r"^Usage: .* for help\.( Error:?)? ")  # and begin with where to find help
_FOLDERS = re.compile(r"\S*[/\\]")  # of a file, whose name says enough
_ERROR = "clippan: "


class Feedback(Protocol):
    """The part of QgsProcessingFeedback that is used here."""

    def setProgress(self, percent: float) -> None: ...

    def setProgressText(self, text: str) -> None: ...

    def pushInfo(self, info: str) -> None: ...

    def pushWarning(self, warning: str) -> None: ...

    def pushDebugInfo(self, info: str) -> None: ...

    def pushConsoleInfo(self, info: str) -> None: ...

    def isCanceled(self) -> bool: ...


class Listener:
    """Reads the lines that `--progress json` writes on stderr.

    The bar of QGIS shows the stage that is counted at the moment, because nobody knows how long the others will take.

    Attributes:
        text: the lines that are not JSON: what went wrong, at the end.
    """

    def __init__(self, feedback: Feedback) -> None:
        """Hand everything on to this feedback."""
        self.text: list[str] = []
        self._feedback = feedback
        self._stage = ""

    def hear(self, line: str) -> None:
        """One line of stderr."""
        document = _document(line)
        if document is None:
            self.text.append(line)
        elif "stage" in document:
            self._show(document)
        elif "fact" in document:
            self._feedback.pushInfo(f"{document['fact']}: {document.get('text', '')}")
        elif "warning" in document:
            self._feedback.pushWarning(str(document["warning"]))
        elif "note" in document:
            self._feedback.pushInfo(str(document["note"]))
        else:
            self._feedback.pushDebugInfo(str(document.get("log", line)))

    def _show(self, document: dict[str, Any]) -> None:
        stage, done, total = _FOLDERS.sub("", document["stage"]), document.get("done"), document.get("total")
        if not total or done is None:
            return
        if stage != self._stage:
            self._stage = stage
            unit = document.get("unit", "")
            self._feedback.setProgressText(stage if unit in ("", "%") else f"{stage}, {total} {unit}")
        self._feedback.setProgress(100 * done / total)

    def error(self, code: int) -> str:
        """Why it failed, in one line."""
        for line in reversed(self.text):
            if line.startswith(_ERROR):
                return line[len(_ERROR) :]
        words = " ".join(_BOX.sub(" ", " ".join(self.text)).split())
        return _USAGE.sub("", words) or f"clippan ended with code {code} and said nothing"


def _document(line: str) -> dict[str, Any] | None:
    """The JSON document in a line."""
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
