"""What a worker of a batch does: sharpen a scene, and remember how it went."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

from clippan_cli.batch.record import Job, Record, may_replace, read_record, write_record
from clippan_cli.running.control import Control
from clippan_cli.scene.fingerprint import file_sha256
from clippan_models.errors import ClippanError, Interrupted, OutputError


@dataclass(frozen=True)
class Task:
    """A job with its key."""

    job: Job
    key: str


def do_task(task: Task, control: Control) -> Record:
    """Sharpen a scene and remember how it went; what fails is told by the record.

    Raises:
        Interrupted: as `control` asked; nothing unfinished is left but a record that says "running".
    """
    from clippan_cli.tasks.sharpen import sharpen

    job, started = task.job, time.monotonic()
    before = read_record(job)
    overwrite = job.options.encoding.overwrite or may_replace(job, before)
    options = replace(job.options, encoding=replace(job.options.encoding, overwrite=overwrite))
    try:
        write_record(job, Record(task.key, "running", ours=overwrite))
        result = sharpen(job.files, job.read, options, control)
        record = Record(
            task.key,
            "done",
            ours=True,
            output_sha256=file_sha256(job.options.output),
            seconds=round(time.monotonic() - started, 2),
            quality=dict(result.quality.metrics) if result.quality else None,
        )
        write_record(job, record)
    except Interrupted:
        raise
    except Exception as error:  # one bad scene must not cost the others
        ours = isinstance(error, ClippanError)
        message = str(error) if ours else f"unexpected {type(error).__name__}: {error}"
        record = Record(
            task.key,
            "failed",
            ours=overwrite,
            error=" ".join(message.split()),
            exit_code=error.exit_code if isinstance(error, ClippanError) else 1,
            seconds=round(time.monotonic() - started, 2),
        )
        with suppress(OutputError):  # where no record can be written, that may be what has failed
            write_record(job, record)
    return record
