"""What the workers of a cluster must have in common with this machine; else they would make something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from clippan_cli import __version__
from clippan_cli.running.compute import choose_device
from clippan_cli.scene.fingerprint import chosen_clip
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.packages import packages_of
from clippan_models.errors import ClippanError, OutputError
from clippan_models.methods.registry import find_method


@dataclass(frozen=True)
class Requirements:
    """What a worker must have.

    Attributes:
        version: of clippan.
        clips: the CLIP that each name stands for that the user gave; none where no method knows language.
        devices: that must be there.
        mark: a file in the folder of the results.
        packages: what is to be made with packages of others, and their versions.
    """

    version: str
    clips: dict[str, str]
    devices: tuple[str, ...]
    mark: str
    packages: tuple[tuple[SharpenOptions, dict[str, str]], ...] = ()

    def objection(self) -> str:
        """What speaks against the worker in which this runs, to be read after "the worker"; empty: nothing."""
        mark = Path(self.mark)
        if __version__ != self.version:
            return f"has clippan {__version__} but this machine has {self.version}: the results would differ"
        if not mark.is_file():
            return f"does not see {mark.parent} as this machine does: all machines must see the same paths"
        for sharpening, versions in self.packages:
            if (found := packages_of(sharpening)) != versions:
                told = (", ".join(each.values()) or "none" for each in (found, versions))
                return "has the package {} but this machine has {}: the results would differ".format(*told)
        for name, ours in self.clips.items():
            if (theirs := chosen_clip(name)) != ours:
                return f"would use the CLIP {theirs} but this machine uses {ours}: choose one with --clip"
        try:
            for device in self.devices:
                choose_device(device)
        except ClippanError as error:
            return f"says: {error}"
        return ""


@contextmanager
def requirements_of(sharpenings: Iterable[SharpenOptions], output: Path) -> Iterator[Requirements]:
    """What workers need that sharpen into a folder; there is a mark in it meanwhile.

    Raises:
        OutputError: the folder cannot be written.
    """
    wanted = list(sharpenings)
    clips = {each.guidance.clip for each in wanted if find_method(each.method).language}
    devices = dict.fromkeys(each.compute.device for each in wanted)
    try:
        mark = NamedTemporaryFile(prefix=".clippan-cluster-", dir=output.absolute())
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}") from error
    with mark:
        yield Requirements(
            __version__,
            {name: chosen_clip(name) for name in clips},
            tuple(devices),
            mark.name,
            tuple((each, versions) for each in wanted if (versions := packages_of(each))),
        )
