"""Does a Dask cluster make of a batch what this machine would, whatever becomes of its workers?"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import rasterio

from clippan_cli.batch.options import BatchOptions
from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions
from clippan_cli.scene.pairs import find_pairs
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.batch import run_batch
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.errors import Interrupted
from tests.cli.conftest import Deadly, Desk, RunMain
from tests.cli.test_batch import FAILED, FAST, outcomes

distributed = pytest.importorskip("distributed")

NO_RESOURCES = 6


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """A scheduler and two workers, each a process with a nanny, which starts another when it dies."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as running:
        yield running


@pytest.fixture
def archive(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three scenes in a folder of the current one, where no worker was started."""
    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("GDAL_SKIP", "")  # workers set it, and some are threads of this process
    Path("archive").mkdir()
    for name in "abc":
        desk.ms(f"archive/{name}_ms.tif")
        desk.pan(f"archive/{name}_pan.tif")
    return Path("archive")


def on(cluster: Any) -> list[str]:
    return ["batch", "archive", "-o", "sharp", "--json", "--scheduler", cluster.scheduler_address]


def eventually(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_cluster_makes_what_sharpen_makes_and_each_scene_once(
    cluster: Any, archive: Path, desk: Desk, run_main: RunMain
) -> None:
    """Also: a missing file costs its scene only, and this machine takes over what the cluster has made."""
    table = desk.folder / "pairs.csv"
    lines = [f"archive/{ms}_ms.tif,archive/a_pan.tif,{ms}" for ms in ("a", "missing")]
    table.write_text("\n".join(["ms,pan,id", *lines]) + "\n")
    command = ["batch", "pairs.csv", "-o", "sharp", "--json", *FAST]
    done = run_main([*command, "--scheduler", cluster.scheduler_address])
    assert done.code == FAILED, done.stderr
    assert outcomes(done.stdout) == {"a": "done", "missing": "failed"} and "missing_ms.tif" in done.error_line
    assert run_main(desk.sharpen(ms="archive/a_ms.tif", pan="archive/a_pan.tif")).code == 0
    assert desk.out.read_bytes() == Path("sharp/a.tif").read_bytes()
    assert outcomes(run_main(command).stdout) == {"a": "unchanged", "missing": "failed before"}
    assert sorted(path.name for path in Path("sharp/.clippan-batch").iterdir()) == ["a.json", "missing.json"]


def test_a_stopped_batch_leaves_nothing_running(cluster: Any, archive: Path, run_main: RunMain) -> None:
    control = Control()
    record, state = Path("sharp/.clippan-batch/a.json"), cluster.workers[0].state

    def stop() -> None:
        try:
            eventually(lambda: record.exists() and state.executing_count == 1)
        finally:
            control.stop_signal = signal.SIGTERM

    hours = SharpenOptions(
        Path("sharp"), "network", compute=ComputeOptions("cpu", 1), adapt=AdaptOptions(steps=10**6), assess=False
    )
    scene = ReadOptions(coregister="off")
    options = BatchOptions(Path("sharp"), scheduler=cluster.scheduler_address)
    stopping = Thread(target=stop)
    stopping.start()
    with pytest.raises(Interrupted, match="0 of 3 scenes were sharpened; run the same command again") as stopped:
        run_batch(find_pairs(archive, Trust(), control), scene, hours, options, control)
    stopping.join()
    assert stopped.value.exit_code == 143
    eventually(lambda: state.executing_count == 0 and not state.tasks)
    assert [path.name for path in Path("sharp").rglob("*")] == [".clippan-batch", "a.json"]
    assert run_main([*on(cluster), *FAST]).code == 0


def _drivers_of_gdal() -> set[str]:
    with rasterio.Env() as environment:
        return set(environment.drivers())


@pytest.mark.parametrize(
    ("allowed", "fetching"), [([], False), pytest.param(["--allow-remote"], True, marks=pytest.mark.slow)]
)
def test_workers_load_no_drivers_that_fetch(
    allowed: list[str], fetching: bool, archive: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GDAL_SKIP", raising=False)
    for name in "bc":
        (archive / f"{name}_ms.tif").unlink()
        (archive / f"{name}_pan.tif").unlink()
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as process:
        done = run_main([*on(process), *FAST, *allowed])
        assert done.code == 0, done.stderr
        with distributed.Client(process.scheduler_address, set_as_default=False) as client:
            (drivers,) = client.run(_drivers_of_gdal).values()
    assert "GTiff" in drivers and [name in drivers for name in ("WMS", "HTTP")] == [fetching, fetching]


def test_mistakes_of_usage(archive: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        command = ["batch", "archive", "-o", "sharp", "--scheduler", address, *FAST]
        both = run_main([*command, "--workers", "2"])
        assert both.code == 2 and "give one of them" in both.error_line
        started = time.monotonic()
        nobody = run_main(command)
        assert nobody.code == NO_RESOURCES and f"{address}: no Dask scheduler answers" in nobody.error_line
        assert time.monotonic() - started < 15
    nonsense = run_main([*command, "--scheduler", "here"])
    assert nonsense.code == NO_RESOURCES and "here: no Dask scheduler answers" in nonsense.error_line
    monkeypatch.setitem(sys.modules, "distributed", None)
    absent = run_main(command)
    assert absent.code == 2 and "pip install 'clippan[cluster]'" in absent.error_line
    assert not Path("sharp").exists()


def test_a_cluster_that_does_not_fit_is_refused(cluster: Any, archive: Path, run_main: RunMain) -> None:
    worker = run_main([*on(cluster)[:-1], cluster.workers[0].address, *FAST])
    assert worker.code == NO_RESOURCES and "name its scheduler" in worker.error_line
    device = run_main([*on(cluster), *FAST, "--device", "cuda:77"])
    assert device.code == NO_RESOURCES and "--device cuda:77" in device.error_line
    assert cluster.workers[0].address in device.error_line
    with distributed.LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=":0") as empty:
        nobody = run_main([*on(empty), *FAST])
    assert nobody.code == NO_RESOURCES and "has no workers" in nobody.error_line


@pytest.mark.slow
def test_another_version_is_refused(
    processes: Any, archive: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clippan_cli.batch.requirements.__version__", "99.0")
    refused = run_main([*on(processes), *FAST])
    assert refused.code == NO_RESOURCES and "has clippan" in refused.error_line and "99.0" in refused.error_line


@pytest.mark.slow
def test_networks_learn_on_a_cluster_as_alone(processes: Any, archive: Path, desk: Desk, run_main: RunMain) -> None:
    learning = ["--method", "clippan", "--clip", "embedded", "--backbone", "apnn", "--steps", "3", "-j", "1"]
    done = run_main([*on(processes), *learning])
    assert done.code == 0 and set(outcomes(done.stdout).values()) == {"done"}, done.stderr
    for name in "abc":
        files = [f"archive/{name}_ms.tif", f"archive/{name}_pan.tif", "-o", str(desk.out)]
        assert run_main(["sharpen", *files, "--overwrite", *learning]).code == 0
        assert desk.out.read_bytes() == Path(f"sharp/{name}.tif").read_bytes()
    assert all(scene["quality"]["QNR"] > 0 for scene in json.loads(done.stdout)["scenes"])


@pytest.mark.slow
@pytest.mark.parametrize(("times", "outcome", "code"), [(1, "done", 0), (9, "failed", FAILED)])
def test_a_killed_worker_costs_a_retry(
    times: int,
    outcome: str,
    code: int,
    processes: Any,
    archive: Path,
    run_main: RunMain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadly = Deadly("clippan_cli.tasks.batch.sharpen_scene", "Job", "a_pan.tif", times, Path("deaths").absolute())
    monkeypatch.setattr("clippan_cli.tasks.batch.sharpen_scene", deadly)
    done = run_main([*on(processes), *FAST])
    assert done.code == code, done.stderr
    assert outcomes(done.stdout) == {"a": outcome, "b": "done", "c": "done"}
    assert deadly.deaths == min(times, 2) and done.stderr.count("was lost; it is tried again") == 1
    if outcome == "failed":
        assert "was lost, 2 times; is there enough memory?" in done.error_line
