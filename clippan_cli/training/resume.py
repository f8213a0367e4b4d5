"""The checkpoint of a training that is not finished, and whether it may continue from there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clippan_cli import __version__
from clippan_cli.scene.fingerprint import chosen_clip, digest_of, file_sha256, pixels_of
from clippan_cli.training.members import Member
from clippan_cli.training.options import ArchiveOptions
from clippan_cli.training.session import Session
from clippan_models.adaptation.trainer import Trainer
from clippan_models.errors import InputError, OutputError, shown
from clippan_models.store.snapshot import Progressed, load_snapshot, save_snapshot

_SEPARATOR = "/"


@dataclass(frozen=True)
class _Key:
    """Checksums of all that the weights follow from.

    Attributes:
        options: the files, how they are read, how to learn, and the version.
        scenes: those that could be read; empty until that is known.
    """

    options: str
    scenes: str = ""

    def __str__(self) -> str:
        return f"{self.options}{_SEPARATOR}{self.scenes}"


class CheckpointFile:
    """The file that a training saves to, so that it can be stopped and resumed.

    Attributes:
        found: the checkpoint to continue from, or None.
    """

    def __init__(self, session: Session, members: Sequence[Member]) -> None:
        """Read the file, if the training is to continue from it.

        Raises:
            InputError: the archive or the options have changed, or the processes read different files.
            WeightsError: the file is damaged.
        """
        self._session, self._key = session, _Key(_options_digest(session, members))
        self._found_key = self._key
        self._saved_at = time.monotonic()
        self.found = self._read()
        state = {"key": self._key.options, "step": None if self.found is None else self.found.step}
        if not session.processes.agree(int(digest_of(state)[:15], 16)):
            raise InputError("the processes read different archives or checkpoints: all need the same files")

    def check_scenes(self, names: Sequence[str]) -> None:
        """Refuse to continue where other scenes can be read than before.

        Raises:
            InputError: they differ.
        """
        self._key = replace(self._key, scenes=digest_of({"scenes": list(names)}))
        if self.found is not None and self._found_key.scenes != self._key.scenes and not self._options.force:
            raise InputError(
                f"the scenes that can be read are not those of {shown(self._options.checkpoint)}, but "
                f"{', '.join(names)}: repair the others, or add --force to continue with these, or --overwrite to "
                "start again"
            )

    def save_if_due(self, trainer: Trainer) -> bool:
        """Save, if the last time is long ago; whether it did.

        Raises:
            OutputError: the file cannot be written.
        """
        if time.monotonic() - self._saved_at < self._options.checkpoint_seconds:
            return False
        self.save(trainer)
        return True

    def save(self, trainer: Trainer) -> None:
        """Save all that is needed to continue; of several processes, the first one does.

        Raises:
            OutputError: the file cannot be written.
        """
        self._saved_at = time.monotonic()
        if self._session.processes.rank:
            return
        path = self._options.checkpoint
        try:
            save_snapshot(trainer.checkpoint(), str(self._key), path)
        except OSError as error:
            raise OutputError(f"cannot write {shown(path)}: {error.strerror or error}") from error

    @property
    def _options(self) -> ArchiveOptions:
        return self._session.options

    def _read(self) -> Progressed | None:
        options = self._options
        if not options.resume or not options.checkpoint.exists():
            return None
        found, key = load_snapshot(options.checkpoint)
        self._found_key = _Key(*key.split(_SEPARATOR, 1))
        if self._found_key.options != self._key.options and not options.force:
            raise InputError(
                f"the archive or the options have changed since {shown(options.checkpoint)} was written: restore them, "
                "or add --force to continue with the new ones, or --overwrite to start again"
            )
        return found


def _options_digest(session: Session, members: Sequence[Member]) -> str:
    options = session.options
    used = [options.weights, Path(options.guidance.clip)]
    return digest_of(
        {
            "version": __version__,
            "scenes": [[m.files.id, asdict(m.read), pixels_of(m.files, m.read)] for m in members],
            "adapt": asdict(replace(options.adapt, time_limit=None)),
            "guidance": asdict(options.guidance),
            "clip": chosen_clip(options.guidance.clip),
            "scenes_per_step": session.scenes_per_step,
            "files": [file_sha256(path) for path in used if path is not None and path.is_file()],
        }
    )
