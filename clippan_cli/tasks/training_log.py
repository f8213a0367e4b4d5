"""How a training goes, as TensorBoard draws it while it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clippan_cli.rasters.output_path import shown
from clippan_cli.tasks.extras import needed_by
from clippan_models.adaptation.archive import ArchiveRun
from clippan_models.errors import OutputError

_FLUSH_SECONDS = 10


class TrainingLog:
    """The scalars of a training: `loss` of each step, and `held back/TERM` of each validation."""

    def __init__(self, run: ArchiveRun, writer: Any) -> None:
        """Go on where the run is; a writer of None writes nothing."""
        self._run, self._writer = run, writer
        self._validations = len(run.curve) if run.step else 0  # a run that goes on has written its own

    def add(self, loss: float | None = None) -> None:
        """The last step by its loss, if there was one, and the validations since."""
        if self._writer is None:
            return
        if loss is not None:
            self._writer.add_scalar("loss", loss, self._run.step)
        for point in self._run.curve[self._validations :]:
            for name, value in {"total": point.total, **point.parts}.items():
                self._writer.add_scalar(f"held back/{name}", value, point.step)
        self._validations = len(self._run.curve)

    def flush(self) -> None:
        """Have all of it in the file."""
        if self._writer is not None:
            self._writer.flush()


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
    except OSError as error:
        raise OutputError(f"{shown(folder)} cannot be made: {error.strerror or error}") from error


@contextmanager
def training_log(run: ArchiveRun, folder: Path | None) -> Iterator[TrainingLog]:
    """The log of a run in a folder; of several processes, the first one writes."""
    if folder is None or run.processes.rank:
        yield TrainingLog(run, None)
        return
    from torch.utils.tensorboard import SummaryWriter

    # what an earlier run has logged of the steps to come is not to be shown beside them
    to_come = run.step + 1 if run.step else 0
    with SummaryWriter(str(folder), purge_step=to_come, flush_secs=_FLUSH_SECONDS) as writer:
        log = TrainingLog(run, writer)
        log.add()
        yield log
        log.add()
