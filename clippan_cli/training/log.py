"""The course of a training, for TensorBoard to draw while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from clippan_cli.running.extras import needed_by
from clippan_cli.writing.path import make_folder
from clippan_models.adaptation.trainer import Trainer
from clippan_models.errors import OutputError, shown

_FLUSH_SECONDS = 10


class TrainingLog:
    """The scalars of a training: `loss` of each step, and `held-out/TERM` of each validation."""

    def __init__(self, trainer: Trainer, writer: Any, on_note: Callable[[str], None]) -> None:
        """Continue where the training is; a writer of None writes nothing."""
        self._trainer, self._writer, self._on_note = trainer, writer, on_note
        self._validations = len(trainer.curve) if trainer.step else 0  # those of a resumed training are there

    def add(self, loss: float | None = None) -> None:
        """Add the loss of the last step, if there was one, and the validations since."""
        if self._writer is None:
            return
        with self._given_up_on_failure():
            if loss is not None:
                self._writer.add_scalar("loss", loss, self._trainer.step)
            for point in self._trainer.curve[self._validations :]:
                for name, value in {"total": point.total, **point.parts}.items():
                    self._writer.add_scalar(f"held-out/{name}", value, point.step)
            self._validations = len(self._trainer.curve)

    def flush(self) -> None:
        """Write all of it to the file."""
        if self._writer is not None:
            with self._given_up_on_failure():
                self._writer.flush()

    def close(self) -> None:
        """Write all of it to the file, and close it."""
        if self._writer is not None:
            with self._given_up_on_failure():
                self._writer.close()

    @contextmanager
    def _given_up_on_failure(self) -> Iterator[None]:
        """A log that cannot be written must not end the training."""
        try:
            yield
        except OSError as error:
            self._writer = None
            self._on_note(f"the TensorBoard log ends at step {self._trainer.step}: {error.strerror or error}")


def check_training_log(folder: Path | None) -> None:
    """Check that a log can be written, before the work.

    Raises:
        UsageError: TensorBoard is not installed.
        OutputError: the folder cannot be made.
    """
    if folder is None:
        return
    with needed_by("--tensorboard", "tensorboard"):
        import torch.utils.tensorboard  # noqa: F401 - only whether it is there
    make_folder(folder)
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{shown(folder)} cannot be written: {error.strerror or error}") from error


@contextmanager
def training_log(trainer: Trainer, folder: Path | None, on_note: Callable[[str], None]) -> Iterator[TrainingLog]:
    """Write the log of a training to a folder; of several processes, the first one does."""
    if folder is None or trainer.processes.rank:
        yield TrainingLog(trainer, None, on_note)
        return
    from torch.utils.tensorboard import SummaryWriter

    # what an earlier training has logged of later steps must not be shown beside them
    next_step = trainer.step + 1 if trainer.step else 0
    log = TrainingLog(trainer, SummaryWriter(str(folder), purge_step=next_step, flush_secs=_FLUSH_SECONDS), on_note)
    try:
        log.add()
        yield log
        log.add()
    finally:
        log.close()
