"""What the workers of a cluster must have in common with this machine; else they would make something else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from clippan_cli import __version__
from clippan_cli.batch.record import FOLDER
from clippan_cli.running.compute import choose_device
from clippan_cli.scene.fingerprint import chosen_clip
from clippan_cli.sharpening.options import SharpenOptions
from clippan_models.errors import ClippanError, OutputError
from clippan_models.methods.registry import find_method


@dataclass(frozen=True)
class Requirements:
    """What a worker must have.

    Attributes:
        version: of clippan.
        clip_name: as the user gave it; None where the method knows no language.
        clip: the CLIP that this name stands for.
        device: that must be there.
        mark: a file in the folder of the results.
    """

    version: str
    clip_name: str | None
    clip: str
    device: str
    mark: str

    def objection(self) -> str:
        """What speaks against the worker in which this runs, to be read after "the worker"; empty: nothing."""
        mark = Path(self.mark)
        if __version__ != self.version:
            return f"has clippan {__version__} but this machine has {self.version}: the results would differ"
        if not mark.is_file():
            return f"does not see {mark.parents[1]} as this machine does: all machines must see the same paths"
        clip = _clip(self.clip_name)
        if clip != self.clip:
            return f"would use the CLIP {clip} but this machine uses {self.clip}: choose one with --clip"
        try:
            choose_device(self.device)
        except ClippanError as error:
            return f"says: {error}"
        return ""


@contextmanager
def requirements_of(sharpening: SharpenOptions, output: Path) -> Iterator[Requirements]:
    """What workers need that sharpen into a folder; there is a mark in it meanwhile.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = output / FOLDER
    name = sharpening.guidance.clip if find_method(sharpening.method).language else None
    try:
        folder.mkdir(exist_ok=True)
        mark = NamedTemporaryFile(prefix=".cluster-", dir=folder.absolute())
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    with mark:
        yield Requirements(__version__, name, _clip(name), sharpening.compute.device, mark.name)


def _clip(name: str | None) -> str:
    return "" if name is None else chosen_clip(name)
