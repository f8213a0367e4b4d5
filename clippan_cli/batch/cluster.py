"""Workers on a Dask cluster.

A scene is sharpened in the process of a Dask worker and not in a child of it: Dask itself starts another worker for one
that dies, and lets the process of a worker have no children. Each worker gets one task at a time, and by its address.
So we know which scene a lost worker had; left to Dask, it would be tried again on other workers without a word, and
the tasks that waited beside it would come under suspicion too.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from clippan_cli import __version__
from clippan_cli.batch.crew import Lost
from clippan_cli.batch.record import FOLDER, Record
from clippan_cli.batch.worker import Task, do_task
from clippan_cli.running.compute import choose_device
from clippan_cli.running.control import Control
from clippan_cli.running.extras import needed_by
from clippan_cli.scene.fingerprint import chosen_clip
from clippan_cli.sharpening.options import SharpenOptions
from clippan_models.errors import ClippanError, Interrupted, OutputError, ResourceError
from clippan_models.guidance.options import GuidanceOptions
from clippan_models.methods.registry import find_method

if TYPE_CHECKING:
    from distributed import Future

_TIMEOUT = 5.0  # seconds for the scheduler to answer
_PATIENCE = 300.0  # seconds without any worker; one that has died is replaced within a few


@dataclass(frozen=True)
class Terms:
    """What a worker must have in common with this machine; else it would make something else, or elsewhere.

    Attributes:
        version: of clippan.
        guidance: of the scenes; None where the method knows no language.
        clip: that it leads to.
        device: that must be there.
        mark: a file in the folder of the results.
    """

    version: str
    guidance: GuidanceOptions | None
    clip: str
    device: str
    mark: str


class ClusterCrew:
    """The workers of a Dask cluster, those that come later too."""

    def __init__(self, address: str, on_note: Callable[[str], None]) -> None:
        """Reach the scheduler; notes tell of workers that do not fit.

        Raises:
            UsageError: Dask is not installed.
            ResourceError: no scheduler answers.
        """
        with needed_by("--scheduler", "cluster"):
            import dask
            from distributed import Client
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what concerns the user, we say
        dask.config.set({"distributed.comm.timeouts.connect": _TIMEOUT})
        try:
            # a client that finds no scheduler complains again when Python ends; so we look before we make one
            found = asyncio.run(_kind(address)) == "Scheduler"
        except Exception as error:  # an address can be wrong, and a server that is no Dask answer, in many ways
            raise ResourceError(f"--scheduler {address}: no Dask scheduler answers there") from error
        if not found:
            raise ResourceError(f"--scheduler {address}: a worker answers there; name its scheduler")
        self._client: Any = Client(address, timeout=_TIMEOUT, set_as_default=False)
        self._address, self._on_note = address, on_note
        self._open = ExitStack()
        self._at_work: dict[str, tuple[Task, Future] | None] = {}
        self._refused: dict[str, str] = {}
        self._news = threading.Event()
        self._seen = time.monotonic()

    def equip(self, sharpening: SharpenOptions) -> SharpenOptions:
        """See that the workers can do it; each uses as many CPU threads as Dask gives to the smallest of them."""
        folder = sharpening.output / FOLDER
        try:
            folder.mkdir(exist_ok=True)
            mark = self._open.enter_context(NamedTemporaryFile(prefix=".cluster-", dir=folder.absolute()))
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
        guidance = sharpening.guidance if find_method(sharpening.method).language else None
        self._terms = Terms(__version__, guidance, _clip(guidance), sharpening.compute.device, mark.name)
        threads = self._look_around()
        if self._refused:
            worker, why = next(iter(self._refused.items()))
            raise ResourceError(f"the worker {worker} {why}")
        if not threads:
            raise ResourceError(f"{self._address} has no workers: start some with dask worker {self._address}")
        compute = sharpening.compute
        return replace(sharpening, compute=replace(compute, threads=compute.threads or min(threads.values())))

    @property
    def free(self) -> int:
        """How many tasks could be started now."""
        return sum(work is None for work in self._at_work.values())

    @property
    def busy(self) -> bool:
        """A task is being done."""
        return bool(self._running)

    def start(self, task: Task) -> None:
        """Have a free worker do a task."""
        worker = next(address for address, work in self._at_work.items() if work is None)
        key = f"{task.job.files.id}-{uuid4().hex}"
        local = replace(task, job=task.job.absolute())
        future = self._client.submit(_do_here, local, key, key=key, workers=[worker], pure=False)
        future.add_done_callback(lambda _: self._news.set())
        self._at_work[worker] = task, future

    def ended(self, seconds: float) -> list[tuple[Task, Record | Lost]]:
        """The tasks that have come to an end."""
        self._news.wait(seconds)
        self._news.clear()
        there = self._look_around()
        if there:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > _PATIENCE:
            raise ResourceError(f"{self._address} has had no workers for {_PATIENCE:.0f} s")
        found: list[tuple[Task, Record | Lost]] = []
        for worker, (task, future) in self._running.items():
            if future.done():
                found.append((task, _outcome(worker, future)))
            elif worker not in there:
                future.cancel()  # or Dask would keep it for a worker of that address
                found.append((task, Lost(f"on {worker} was lost")))
            else:
                continue
            self._at_work[worker] = None
        for worker in self._at_work.keys() - there.keys():
            del self._at_work[worker]
        return found

    def dismiss(self, number: int | None) -> None:
        """Let all go: a worker sees that its task is cancelled, and breaks off."""
        with suppress(OSError, TimeoutError):  # the scheduler may be gone, and its workers with it
            self._client.cancel([future for _, future in self._running.values()])
            self._client.close(timeout=_TIMEOUT)
        self._open.close()

    @property
    def _running(self) -> dict[str, tuple[Task, Future]]:
        return {worker: work for worker, work in self._at_work.items() if work is not None}

    def _look_around(self) -> dict[str, int]:
        """The workers that are there and fit, with their threads; those that are new are asked.

        Raises:
            ResourceError: the scheduler is gone.
        """
        try:
            there: dict[str, int] = self._client.nthreads()
            new = [worker for worker in there if worker not in self._at_work and worker not in self._refused]
            answers = self._client.run(_objection, self._terms, workers=new, on_error="return") if new else {}
        except OSError as error:
            raise ResourceError(f"the Dask scheduler at {self._address} is gone") from error
        for worker, answer in answers.items():
            if isinstance(answer, OSError):
                continue  # it is gone again
            if isinstance(answer, Exception):
                answer = f"cannot run clippan {__version__}: {answer}"
            if answer:
                self._refused[worker] = answer
                self._on_note(f"the worker {worker} gets no scene: it {answer}")
            else:
                self._at_work[worker] = None
        return {worker: threads for worker, threads in there.items() if worker in self._at_work}


async def _kind(address: str) -> str:
    """What part of Dask answers at an address."""
    from distributed import Security, rpc

    async with rpc(address, timeout=_TIMEOUT, connection_args=Security().get_connection_args("client")) as server:
        identity = await asyncio.wait_for(server.identity(), _TIMEOUT)
    return str(identity["type"])


def _outcome(worker: str, future: Future) -> Record | Lost:
    """What came of a task that has ended."""
    try:
        record: Record | None = future.result(timeout=_TIMEOUT)
    except Exception as error:  # whatever Dask or the transport failed with: there is no record
        return Lost(f"on {worker} was lost ({type(error).__name__})")
    return record or Lost(f"on {worker} broke off")


def _clip(guidance: GuidanceOptions | None) -> str:
    return "" if guidance is None else chosen_clip(guidance.clip)


def _objection(terms: Terms) -> str:
    """What speaks against the worker in which this runs; empty where nothing does."""
    mark = Path(terms.mark)
    if __version__ != terms.version:
        return f"has clippan {__version__}, and this machine {terms.version}: the results would differ"
    if not mark.is_file():
        return f"does not see {mark.parents[1]} as this machine does: all must share the files by their paths"
    clip = _clip(terms.guidance)
    if clip != terms.clip:
        return f"would judge by the CLIP {clip}, and this machine by {terms.clip}: choose one with --clip"
    try:
        choose_device(terms.device)
    except ClippanError as error:
        return f"says: {error}"
    return ""


def _do_here(task: Task, key: str) -> Record | None:
    """Do a task in this Dask worker, in whose books it has a key; None where nobody waits for it any more."""
    from distributed import get_worker

    worker = get_worker()

    def stop_if_unwanted(_: object) -> None:
        """Dask cannot end a thread: it only notes that a task is cancelled, as when the batch is gone."""
        entry = worker.state.tasks.get(key)
        if entry is None or entry.state == "cancelled" or worker.status.name in ("closing", "closed", "failed"):
            raise Interrupted(signal.SIGTERM)

    try:
        return do_task(task, Control(on_progress=stop_if_unwanted))
    except Interrupted:
        return None
