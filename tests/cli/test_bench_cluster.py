"""Does a Dask cluster make of a suite what this machine would, whatever becomes of its workers?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clippan_cli.bench.task import bench
from clippan_cli.running.control import Control
from tests.cli.conftest import Deadly, Desk, RunMain
from tests.cli.test_bench import SUITE, WITHOUT_BROKEN

distributed = pytest.importorskip("distributed")

NO_RESOURCES, FAILED = 6, 9
ONE_METHOD = WITHOUT_BROKEN.replace('[[method]]\nname = "my brovey"\nmethod = "brovey"\n', "")


@pytest.fixture
def suite(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of two scenes and three methods, one of them broken, in the current folder."""
    monkeypatch.chdir(desk.folder)
    desk.ms()
    desk.pan()
    path = Path("suite.toml")
    path.write_text(SUITE)
    return path


def test_a_cluster_makes_what_this_machine_makes_and_a_broken_method_costs_its_rows(
    cluster: Any, suite: Path, run_main: RunMain
) -> None:
    done = run_main(["bench", "suite.toml", "-o", "there", "--scheduler", cluster.scheduler_address])
    assert done.code == FAILED and "2 of 6 runs failed, first broken on field" in done.error_line
    assert len(bench(suite, Path("here"), compute={"threads": 1}).failed) == 2
    same = [Path("results.json"), Path("results.csv")]
    same += [image.relative_to("here") for image in Path("here").rglob("fused.tif")]
    assert len(same) == 2 + 4
    assert all(("there" / name).read_bytes() == ("here" / name).read_bytes() for name in same)
    notes: list[str] = []
    bench(suite, Path("there"), control=Control(on_note=notes.append))
    assert notes == []  # this machine takes over what the cluster has made


def test_a_cluster_that_is_not_there_or_lacks_the_device_is_refused(
    cluster: Any, suite: Path, run_main: RunMain
) -> None:
    command = ["bench", "suite.toml", "-o", "there", "--scheduler"]
    nobody = run_main([*command, "nowhere"])
    assert nobody.code == NO_RESOURCES and "nowhere: no Dask scheduler answers" in nobody.error_line
    assert not Path("there").exists()
    suite.write_text(SUITE + '[[method]]\nname = "gsa"\ndevice = "cuda:77"\n')
    device = run_main([*command, cluster.scheduler_address])
    assert device.code == NO_RESOURCES and "--device cuda:77" in device.error_line
    assert cluster.workers[0].address in device.error_line


@pytest.mark.slow
def test_workers_of_other_folders_find_the_files_and_a_killed_one_costs_its_run(
    suite: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    deadly = Deadly("clippan_cli.bench.runs.done", "Run", "deadly.tif", 2, Path("deaths").absolute())
    monkeypatch.setattr("clippan_cli.bench.task.done", deadly)
    Path("pan.tif").rename("deadly.tif")
    suite.write_text(ONE_METHOD.replace("pan.tif", "deadly.tif"))
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(tmp_path_factory.mktemp("elsewhere"))
        processes = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
    with processes:
        command = ["bench", "suite.toml", "-o", "bench", "--json"]
        done = run_main([*command, "--scheduler", processes.scheduler_address])
        assert done.code == FAILED and "was lost, 2 times; is there enough memory?" in done.error_line
        lost = {row["scene"]: bool(row["error"]) for row in json.loads(done.stdout)["rows"]}
        assert lost == {"field": False, "pair": True} and deadly.deaths == 2
    assert run_main(command).code == 0  # what has cost workers is tried again
