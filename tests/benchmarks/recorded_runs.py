"""Records runs of the command line, and compares two recordings: what a refactoring must leave as it was.

A run is some commands in a folder with synthetic rasters. Of each command are kept the exit code, stdout, stderr, and
what is in the files that it wrote: grids, types, tags and hashes of the pixels of rasters, hashes of tensors, the text
of pages. Numbers are compared digit by digit, so both recordings must come from the same machine and environment; set
PYTHONPATH to record another checkout. Nothing of clippan is imported here, so that any two versions can be compared.

Usage: python tests/benchmarks/recorded_runs.py record FOLDER [--only NAME]
       python tests/benchmarks/recorded_runs.py compare FOLDER FOLDER [--only NAME] [--no-words]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recorded_files import as_document, describe
from recorded_scenes import Pair, Text, write_foreign_weights

# What is not compared, since it differs between two runs of the same code: values in documents and tags by their key,
# and words in any text by their form.
VOLATILE_KEYS = {
    "seconds",  # wall time; the estimate of a plan goes with it
    "mpx_per_second",
    "resumed_at",  # the step at which a training was stopped
    "FILE_BYTES",  # of a COG with several blocks: depends on the timing of GDAL's threads
}
VOLATILE_TEXT = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC": "DATE",
    r"\b\d+\.\d+\.\d+(\+\w+)?\b": "VERSION",  # of clippan, Python, torch, rasterio and GDAL
    r"\b[\d.]+ Mpx/s": "SPEED",
    r"\b[\d.]+ s\b": "SECONDS",
    r"\bstep \d+ of (?=\d+ is in )": "step N of ",  # at which a training was stopped
}
PROGRESS_LINE = re.compile(r"\S+ (\S+ )?\d+/\d+(  .*)?")  # of stderr; which ones there are depends on the clock alone
WORDS = ("stderr", "text", "drawings", "scripts and styles")  # messages for people, and what holds their words
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
ON_CPU = ("--device", "cpu", "--threads", "1")
COMPUTING = ("sharpen", "batch", "adapt", "assess", "demo")
SHOWN = 160  # characters of a value that differs


# --- Runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """Commands that are run one after the other in a folder of their own.

    Attributes:
        name: of the run.
        commands: arguments of clippan.
        inputs: what writes the files that they need.
        stop_at: the file at whose appearance a command gets SIGTERM, by command.
    """

    name: str
    commands: tuple[str, ...]
    inputs: tuple[Callable[[Path], None], ...] = (Pair(),)
    stop_at: dict[str, str] = field(default_factory=dict)


SHARPEN = "sharpen ms.tif pan.tif -o out.tif --json"
CLASSICAL = ("exp", "brovey", "gsa", "mtf-glp-fs", "mtf-glp-hpm-r", "bdsd-pc", "sr-d")
SQUARE = [[15.0003, 48.7525], [15.0012, 48.7525], [15.001, 48.7531], [15.0003, 48.7525]]
AREA = json.dumps({"type": "Polygon", "coordinates": [SQUARE]})
ARCHIVE = tuple(Pair(f"archive/{name}_", side=192, seed=seed) for seed, name in enumerate("abc", 1))
STOPPED = (
    "adapt archive -o parts.safetensors --steps 20 --backbone apnn --snapshot-minutes 0.000001 --no-validation --json"
)
BOX = "500020,5399900,500090,5399975"

RUNS = (
    *(Run(f"method-{name}", (f"{SHARPEN} --method {name}",)) for name in CLASSICAL),
    Run("method-network", (f"{SHARPEN} --method network --steps 3 --seed 7",)),
    Run("method-clippan", (f"{SHARPEN} --steps 3 --seed 7 --save-weights w.safetensors --quicklook look.png",)),
    Run(
        "learning",
        (
            f"{SHARPEN} --steps 2 --preset fast --stage1-steps 2 --stem pca --prompt 'sharp roofs' --teacher gsa",
            f"{SHARPEN} --method network --steps 2 --loss spec,d=0.3,wald --no-projection --teacher self --overwrite",
        ),
    ),
    Run(
        "weights",
        (
            f"{SHARPEN} --method network --backbone pnn --steps 3 --save-weights pnn.safetensors",
            f"{SHARPEN} --method network --weights pnn.safetensors --steps 0 -o again.tif",
            "models show pnn.safetensors --json",
            f"{SHARPEN} --method network --weights pnn.safetensors --backbone apnn -o other.tif",
            "sharpen three_ms.tif three_pan.tif -o three.tif --method network --weights pnn.safetensors",
            f"{SHARPEN} --weights damaged.safetensors -o damaged.tif",
        ),
        (Pair(), Pair("three_", bands=3, seed=1), Text("damaged.safetensors", "not weights")),
    ),
    Run(
        "nodata",
        tuple(
            f"sharpen {name}_ms.tif {name}_pan.tif -o {name}.tif --method gsa --json {more}"
            for name, more in (("nan", "--quicklook nan.png"), ("value", ""), ("mask", "--of gtiff"))
        ),
        (Pair("nan_", dtype="float32", holes="nan"), Pair("value_", holes="value"), Pair("mask_", holes="mask")),
    ),
    Run(
        "extents",
        (f"{SHARPEN} --method gsa", f"{SHARPEN} --method gsa --extent pan -o pan_extent.tif"),
        (Pair(crop=(10, 60, 3, 50)),),
    ),
    Run("warped", (f"{SHARPEN} --method mtf-glp-fs",), (Pair(crs="EPSG:4326"),)),
    Run(
        "tiles",
        (
            f"{SHARPEN} --method gsa --tile 256",
            f"{SHARPEN} --method gsa -o whole.tif",
            f"{SHARPEN} --method network --backbone apnn --steps 1 --tile 256 -o net.tif",
        ),
        (Pair(side=528),),
    ),
    Run(
        "regions",
        (
            f"{SHARPEN} --method gsa --bbox {BOX}",
            f"{SHARPEN} --method exp --bbox 15.0004,48.7527,15.0012,48.7532 --bbox-crs EPSG:4326 -o geographic.tif",
            f"{SHARPEN} --method gsa --aoi area.geojson -o area.tif",
        ),
        (Pair(), Text("area.geojson", AREA)),
    ),
    Run("bands", (f"{SHARPEN} --method gsa --bands 3,2,1",)),
    Run(
        "one-band-files",
        ("sharpen --ms ms1.tif --ms ms2.tif --ms ms3.tif --pan pan.tif -o out.tif --method gsa --json",),
        (Pair(bands=3, split=True),),
    ),
    Run(
        "types",
        tuple(
            f"sharpen {name}_ms.tif {name}_pan.tif -o {name}.tif --method mtf-glp-hpm-r --json"
            for name in ("uint8", "int16", "float32")
        ),
        tuple(Pair(f"{name}_", dtype=name) for name in ("uint8", "int16", "float32")),
    ),
    Run(
        "ratios",
        (
            "sharpen two_ms.tif two_pan.tif -o two.tif --method gsa --json",
            "sharpen oblong_ms.tif oblong_pan.tif -o oblong.tif --method mtf-glp-fs --json",
            "sharpen three_ms.tif three_pan.tif -o three.tif --method network --backbone apnn --steps 1 --json",
            "sharpen enlarged_ms.tif enlarged_pan.tif -o enlarged.tif --method gsa --json",
        ),
        (
            Pair("two_", ratio=(2, 2), side=160),
            Pair("oblong_", ratio=(4, 3), side=240),
            Pair("three_", ratio=(3, 3), side=192),
            Pair("enlarged_", enlarged=True),
        ),
    ),
    Run(
        "encoding",
        (
            f"{SHARPEN} --method exp --of gtiff --co TILED=YES --co BLOCKXSIZE=64 --co BLOCKYSIZE=64 --no-quality",
            f"{SHARPEN} --method exp --compress zstd --co BLOCKSIZE=128 -o zstd.tif --coregister off",
            f"{SHARPEN} --method exp --co NOSUCHOPTION=1 -o option.tif",
        ),
    ),
    Run("sensor", (f"{SHARPEN} --method mtf-glp-fs --sensor worldview-2",), (Pair(bands=8),)),
    Run(
        "sharpen-report",
        ("sharpen ms.tif pan.tif -o out.tif --method network --backbone apnn --steps 2 --report page.html",),
    ),
    Run("info", ("info ms.tif pan.tif --json", "info ms.tif pan.tif")),
    Run(
        "assess",
        (
            f"{SHARPEN} --method gsa",
            f"{SHARPEN} --method exp -o exp.tif",
            "assess out.tif exp.tif --ms ms.tif --pan pan.tif --reference truth.tif --report page.html --csv page.csv "
            "--maps maps --wald exp,gsa --json",
            "assess out.tif --ms ms.tif --pan pan.tif --qnr paper --no-baselines --csv paper.csv --max D_rho=0.00001",
        ),
    ),
    Run(
        "assess-many",
        (
            "sharpen all/a_ms.tif all/a_pan.tif -o all/a_gsa.tif --method gsa",
            "assess all --report all.html --csv all.csv --json",
        ),
        (Pair("all/a_"), Pair("all/b_", seed=1), Text("all/c_ms.tif", "damaged")),
    ),
    Run("dry-run", (f"{SHARPEN} --dry-run", "sharpen ms.tif pan.tif -o out.tif --dry-run --method gsa --tile 128")),
    Run(
        "adapt",
        (
            "adapt archive --dry-run --json",
            "adapt archive -o whole.safetensors --steps 20 --backbone apnn --licence CC0 --report learned.html --json",
            STOPPED,
            STOPPED.replace("--json", "--seed 3 --resume"),
            f"{STOPPED} --resume",
            "sharpen archive/a_ms.tif archive/a_pan.tif -o a.tif --json --weights whole.safetensors --steps 0",
        ),
        ARCHIVE,
        {STOPPED: "parts.safetensors.snapshot"},
    ),
    Run(
        "batch",
        (
            "batch archive --dry-run --pairs-out pairs.csv",
            "batch archive -o sharp --method gsa --json --report all.html",
            "batch archive -o sharp --method gsa --json",
            "batch bad.csv -o bad --method exp --json",
        ),
        (*ARCHIVE, Text("archive/damaged.tif", "damaged"), Text("bad.csv", "ms,pan\narchive/damaged.tif,none.tif\n")),
    ),
    Run(
        "bad-input",
        (
            "sharpen missing.tif pan.tif -o out.tif",
            "sharpen damaged.tif pan.tif -o out.tif",
            "sharpen pan.tif ms.tif -o out.tif",
            "sharpen ms.tif pan.tif -o truth.tif",
            "sharpen ms.tif pan.tif -o ms.tif --overwrite",
            "sharpen ms.tif pan.tif -o out.tif --method magic",
            "sharpen ms.tif far_pan.tif -o out.tif",
        ),
        (Pair(), Pair("far_", seed=9), Text("damaged.tif", "damaged")),
    ),
    Run(
        "models",
        (
            "models list --json",
            "models show lformer",
            "models convert theirs.pth ours.safetensors --backbone pnn",
            "models convert theirs.pth ours.safetensors --backbone pnn --trust --json",
            "models convert damaged.pth other.safetensors --backbone pnn --trust",
            "models fetch clip",
        ),
        (write_foreign_weights, Text("damaged.pth", "damaged")),
    ),
    Run("demo", ("demo --steps 0 --json",), ()),
    Run("help", ("--help", *(f"{name} --help" for name in (*COMPUTING, "info", "models"))), ()),
)


# --- Recording --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    for action, folders in (("record", ["folder"]), ("compare", ["one", "other"])):
        arguments = actions.add_parser(action)
        for name in folders:
            arguments.add_argument(name, type=Path)
        arguments.add_argument("--only", default="", help="runs whose name contains this")
    arguments.add_argument("--no-words", action="store_true", help="leave out messages for people, on pages too")
    given = parser.parse_args()
    if given.action == "record":
        record(given.folder, given.only)
    else:
        sys.exit(compare(given.one, given.other, given.only, words=not given.no_words))


def record(target: Path, only: str) -> None:
    """Run everything whose name contains `only`, and write what came of it."""
    target.mkdir(parents=True, exist_ok=True)
    recording = {}
    with tempfile.TemporaryDirectory(prefix="recorded-runs-") as temporary:
        root = Path(temporary).resolve()
        for run in RUNS:
            if only not in run.name:
                continue
            before = os.times()
            (folder := root / run.name).mkdir()
            for make in run.inputs:
                make(folder)
            recording[run.name] = [
                {"command": command, **outcome(command, folder, run.stop_at.get(command))} for command in run.commands
            ]
            codes = " ".join(str(one["code"]) for one in recording[run.name])
            after = os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"{run.name:21}{spent:6.1f} s of CPU, exit codes {codes}", flush=True)
    (target / "recording.json").write_text(json.dumps(recording, indent=1) + "\n", encoding="utf-8")


def outcome(command: str, folder: Path, stop_at: str | None) -> dict[str, Any]:
    """Run clippan once; what it said, and what it wrote."""
    root, before = folder.parent, _contents(folder)
    words = shlex.split(command)
    words += ON_CPU if words[0] in COMPUTING and "--help" not in words else ()
    with subprocess.Popen(
        [sys.executable, "-m", "clippan_cli", *words],
        cwd=folder,
        env=_environment(root / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while stop_at and not (folder / stop_at).exists() and process.poll() is None:
            time.sleep(0.01)
        if stop_at:
            process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate()
    after = _contents(folder)
    notes = [line for line in settled(stderr, root).splitlines() if not PROGRESS_LINE.fullmatch(line)]
    written = [name for name, state in after.items() if before.get(name) != state]
    return {
        "code": process.returncode,
        "stdout": settled(as_document(stdout), root),
        "stderr": notes,
        "files": {name: settled(describe(folder / name), root) for name in written},
        "removed": sorted(before.keys() - after.keys()),
    }


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the user but where Python and clippan are."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    sources = [str(Path(one).resolve()) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    place = {name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME")}
    quiet = {"HF_HUB_OFFLINE": "1", "COLUMNS": "120", "TERM": "dumb", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return kept | place | quiet | ONE_THREAD | {"TMPDIR": str(home / "tmp"), "PYTHONPATH": os.pathsep.join(sources)}


def settled(value: Any, root: Path) -> Any:
    """A value without what differs between two runs of the same code; JSON within strings is taken apart."""
    if isinstance(value, dict):
        return {k: _forgotten(v) if k in VOLATILE_KEYS else settled(v, root) for k, v in value.items()}
    if isinstance(value, list):
        return [settled(one, root) for one in value]
    if not isinstance(value, str):
        return value
    if value[:1] in ("{", "[") and not isinstance(document := as_document(value), str):
        return settled(document, root)
    for pattern, word in VOLATILE_TEXT.items():
        value = re.sub(pattern, word, value.replace(str(root), "TEMPORARY"))
    return value


def _forgotten(value: Any) -> Any:
    return dict.fromkeys(value, "any") if isinstance(value, dict) else "any"


# --- Comparing --------------------------------------------------------------------------------------------------------


def compare(one: Path, other: Path, only: str, *, words: bool = True) -> int:
    """Print where two recordings differ; the exit code."""
    left, right = (json.loads((folder / "recording.json").read_text(encoding="utf-8")) for folder in (one, other))
    names = sorted(name for name in left.keys() | right.keys() if only in name)
    different = 0
    for name in names:
        for path, mine, theirs in differences(left.get(name), right.get(name), words=words):
            print(f"{name}{path}\n  - {_shown(mine)}\n  + {_shown(theirs)}")
            different += 1
    if different:
        print(f"{different} differences")
        return 1
    print(*names, sep="\n")
    print(f"{len(names)} runs, all equal")
    return 0 if names else 1


def differences(mine: Any, theirs: Any, path: str = "", *, words: bool = True) -> Iterator[tuple[str, Any, Any]]:
    """Where two documents differ: the path, and both values there."""
    key = path.rpartition(" / ")[2]
    if not words and (key in WORDS or (key == "stdout" and not isinstance(mine, dict))):
        return
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in [*mine, *(key for key in theirs if key not in mine)]:
            found = mine.get(key, "nothing"), theirs.get(key, "nothing")
            yield from differences(*found, f"{path} / {key}", words=words)
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for number, found in enumerate(zip(mine, theirs, strict=True)):
            yield from differences(*found, f"{path} / {number}", words=words)
    elif repr(mine) != repr(theirs):  # NaN is equal to NaN here
        yield path, mine, theirs


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


if __name__ == "__main__":
    main()
