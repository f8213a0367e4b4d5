"""Clippan as a user meets it: arguments in; exit code, stdout, stderr and files out."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.running.control import Control

PAN_SIDE, RATIO = 64, 4
PAN_PIXEL = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
MS_PIXEL = PAN_PIXEL @ Affine.scale(RATIO)

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@dataclass(frozen=True)
class Outcome:
    """What a run of clippan left on its channels."""

    code: int
    stdout: str
    stderr: str

    @property
    def error_line(self) -> str:
        """The one line that says what is wrong, after notes and warnings of clippan if there are any."""
        lines = self.stderr.splitlines()
        ours = [line for line in lines if line.startswith("clippan: ")]
        assert len(ours) == 1 and lines[-1] == ours[0], self.stderr
        return ours[0]

    @property
    def notes(self) -> list[str]:
        """Every line on stderr but warnings and the one that says what is wrong."""
        return [line for line in self.stderr.splitlines() if not line.startswith(("clippan: ", "warning: "))]

    @property
    def codes(self) -> list[str]:
        """The codes of the warnings on stderr."""
        warnings = [line for line in self.stderr.splitlines() if line.startswith("warning: ")]
        return [line.rpartition("[")[2].removesuffix("]") for line in warnings]


def without_progress(stderr: str) -> str:
    """What stderr says whatever the machine: a slow one gives the time now and then, and what is being done."""
    return re.sub(r"^\d\d:\d\d:\d\d \w.* elapsed.*\n", "", stderr, flags=re.MULTILINE)


@dataclass
class Desk:
    """A folder with a good pair to spoil, and the arguments of a fast run over it."""

    folder: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    @property
    def out(self) -> Path:
        """Where runs write, in a folder of its own."""
        path = self.folder / "out" / "fused.tif"
        path.parent.mkdir(exist_ok=True)
        return path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def pixels(self, bands: int, side: int, dtype: str = "uint16") -> NDArray[Any]:
        """Smooth ground with a little noise, within the range of 8 bits."""
        y, x = np.mgrid[0:side, 0:side] / side
        bands_of = [60 + 20 * b + 40 * np.sin(5 * x + b) * np.cos(4 * y) for b in range(bands)]
        return (np.stack(bands_of) + self.rng.uniform(0, 8, (bands, side, side))).astype(dtype)

    def raster(self, name: str, pixels: NDArray[Any], **profile: Any) -> str:
        count, height, width = pixels.shape
        shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
        path = self.path(name)
        with rasterio.open(path, "w", **({"driver": "GTiff", "crs": "EPSG:32633"} | shape | profile)) as dataset:
            dataset.write(pixels)
        return path

    def ms(self, name: str = "ms.tif", *, bands: int = 4, side: int = PAN_SIDE // RATIO, **profile: Any) -> str:
        dtype = profile.pop("dtype", "uint16")
        pixels = profile.pop("pixels", self.pixels(bands, side, dtype))
        return self.raster(name, pixels, **({"transform": MS_PIXEL} | profile))

    def pan(self, name: str = "pan.tif", *, bands: int = 1, side: int = PAN_SIDE, **profile: Any) -> str:
        dtype = profile.pop("dtype", "uint16")
        pixels = profile.pop("pixels", self.pixels(bands, side, dtype))
        return self.raster(name, pixels, **({"transform": PAN_PIXEL} | profile))

    def sharpen(self, *extra: str, ms: str | None = None, pan: str | None = None) -> list[str]:
        """Arguments of a fast run: interpolation into a plain GeoTIFF."""
        fast = [
            "--method",
            "exp",
            "--sensor",
            "generic",
            "--coregister",
            "off",
            "--no-quality",
            "--of",
            "gtiff",
            "-j",
            "1",
        ]
        return ["sharpen", self.ms() if ms is None else ms, pan or self.pan(), "-o", str(self.out), *fast, *extra]

    def contents(self) -> dict[str, object]:
        """Everything in the folder, so that two moments can be compared."""
        return {str(path.relative_to(self.folder)): _content(path) for path in sorted(self.folder.rglob("*"))}


def _content(path: Path) -> object:
    if path.is_symlink():
        return os.readlink(path)
    if path.is_file():
        size = path.stat().st_size
        return path.read_bytes() if size < 2**22 else (size, path.stat().st_mtime_ns)
    return path.stat().st_mode


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk in a folder of its own."""
    return Desk(tmp_path)


RunMain = Callable[[Sequence[str]], Outcome]


@pytest.fixture
def run_main(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[RunMain]:
    """Run clippan in this process, through its entry point; what C libraries print counts as well."""
    from clippan_cli.main import main

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def run(argv: Sequence[str]) -> Outcome:
        monkeypatch.setenv("GDAL_SKIP", "")  # main sets it, for its process alone
        monkeypatch.setattr(sys, "argv", ["clippan", *argv])
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        stdout, stderr = capfd.readouterr()
        code = leaving.value.code
        assert isinstance(code, int)
        return Outcome(code, stdout, without_progress(stderr))

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and one worker, as threads of this process that talk over TCP."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0"
    ) as running:
        yield running


MOST_CPU, LONGEST, LARGEST = 5.0, 30.0, 2**30
"""CPU seconds, seconds and bytes that a hostile input may cost; on a busy machine the seconds become many more."""


def _most_memory() -> int:
    """The most bytes that this process has held since it was last asked to forget; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return 1024 * int(re.findall(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)[0])


def _cpu_seconds() -> float:
    """Of this process and those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.fixture
def bounded() -> Iterator[None]:
    """Fail where a test takes long, as it waits for a pipe, or much more memory than it began with."""

    def fail(*_: object) -> None:
        pytest.fail(f"this takes more than {LONGEST:.0f} s")  # no Exception, which clippan would take for its own

    _most_memory()
    before, handler = _most_memory(), signal.signal(signal.SIGALRM, fail)
    began = _cpu_seconds()
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert _most_memory() - before < LARGEST
    assert _cpu_seconds() - began < MOST_CPU


RunClippan = Callable[..., Outcome]


@pytest.fixture
def run_clippan(tmp_path: Path) -> RunClippan:
    """Run clippan in a process of its own, as a shell does."""

    def run(argv: Sequence[str], **options: Any) -> Outcome:
        command = [sys.executable, "-m", "clippan_cli", *argv]
        env = {**os.environ, **ONE_THREAD, **options.pop("env", {})}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=300, **options)
        return Outcome(done.returncode, done.stdout, without_progress(done.stderr))

    return run


@dataclass(frozen=True)
class Deadly:
    """Does what a function of a worker does; but one scene kills the process, as the system does for want of memory.

    Attributes:
        function: its dotted name.
        task: name of the class of the deadly task.
        pan: name of the PAN file of the deadly scene.
        times: how often it kills.
        log: a file that grows by one byte each time.
    """

    function: str
    task: str
    pan: str
    times: int
    log: Path

    @property
    def deaths(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def __call__(self, task: Any, control: Control, **options: Any) -> Any:
        files = getattr(task, "scene", task).files
        if type(task).__name__ == self.task and Path(files.pan).name == self.pan and self.deaths < self.times:
            with self.log.open("ab") as log:
                log.write(b".")
            os.kill(os.getpid(), signal.SIGKILL)
        module, _, name = self.function.rpartition(".")
        do = getattr(import_module(module), name)  # by name: in the tests' process it is replaced
        return do(task, control, **options)
