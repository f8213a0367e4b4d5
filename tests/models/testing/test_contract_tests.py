"""Does the template pass the contract tests as others run them, and does each wrong one fail the right test?"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from clippan_models.testing.chosen import VARIABLE
from tests.packages import Site

CORRECTION = "self.last(torch.relu(self.first(torch.cat([start, pan], 1))))"
WRONG_BACKBONES = {
    "global-mean": (f"start + {CORRECTION}", f"start + {CORRECTION} - {CORRECTION}.mean((-2, -1), keepdim=True)"),
    "odd-shift": ("torch.cat([start, pan], 1)", "torch.cat([start, pan.roll(1, -1)], 1)"),
    "band-order": (f"start + {CORRECTION}", f"start.flip(1) + {CORRECTION}"),
    "mixed-batch": (f"start + {CORRECTION}", f"start + {CORRECTION}.mean(0, keepdim=True)"),
}
"""What is replaced in the template, and by what."""

METHODS = """
from clippan_models.methods.classical import ClassicalMethod
from clippan_models.methods.method import Fitted
from clippan_models.methods.registry import MethodSpec

class Injected:
    halo = 0

    def __init__(self, mean):
        self.mean = mean

    def sharpen(self, views):
        return views.ms_up + views.pan - (views.pan.mean() if self.mean is None else self.mean)

class Fitter:
    halo = 0

    def update(self, views):
        self.mean = views.pan[0][views.core].mean()

    def finish(self):
        return Injected(self.mean)

class Leaky(ClassicalMethod):
    def fit(self, source):
        with source.tiles(0) as tiles:
            return Fitted(Injected(next(tiles).pan.mean()))

class Seam(ClassicalMethod):
    def fit(self, source):
        return Fitted(Injected(None))

RIGHT, LEAKY, SEAM = (
    MethodSpec(lambda options, method=method: method("injection", Fitter)) for method in (ClassicalMethod, Leaky, Seam)
)
"""

EXPECTED: dict[str, set[str]] = {
    "my-backbone": set(),
    "global-mean": {"test_tiles_are_the_image", "test_a_backbone_looks_exactly_as_far_as_it_says"},
    "odd-shift": {
        "test_nothing_moves",
        "test_a_backbone_looks_exactly_as_far_as_it_says",
        "test_tiles_are_the_image",
    },
    "band-order": {"test_bands_keep_their_order", "test_an_untrained_backbone_gives_its_start_back"},
    "mixed-batch": {"test_images_of_a_batch_do_not_mix"},
    "right": set(),
    "leaky": {"test_nodata_does_not_affect_data"},
    "seam": {"test_tiles_are_the_image"},
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The contract tests that each of these fails; they run as outside of this repository."""
    folder = tmp_path_factory.mktemp("elsewhere")
    site = Site(folder / "site")
    template = site.install_template()
    for name, (right, wrong) in WRONG_BACKBONES.items():
        assert right in template
        module = name.replace("-", "_")
        text = template.replace(right, wrong).replace('"my-backbone"', f'"{name}"')
        site.install(name, {"clippan.backbones": {name: f"{module}:SPEC"}}, {module: text})
    methods = {"right": "some_methods:RIGHT", "leaky": "some_methods:LEAKY", "seam": "some_methods:SEAM"}
    site.install("some-methods", {"clippan.methods": methods}, {"some_methods": METHODS})
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "clippan_models.testing"]
    narrow = ["-k", f"test_backbones or my-backbone or {' or '.join(methods)}", f"--junitxml={report}"]
    paths = os.pathsep.join([str(site.folder), *sys.path])
    env = {**os.environ, "PYTHONPATH": paths, VARIABLE: ",".join(EXPECTED)}
    done = subprocess.run([*command, *narrow], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return _failures(report)


def _failures(report: Path) -> dict[str, set[str]]:
    """The failed tests by what they tested; a name without any has passed at least one."""
    failures: dict[str, set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        test, _, parameters = case.attrib["name"].removesuffix("]").partition("[")
        (name,) = (name for name in EXPECTED if parameters == name or parameters.startswith(f"{name}-"))
        failures.setdefault(name, set())
        if case.find("failure") is not None or case.find("error") is not None:
            failures[name].add(test)
    return failures


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_wrong_fails_the_right_test(name: str, failed: dict[str, set[str]]) -> None:
    assert failed[name] == EXPECTED[name]
