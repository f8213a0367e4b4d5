"""Methods and backbones of other packages: used by name, listed, and told apart from broken ones."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio

from clippan_cli.batch.record import Job, with_key
from clippan_cli.batch.requirements import requirements_of
from clippan_cli.bench.task import bench
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.packages import packages_of
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.plugins import look_again
from tests.cli.conftest import Desk, RunMain
from tests.cli.test_start import loaded_by
from tests.packages import Site

USAGE = 2
MEAN = """
from clippan_models.methods.registry import MethodSpec


def build(options):
    from clippan_models.classical.exp import ExpFitter
    from clippan_models.methods.classical import ClassicalMethod

    return ClassicalMethod("mean", ExpFitter, gathers=())


SPEC = MethodSpec(build)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Where packages can be installed for a test."""
    found = Site(tmp_path / "site")
    found.folder.mkdir()
    monkeypatch.syspath_prepend(found.folder)
    before = set(sys.modules)
    look_again()
    yield found
    look_again()
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(found.folder):
            del sys.modules[name]


def test_a_backbone_of_another_package_sharpens_a_scene(site: Site, desk: Desk, run_main: RunMain) -> None:
    site.install_template()
    weights = desk.path("learned.safetensors")
    learn = ["--method", "network", "--backbone", "my-backbone", "--steps", "1", "--teacher", "none"]
    assert run_main(desk.sharpen(*learn, "--save-weights", weights)).code == 0
    with rasterio.open(desk.out) as fused:
        tags = fused.tags(ns="CLIPPAN")
        assert (tags["BACKBONE"], tags["BACKBONE_PACKAGE"]) == ("my-backbone", "my-backbone 1.0")
    again = run_main(desk.sharpen("--method", "network", "--weights", weights, "--steps", "0", "--overwrite"))
    assert again.code == 0


def test_a_method_of_another_package_sharpens_a_scene(site: Site, desk: Desk, run_main: RunMain) -> None:
    site.install("acme", {"clippan.methods": {"mean": "acme_mean:SPEC"}}, {"acme_mean": MEAN})
    interpolate = desk.sharpen()
    assert run_main(interpolate).code == 0
    with rasterio.open(desk.out) as interpolated:
        expected = interpolated.read()
    assert run_main([*interpolate, "--method", "mean", "--overwrite"]).code == 0
    with rasterio.open(desk.out) as fused:
        tags = fused.tags(ns="CLIPPAN")
        assert (tags["METHOD"], tags["METHOD_PACKAGE"]) == ("mean", "acme 1.0")
        assert (fused.read() == expected).all()


def test_what_others_bring_is_listed(site: Site, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install_template()
    site.install("acme", {"clippan.methods": {"mean": "acme_mean:SPEC"}}, {"acme_mean": MEAN})
    outcome = run_main(["models", "list"])
    assert "my-backbone" in outcome.stdout and outcome.stdout.split()[-2:] == ["acme", "1.0"]
    document = json.loads(run_main(["models", "list", "--json"]).stdout)
    assert document["methods"] == {"mean": "acme 1.0"}
    assert document["backbones"][-1]["package"] == "my-backbone 1.0" and document["backbones"][0]["package"] is None
    monkeypatch.setenv("COLUMNS", "400")
    shown = run_main(["sharpen", "--help"]).stdout
    words = " ".join(shown.replace("│", " ").split())
    assert "From other packages: mean." in words and "From other packages: my-backbone." in words


@pytest.mark.parametrize(
    "options", [["--method", "gs"], ["--backbone", "a-pnn"], ["--teacher", "nobody"]], ids="=".join
)
def test_names_are_listed_without_importing_what_they_lead_to(
    options: list[str], site: Site, desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install_template()
    site.install("acme", {"clippan.methods": {"mean": "acme_mean:SPEC"}}, {"acme_mean": MEAN})
    outcome = run_main(desk.sharpen(*options))
    assert outcome.code == USAGE and ("mean" if "gs" in options else "my-backbone") in outcome.error_line
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site.folder), *sys.path]))
    assert not loaded_by(desk.sharpen(*options)).modules & {"torch", "my_backbone", "acme_mean"}


BROKEN = {
    "no-module": ("gone:SPEC", "ModuleNotFoundError: No module named 'gone'"),
    "no-object": ("acme:MISSING", "AttributeError"),
    "raises": ("acme_raises:SPEC", "RuntimeError: out of luck"),
    "number": ("acme:NUMBER", "it is not a BackboneSpec but a int"),
    "other-name": ("acme:OTHER", "its specification has the name 'pnn'"),
}
MODULES = {
    "acme": "from clippan_models.networks.pnn import SPEC as OTHER\nNUMBER = 3\n",
    "acme_raises": "raise RuntimeError('out of luck')\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_costs_one_line(name: str, site: Site, desk: Desk, run_main: RunMain) -> None:
    leads_to, why = BROKEN[name]
    site.install("acme", {"clippan.backbones": {name: leads_to}}, MODULES)
    chosen = run_main(desk.sharpen("--method", "network", "--backbone", name))
    assert chosen.code == USAGE and "acme 1.0" in chosen.error_line and why in chosen.error_line
    assert not desk.out.exists()
    listed = run_main(["models", "list"])
    assert listed.code == 0 and "apnn" in listed.stdout
    (note,) = listed.notes
    assert "acme 1.0" in note and why in note
    assert run_main(desk.sharpen()).code == 0


def test_a_backbone_that_cannot_be_made_costs_a_line_of_the_list(site: Site, run_main: RunMain) -> None:
    text = site.install_template().replace("nn.init.zeros_(self.last.bias)", "raise ValueError('no')")
    (site.folder / "my_backbone.py").write_text(text)
    listed = run_main(["models", "list"])
    assert listed.code == 0 and "ValueError: no" in listed.notes[0] and "my-backbone" not in listed.stdout


@pytest.mark.parametrize(
    ("group", "name", "words"),
    [
        ("clippan.methods", "exp", "clippan has a method of this name"),
        ("clippan.backbones", "pnn", "clippan has a backbone of this name"),
        ("clippan.backbones", "Mine", "lower-case letters"),
    ],
)
def test_a_name_that_cannot_be_taken_is_refused_by_a_line(
    group: str, name: str, words: str, site: Site, desk: Desk, run_main: RunMain
) -> None:
    site.install("acme", {group: {name: "gone:SPEC"}}, {})
    outcome = run_main(desk.sharpen())  # exp, that of clippan
    assert outcome.code == 0
    (note,) = [line for line in outcome.notes if "acme" in line]
    assert words in note and "acme 1.0" in note
    assert words in run_main(["models", "list"]).notes[0]


def test_a_name_of_two_packages_is_refused(site: Site, desk: Desk, run_main: RunMain) -> None:
    for package in ("acme", "other"):
        site.install(package, {"clippan.methods": {"mean": "acme_mean:SPEC"}}, {"acme_mean": MEAN})
    outcome = run_main(desk.sharpen("--method", "mean"))
    assert outcome.code == USAGE and "registered by acme 1.0 and by other 1.0" in outcome.error_line


SUITE = '[[scene]]\nname = "field"\nsynthetic = 7\nside = 64\n[[method]]\nname = "mean"\n'


@pytest.fixture
def acme(site: Site) -> Callable[[str], None]:
    """Installs a version of the package with the method `mean`."""

    def install(version: str) -> None:
        site.install("acme", {"clippan.methods": {"mean": "acme_mean:SPEC"}}, {"acme_mean": MEAN}, version)
        look_again()

    return install


def test_a_batch_makes_its_scenes_again_after_an_update_of_the_package(
    acme: Callable[[str], None], desk: Desk, run_main: RunMain
) -> None:
    (desk.folder / "pairs.csv").write_text(f"ms,pan,id\n{desk.ms()},{desk.pan()},a\n")
    command = ["batch", desk.path("pairs.csv"), "-o", desk.path("sharp"), "--json", "--method", "mean", "--no-quality"]
    job = Job(SceneFiles((desk.path("ms.tif"),), desk.path("pan.tif")), ReadOptions(), SharpenOptions(desk.out, "exp"))
    made, keys = [], set()
    for version in ("1.0", "1.0", "2.0"):
        acme(version)
        (scene,) = json.loads(run_main(command).stdout)["scenes"]
        made.append((scene["outcome"], scene["packages"]))
        keys.add(with_key(job).key)
    one, two = ({"METHOD_PACKAGE": f"acme {version}"} for version in ("1.0", "2.0"))
    assert made == [("done", one), ("unchanged", one), ("done", two)]
    assert len(keys) == 1  # the methods of clippan do not depend on it


def test_a_suite_makes_its_runs_again_after_an_update_of_the_package(
    acme: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    made = []
    for version in ("1.0", "1.0", "2.0"):
        acme(version)
        notes: list[str] = []
        (row,) = bench(tmp_path / "suite.toml", tmp_path / "bench", control=Control(on_note=notes.append)).rows
        made.append((notes, row.packages))
    one, two = ({"METHOD_PACKAGE": f"acme {version}"} for version in ("1.0", "2.0"))
    assert made == [(["field, mean"], one), ([], one), (["field, mean"], two)]


def test_workers_with_another_version_of_the_package_are_refused(acme: Callable[[str], None], tmp_path: Path) -> None:
    acme("1.0")
    with requirements_of([SharpenOptions(tmp_path / "fused.tif", "mean")], tmp_path) as requirements:
        assert requirements.objection() == ""
        acme("2.0")
        assert "has the package acme 2.0 but this machine has acme 1.0" in requirements.objection()


def test_the_packages_of_backbone_and_teacher_are_told_where_a_network_learns(site: Site, tmp_path: Path) -> None:
    site.install_template()
    look_again()
    adapt = AdaptOptions(backbone="my-backbone", teacher="my-backbone")
    found = {name: packages_of(SharpenOptions(tmp_path, name, adapt=adapt)) for name in ("network", "exp")}
    package = "my-backbone 1.0"
    assert found == {"network": {"BACKBONE_PACKAGE": package, "TEACHER_PACKAGE": package}, "exp": {}}
