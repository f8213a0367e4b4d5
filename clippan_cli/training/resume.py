"""The checkpoint of a training that is not finished, and whether the training may continue from there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from clippan_cli import __version__
from clippan_cli.scene.fingerprint import chosen_clip, digest_of, file_sha256, pixels_of
from clippan_cli.training.members import Member
from clippan_cli.training.session import Session
from clippan_models.adaptation.trainer import Trainer
from clippan_models.errors import InputError, OutputError, shown
from clippan_models.networks.registry import find_fusing_backbone
from clippan_models.store.training_checkpoint import (
    TrainingCheckpoint,
    load_training_checkpoint,
    save_training_checkpoint,
)

_SEPARATOR = "/"  # in the key of a checkpoint: between the digest of the options and that of the scenes


class CheckpointFile:
    """The file that a training saves to, so that it can be stopped and resumed.

    Attributes:
        found: the checkpoint to continue from, or None.
    """

    def __init__(self, session: Session, members: Sequence[Member]) -> None:
        """Read the file, if the training is to continue from it.

        Raises:
            InputError: the archive or the options have changed, or the processes read different files.
            WeightsError: the file is damaged, or of a training of another network.
        """
        self._session, self._options, self._path = session, session.options, session.options.checkpoint
        self._options_digest, self._scenes_digest = _digest(session, members), ""
        self._saved_at = time.monotonic()
        self.found: TrainingCheckpoint | None = None
        self._found_scenes = ""
        if self._options.resume and self._path.exists():
            adapt = self._options.adapt
            with torch.device("meta"):
                network = find_fusing_backbone(adapt.backbone).build(len(members[0].card.bands))
            self.found, key = load_training_checkpoint(self._path, network, adapt.steps)
            options_digest, _, self._found_scenes = key.partition(_SEPARATOR)
            if options_digest != self._options_digest and not self._options.force:
                raise InputError(
                    f"the archive or the options have changed since {shown(self._path)} was written: restore them, or "
                    "add --force to continue with the new ones, or --overwrite to start again"
                )
        state = {"key": self._options_digest, "step": self.found and self.found.step}
        if not session.processes.agree(int(digest_of(state)[:15], 16)):
            raise InputError("the processes read different archives or checkpoints: all need the same files")

    def check_scenes(self, names: Sequence[str]) -> None:
        """Refuse to continue where other scenes can be read than before.

        Raises:
            InputError: they differ.
        """
        self._scenes_digest = digest_of({"scenes": list(names)})
        if self.found is not None and self._found_scenes != self._scenes_digest and not self._options.force:
            raise InputError(
                f"the scenes that can be read are not those of {shown(self._path)}, but {', '.join(names)}: repair the "
                "others, or add --force to continue with these, or --overwrite to start again"
            )

    def save_if_due(self, trainer: Trainer) -> bool:
        """Save, if the last time is long ago; says whether it did.

        Raises:
            OutputError: the file cannot be written.
        """
        due = time.monotonic() - self._saved_at >= self._options.checkpoint_seconds
        if due:
            self.save(trainer)
        return due

    def save(self, trainer: Trainer) -> None:
        """Save all that is needed to continue; of several processes, the first one does.

        Raises:
            OutputError: the file cannot be written.
        """
        self._saved_at = time.monotonic()
        if self._session.processes.rank:
            return
        key = f"{self._options_digest}{_SEPARATOR}{self._scenes_digest}"
        try:
            save_training_checkpoint(trainer.checkpoint(), key, self._path)
        except OSError as error:
            raise OutputError(f"cannot write {shown(self._path)}: {error.strerror or error}") from error


def _digest(session: Session, members: Sequence[Member]) -> str:
    """Of all that the weights follow from: the files, how they are read, how to learn, and the version."""
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
