"""How a training goes, as TensorBoard draws it while it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from clippan_cli.running.extras import needed_by
from clippan_models.adaptation.archive import ArchiveRun
from clippan_models.errors import OutputError, shown

_FLUSH_SECONDS = 10


class TrainingLog:
    """The scalars of a training: `loss` of each step, and `held back/TERM` of each validation."""

    def __init__(self, run: ArchiveRun, writer: Any, on_note: Callable[[str], None]) -> None:
        """Go on where the run is; a writer of None writes nothing."""
        self._run, self._writer, self._on_note = run, writer, on_note
        self._validations = len(run.curve) if run.step else 0  # a run that goes on has written its own

    def add(self, loss: float | None = None) -> None:
        """The last step by its loss, if there was one, and the validations since."""
        with self._given_up_on_failure() as writer:
            if writer is None:
                return
            if loss is not None:
                writer.add_scalar("loss", loss, self._run.step)
            for point in self._run.curve[self._validations :]:
                for name, value in {"total": point.total, **point.parts}.items():
                    writer.add_scalar(f"held back/{name}", value, point.step)
            self._validations = len(self._run.curve)

    def flush(self) -> None:
        """Have all of it in the file."""
        with self._given_up_on_failure() as writer:
            if writer is not None:
                writer.flush()

    def close(self) -> None:
        """Have all of it in the file, and leave it."""
        with self._given_up_on_failure() as writer:
            if writer is not None:
                writer.close()

    @contextmanager
    def _given_up_on_failure(self) -> Iterator[Any]:
        """The writer; a log that cannot be written must not cost the training."""
        try:
            yield self._writer
        except OSError as error:
            self._writer = None
            self._on_note(f"the log of the training ends at step {self._run.step}: {error.strerror or error}")


def check_training_log(folder: Path | None) -> None:
    """See that a log can be written, before there is anything to log.

    Raises:
        UsageError: TensorBoard is not installed.
        OutputError: the folder cannot be made.
    """
    if folder is None:
        return
    with needed_by("--tensorboard", "tensorboard"):
        import torch.utils.tensorboard  # noqa: F401 - only whether it is there
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{shown(folder)} cannot be written: {error.strerror or error}") from error


@contextmanager
def training_log(run: ArchiveRun, folder: Path | None, on_note: Callable[[str], None]) -> Iterator[TrainingLog]:
    """The log of a run in a folder; of several processes, the first one writes."""
    if folder is None or run.processes.rank:
        yield TrainingLog(run, None, on_note)
        return
    from torch.utils.tensorboard import SummaryWriter

    # what an earlier run has logged of the steps to come is not to be shown beside them
    to_come = run.step + 1 if run.step else 0
    log = TrainingLog(run, SummaryWriter(str(folder), purge_step=to_come, flush_secs=_FLUSH_SECONDS), on_note)
    try:
        log.add()
        yield log
        log.add()
    finally:
        log.close()
