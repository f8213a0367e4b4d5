"""A pool of the workers of a Dask cluster.

Each worker gets one task at a time, by its address. Dask on its own would give a worker as many scenes as it has
threads; and it would move a task whose worker has died to the next one several times without a word, together with
those that merely waited there. A scene is sharpened in the process of the Dask worker and not in a child of it, as
Dask lets these processes have no children.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from clippan_cli import __version__
from clippan_cli.batch.requirements import Requirements, requirements_of
from clippan_cli.running.control import Control
from clippan_cli.running.extras import needed_by
from clippan_cli.running.pool import WorkerLost
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.writing.path import make_folder
from clippan_models.errors import ClippanError, Interrupted, ResourceError

T = TypeVar("T")
R = TypeVar("R")

_TIMEOUT = 5.0  # seconds for the scheduler to answer
_TICK = 0.2  # seconds between looks at the workers
_PATIENCE = 300.0  # seconds without any worker; one that has died is replaced within a few


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the Dask scheduler at an address.

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
        found = asyncio.run(_kind_of_server(address))
    except Exception as error:  # an address can be wrong, and a server can be another program, in many ways
        raise ResourceError(f"--scheduler {address}: no Dask scheduler answers there") from error
    if found != "Scheduler":
        raise ResourceError(f"--scheduler {address}: a worker answers there; name its scheduler")
    client = Client(address, timeout=_TIMEOUT, set_as_default=False)
    try:
        yield client
    finally:
        with suppress(OSError, TimeoutError):  # the scheduler may be gone
            client.close(timeout=_TIMEOUT)


async def _kind_of_server(address: str) -> str:
    """What part of Dask answers at an address."""
    from distributed import Security, rpc

    async with rpc(address, timeout=_TIMEOUT, connection_args=Security().get_connection_args("client")) as server:
        identity = await asyncio.wait_for(server.identity(), _TIMEOUT)
    return str(identity["type"])


@contextmanager
def cluster_of(
    address: str,
    sharpenings: Iterable[SharpenOptions],
    folder: Path,
    on_note: Callable[[str], None],
    prepare: Callable[[], object] | None = None,
) -> Iterator[ClusterPool]:
    """The workers of the Dask scheduler at an address that can write results into a folder, which is made.

    Args:
        address: of the scheduler.
        sharpenings: all that is to be made.
        folder: of all results.
        on_note: called with each decision that was made for the user.
        prepare: is done in each worker before all else.

    Raises:
        UsageError: Dask is not installed.
        OutputError: the folder cannot be written.
        ResourceError: no scheduler answers, or no worker meets the requirements.
    """
    with connected(address) as client:
        make_folder(folder)
        with (
            requirements_of(sharpenings, folder) as requirements,
            ClusterPool(client, requirements, on_note, prepare) as cluster,
        ):
            yield cluster


@dataclass(frozen=True)
class _Submitted:
    """A task, what is to be done with it, and what its submitter waits for."""

    do: Callable[..., Any]
    task: object
    future: Future[Any]


class ClusterPool:
    """The workers of a cluster that meet the requirements, those that come later too; `with` stops their tasks.

    Attributes:
        threads: CPU threads that Dask gives to the smallest worker.
    """

    def __init__(
        self,
        client: Any,
        requirements: Requirements,
        on_note: Callable[[str], None],
        prepare: Callable[[], object] | None = None,
    ) -> None:
        """Look at the workers that are there; notes tell of later ones that do not fit.

        Args:
            client: of the cluster.
            requirements: of each worker.
            on_note: is told of workers that are not used.
            prepare: is done in each worker before all else.

        Raises:
            ResourceError: there is none, or one does not fit.
        """
        self._client, self._requirements, self._on_note, self._prepare = client, requirements, on_note, prepare
        self._address = client.scheduler.address
        self._waiting: deque[_Submitted] = deque()
        self._running: dict[str, tuple[_Submitted, Any]] = {}  # by worker, with Dask's future
        self._refused: dict[str, str] = {}
        self._fit: dict[str, int] = {}
        self._seen = time.monotonic()
        self._news = threading.Event()
        self._stopped = False
        self._look_for_workers()
        if self._refused:
            worker, reason = next(iter(self._refused.items()))
            raise ResourceError(f"the worker {worker} {reason}")
        if not self._fit:
            raise ResourceError(f"{self._address} has no workers: start some with dask worker {self._address}")
        self.threads = min(self._fit.values())
        self._thread = threading.Thread(target=self._dispatch, name="clippan-cluster", daemon=True)

    def submit(self, do: Callable[[T, Control], R], task: T) -> Future[R]:
        """Have a worker do a task, as `ProcessPool.submit`."""
        future: Future[R] = Future()
        self._waiting.append(_Submitted(do, task, future))
        self._news.set()
        return future

    def __enter__(self) -> ClusterPool:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped = True
        self._news.set()
        self._thread.join()
        with suppress(OSError, TimeoutError):  # the scheduler may be gone, and its workers with it
            self._client.cancel([theirs for _, theirs in self._running.values()])

    def _dispatch(self) -> None:
        """Give tasks to workers and pass results on; the work of a thread."""
        while not self._stopped:
            self._news.wait(_TICK)
            self._news.clear()
            try:
                self._look_for_workers()
                self._pass_on_results()
                self._give_tasks()
            except Exception as error:  # whatever it is, who waits for a result must hear of it
                unfinished = [*(submitted for submitted, _ in self._running.values()), *self._waiting]
                self._running.clear()
                self._waiting.clear()
                for submitted in unfinished:
                    submitted.future.set_exception(error)

    def _look_for_workers(self) -> None:
        """Find out which workers are there, and ask the new ones whether they meet the requirements.

        Raises:
            ResourceError: the scheduler is gone, or there has been no worker for long.
        """
        try:
            there: dict[str, int] = self._client.nthreads()
            new = [worker for worker in there if worker not in self._fit and worker not in self._refused]
            ask = partial(_prepared, self._prepare, self._requirements)
            answers = self._client.run(ask, workers=new, on_error="return") if new else {}
        except OSError as error:
            raise ResourceError(f"the Dask scheduler at {self._address} is gone") from error
        for worker, answer in answers.items():
            if answer and not isinstance(answer, OSError):  # such a worker is gone again
                reason = f"cannot run clippan {__version__}: {answer}" if isinstance(answer, Exception) else answer
                self._refused[worker] = reason
                self._on_note(f"the worker {worker} is not used: it {reason}")
        accepted = {worker for worker, answer in answers.items() if not answer}
        self._fit = {w: threads for w, threads in there.items() if w in self._fit or w in accepted}
        if self._fit:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > _PATIENCE:
            raise ResourceError(f"{self._address} has had no workers for {_PATIENCE:.0f} s")

    def _pass_on_results(self) -> None:
        for worker, (submitted, theirs) in [*self._running.items()]:
            if theirs.done():
                _pass_on(worker, theirs, submitted.future)
            elif worker not in self._fit:
                theirs.cancel()  # or Dask would keep it for a worker of that address
                submitted.future.set_exception(WorkerLost(f"on {worker} was lost"))
            else:
                continue
            del self._running[worker]

    def _give_tasks(self) -> None:
        for worker in self._fit:
            if worker not in self._running and self._waiting:
                submitted, key = self._waiting.popleft(), f"clippan-{uuid4().hex}"
                theirs = self._client.submit(
                    _do_here, submitted.do, submitted.task, key, key=key, workers=[worker], pure=False
                )
                theirs.add_done_callback(lambda _: self._news.set())
                self._running[worker] = submitted, theirs


def _prepared(prepare: Callable[[], object] | None, requirements: Requirements) -> str:
    """Prepare the worker in which this runs; what speaks against it, see `Requirements.objection`."""
    if prepare is not None:
        prepare()
    return requirements.objection()


def _pass_on(worker: str, theirs: Any, ours: Future[Any]) -> None:
    """Give the result that Dask has, or the reason why there is none, to the one that waits for it."""
    try:
        done, result = theirs.result(timeout=_TIMEOUT)
    except ClippanError as error:
        ours.set_exception(error)
    except Exception as error:  # whatever Dask or the transport failed with: there is no result
        ours.set_exception(WorkerLost(f"on {worker} was lost ({type(error).__name__})"))
    else:
        if done:
            ours.set_result(result)
        else:
            ours.set_exception(WorkerLost(f"on {worker} broke off"))


def _do_here(do: Callable[[T, Control], R], task: T, key: str) -> tuple[bool, R | None]:
    """Do a task in this Dask worker, which knows it by a key; whether it was done, and the result."""
    from distributed import get_worker

    worker = get_worker()

    def stop_if_unwanted(_: object) -> None:
        """Dask cannot end a thread: it only notes that a task is cancelled, as when the batch is gone."""
        entry = worker.state.tasks.get(key)
        if entry is None or entry.state == "cancelled" or worker.status.name in ("closing", "closed", "failed"):
            raise Interrupted(signal.SIGTERM)

    try:
        return True, do(task, Control(on_progress=stop_if_unwanted))
    except Interrupted:
        return False, None
