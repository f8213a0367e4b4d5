"""What clippan makes of a GPU, in less than six minutes: backbones, a large scene, precision, repeatability, memory.

Each case writes a line of JSON as soon as it is done, and a Markdown table of all follows. A case that fails says why
and ends no other; none begins once the time is up. Where there is no GPU, the CPU does the same; --small makes it a
matter of seconds.

Usage: python tests/benchmarks/gpu.py --log gpu.jsonl
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import rasterio
import torch
from measure import CLIPPAN, measure, show, write_pair
from scale import repeated

import clippan
from clippan_cli.running.compute import choose_device
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.sharpening import fuse
from clippan_cli.tasks.demo import write_demo_scene
from clippan_models.networks.names import BACKBONE_TRAITS

Row = dict[str, Any]
Pair = tuple[Path, Path]
STAGES = ("start", "open", "estimate", "CLIP", "adapt", "sharpen", "write", "assess", "total")
COLUMNS = ("case", *STAGES, "Mpx/s", "GPU %", "GPU MB", "note")
PATIENCE = 20  # seconds for a backbone to learn in
TOO_LITTLE = 0.4  # of the memory that a tile takes


@dataclass(frozen=True)
class Size:
    """How much to do.

    Attributes:
        side: PAN pixels of the scene, which has 4 bands.
        part: PAN pixels of the scene that is repeated to make a large one, which has 8 bands.
        times: how often, along each axis.
        steps: of networks that begin with random weights; None: as by default.
        backbones: to try on the scene.
    """

    side: int
    part: int
    times: int
    steps: int | None
    backbones: tuple[str, ...]


FULL = Size(1024, 3072, 3, None, tuple(name for name, its in BACKBONE_TRAITS.items() if its.fuses))
SMALL = Size(256, 192, 2, 1, ("apnn", "fusionnet"))


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="scenes of a tenth and less, two backbones, few steps")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads; all if not given")
    parser.add_argument("--seconds", type=float, default=300, help="when the last case may begin")
    parser.add_argument("--log", type=Path, help="a file for the lines of JSON")
    given = parser.parse_args(arguments)
    end, rows = time.monotonic() + given.seconds, []
    with tempfile.TemporaryDirectory() as temporary:
        size = SMALL if given.small else FULL
        device = choose_device(given.device)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        bench = Bench(Path(temporary), device, size, given.threads)
        for name, do in bench.cases():
            row = tried(name, do) if time.monotonic() < end else {"case": name, "note": "not reached"}
            rows.append(row)
            _write_line(row, given.log)
    show(bench.title(), [{column: row.get(column, "") for column in COLUMNS} for row in rows], as_json=False)
    return rows


def tried(name: str, do: Callable[[], Row]) -> Row:
    """What a case shows, or why it fails."""
    try:
        return {"case": name, **do()}
    except (Exception, SystemExit) as error:  # a child that fails ends `measure` so
        return {"case": name, "note": f"failed: {type(error).__name__}: {error}"}


def _write_line(row: Row, log: Path | None) -> None:
    line = json.dumps(row)
    print(line, flush=True)
    if log is not None:
        with log.open("a") as file:
            file.write(line + "\n")


@dataclass
class Bench:
    """Scenes in a folder, and what can be tried on them.

    Attributes:
        folder: of all files.
        device: that computes.
        size: how much to do.
        threads: of the CPU; None: all.
        scene: a small pair.
        large: a large pair.
        peak_mb: memory of the GPU that each result took, by its name.
    """

    folder: Path
    device: torch.device
    size: Size
    threads: int | None = None
    scene: Pair = field(init=False)
    large: Pair = field(init=False)
    peak_mb: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        torch.empty(0, device=self.device)  # a GPU counts its memory only once it is in use
        self.scene = self.folder / "demo_ms.tif", self.folder / "demo_pan.tif"
        write_demo_scene(make_demo_scene(self.size.side), *self.scene, self.folder / "demo_truth.tif")
        ms, pan = write_pair(self.folder, self.size.part, bands=8)
        self.large = repeated(ms, self.size.times), repeated(pan, self.size.times)

    def title(self) -> str:
        """The device, and what is measured."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        side, large = self.size.side, self.size.part * self.size.times
        scenes = f"a scene of {side} x {side} x 4, a large one of {large} x {large} x 8"
        return f"{name}, torch {torch.__version__}: {scenes}; seconds"

    def cases(self) -> Iterator[tuple[str, Callable[[], Row]]]:
        """What to try by name, the surest first."""
        yield "default, whole process", partial(self.whole_process, **self.learning)
        yield "fast, whole process", partial(self.whole_process, preset="fast")
        yield "default, first", partial(self.sharpen, "first", save_weights=self.weights, **self.learning)
        yield "default, again", self.again
        yield "its weights", partial(self.sharpen, "as_shipped", **self.ready)
        yield "its weights in float32", self.full_precision
        yield "its weights on the CPU", self.on_cpu
        yield "its weights in too little memory", self.too_little_memory
        large: dict[str, Row] = {
            "gsa": {"method": "gsa"},
            "fast": {"preset": "fast"},
            "apnn": {"method": "network", "backbone": "apnn", "preset": "fast"} | self.learning,
        }
        for name, options in large.items():
            yield f"large, {name}", partial(self.sharpen, "large", self.large, quality=False, allow_vrt=True, **options)
        for backbone in self.size.backbones:
            own: Row = {"method": "network", "backbone": backbone, "time_limit": PATIENCE} | self.learning
            yield backbone, partial(self.sharpen, "backbone", quality=False, **own)

    @property
    def weights(self) -> Path:
        """What the default has learned."""
        return self.folder / "default.safetensors"

    @property
    def learning(self) -> Row:
        """Options of a network that learns."""
        return {} if self.size.steps is None else {"steps": self.size.steps}

    @property
    def ready(self) -> Row:
        """Options of the network of the default, which has learned."""
        return {"method": "network", "weights": self.weights, "steps": 0, "quality": False}

    def sharpen(self, name: str, pair: Pair | None = None, **options: Any) -> Row:
        """Sharpen a pair, by default the scene, into a file of a name: seconds by stage, Mpx/s, use of the GPU."""
        usual = {"device": str(self.device), "threads": self.threads, "sensor": "generic", "of": "gtiff"}
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        with usage_of(self.device) as percent:
            result = clippan.sharpen(*(pair or self.scene), self.path(name), overwrite=True, **usual | options)
        row: Row = {stage: result.seconds.get(stage, 0.0) for stage in STAGES} | {"Mpx/s": result.mpx_per_second}
        if percent:
            row["GPU %"] = sum(percent) / len(percent)
        if on_gpu:
            row["GPU MB"] = self.peak_mb[name] = torch.cuda.max_memory_allocated(self.device) / 2**20
        return row

    def path(self, name: str) -> Path:
        """The file of a result."""
        return self.folder / f"{name}.tif"

    def whole_process(self, **options: Any) -> Row:
        """What the user of a terminal waits for."""
        command = [*CLIPPAN, "sharpen", *map(str, self.scene), "-o", str(self.path("outside")), "-q", "--overwrite"]
        options |= {"device": self.device, "threads": self.threads, "sensor": "generic"}
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        return {"total": measure([*command, *given]).seconds}

    def again(self) -> Row:
        """The default once more: nothing may differ."""
        row = self.sharpen("again", **self.learning)
        same = self.path("first").read_bytes() == self.path("again").read_bytes()
        return row | {"note": "the same file" if same else f"another file: {self.difference('first', 'again')}"}

    def full_precision(self) -> Row:
        """Without bfloat16 and TF32."""
        with (
            patch.object(torch, "autocast", lambda *args, **options: nullcontext()),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        ):
            row = self.sharpen("full", **self.ready)
        return row | {"note": self.difference("as_shipped", "full")}

    def on_cpu(self) -> Row:
        """The same network on the CPU."""
        row = self.sharpen("cpu", **self.ready | {"device": "cpu"})
        return row | {"note": self.difference("as_shipped", "cpu")}

    def too_little_memory(self) -> Row:
        """One tile on a GPU that cannot hold it, and so has to make it in quarters."""
        with self.little_memory(), patch.object(fuse, "sharpen_tile", wraps=fuse.sharpen_tile) as calls:
            row = self.sharpen("little", **self.ready | {"tile": self.size.side})
        return row | {"note": f"{calls.call_count} tiles begun; {self.difference('as_shipped', 'little')}"}

    @contextmanager
    def little_memory(self) -> Iterator[None]:
        """Leave free less memory of the GPU than the tile takes, if there is one."""
        if self.device.type != "cuda":
            yield
            return
        torch.cuda.empty_cache()
        spare = TOO_LITTLE * self.peak_mb["as_shipped"] * 2**20
        whole = torch.cuda.get_device_properties(self.device).total_memory
        share = (torch.cuda.memory_reserved(self.device) + spare) / whole
        torch.cuda.set_per_process_memory_fraction(share, self.device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, self.device)

    def difference(self, one: str, other: str) -> str:
        """By how much two results differ, in words."""
        images = []
        for name in (one, other):
            with rasterio.open(self.path(name)) as dataset:
                images.append(dataset.read().astype(np.float64))
        apart = np.abs(images[0] - images[1])
        return f"differs by at most {apart.max():g} DN, by {apart.mean():.3f} on average"


@contextmanager
def usage_of(device: torch.device) -> Iterator[list[int]]:
    """Ask now and then how busy a GPU is, in per cent; nothing where nobody knows."""
    found: list[int] = []
    tool = shutil.which("nvidia-smi") if device.type == "cuda" else None
    if tool is None:
        yield found
        return
    query = [tool, "-i", str(device.index or 0), "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.2):
            said = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
            if said.isdigit():
                found.append(int(said))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield found
    finally:
        ended.set()
        asking.join()


if __name__ == "__main__":
    main()
