"""The files that a report is written to, and how they are checked and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clippan_cli.writing.path import check_apart, check_output_name, check_output_path
from clippan_models.errors import OutputError
from clippan_models.store.files import written_whole


@dataclass(frozen=True)
class ReportFiles:
    """What to write in addition to the numbers.

    Attributes:
        page: the HTML page, or None.
        maps: folder for the local maps as GeoTIFFs, or None.
        csv: the numbers as CSV, or None.
        points: GeoJSON of points whose spectra the page shows, or None.
        overwrite: replace existing files.
    """

    page: Path | None = None
    maps: Path | None = None
    csv: Path | None = None
    points: Path | None = None
    overwrite: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What will be written."""
        return tuple(str(path) for path in (self.page, self.maps, self.csv) if path is not None)

    def check(self, inputs: list[Path]) -> None:
        """Refuse, before any work, paths that cannot or must not be written.

        Raises:
            OutputError: see `check_output_path`.
        """
        check_apart((self.page, self.csv))
        for path in (self.page, self.csv):
            if path is not None:
                check_output_path(path, inputs, self.overwrite)
        if self.maps is not None:
            check_output_name(self.maps)
            if self.maps.exists() and not self.maps.is_dir():
                raise OutputError(f"{self.maps} is not a folder; the maps are written into a folder")
            if not self.overwrite and self.maps.is_dir() and any(self.maps.glob("*.tif")):
                raise OutputError(f"{self.maps} already contains maps; add --overwrite to replace them")
            if not self.maps.exists() and not self.maps.parent.is_dir():
                raise OutputError(f"the folder {self.maps.parent} does not exist; create it first")


def write_text(path: Path, text: str) -> Path:
    """Write a text file beside its target, then rename it.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with written_whole(path) as partial:
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # names need not be UTF-8
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    return path
