"""Files of every format with a few bytes wrong: each is read or refused by an error of clippan, within seconds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from clippan_cli.bench.suite import read_suite
from clippan_cli.products.finding import find_scene, find_scenes
from clippan_cli.rasters.array_files import read_image
from clippan_cli.rasters.options import PairOptions, Trust
from clippan_cli.rasters.pair import open_pair
from clippan_cli.rasters.vector import read_shapes
from clippan_cli.running.control import Control
from clippan_cli.scene.files import LeftOut
from clippan_cli.weights.cards import show_weights
from clippan_models.errors import ClippanError
from clippan_models.guidance.prompts import load_prompts
from clippan_models.networks.registry import find_backbone
from clippan_models.store.card import CardBand, ModelCard
from clippan_models.store.checkpoint import Checkpoint, Normalisation, load_checkpoint, save_checkpoint
from clippan_models.store.foreign import read_foreign
from tests.fuzz.spoiled import fuzzed, spoiled, spoiled_bytes
from tests.products import deliveries
from tests.products.deliveries import Mtl, Shelf

LONGEST = 5.0  # CPU seconds of one file


@dataclass(frozen=True)
class Readable:
    """A file, and how it is read: by itself, or as a part of something."""

    file: Path
    read: Callable[[], object]


def product(folder: Path, path: Path, ending: str = "") -> Readable:
    """A product in a folder, of which its main file is spoiled, or a text beside it."""

    def read() -> None:
        left_out: tuple[LeftOut, ...] = ()
        with suppress(ClippanError):
            left_out = find_scenes(folder, Trust(), Control()).left_out
        assert not [item for item in left_out if "unexpected" in item.reason]
        scene = find_scene(path, Trust(), Control())
        with ExitStack() as stack:
            open_pair(scene.ms, scene.pans, PairOptions(), stack, (scene.ms_declared, scene.pan_declared))

    return Readable(next(path.parent.glob(f"*{ending}")) if ending else path, read)


def landsat(form: str, shelf: Shelf) -> Readable:
    return product(shelf.folder, deliveries.landsat(shelf, Mtl(form=form)))


def zipped(shelf: Shelf) -> Readable:
    deliveries.pleiades(shelf)
    path = shelf.folder.parent / "zipped" / "bundle.zip"
    path.parent.mkdir()
    with ZipFile(path, "w") as archive:
        for file in sorted(shelf.folder.rglob("*.*")):
            archive.write(file, str(file.relative_to(shelf.folder)))
    return product(path.parent, path)


def arrays(name: str, shelf: Shelf) -> Readable:
    """A file of arrays; both images of its first sample are read."""
    ms, pan = np.arange(1, 4 * 16 + 1, dtype=np.float64).reshape(4, 4, 4), np.ones((16, 16))
    path = shelf.folder / name
    if path.suffix == ".h5":
        h5py = pytest.importorskip("h5py", reason="h5py is the extra [hdf5]")
        with h5py.File(path, "w") as file:
            file.create_dataset("ms", data=ms[None], compression="gzip")
            file.create_dataset("pan", data=pan[None, None])
    elif path.suffix == ".mat":
        savemat = pytest.importorskip("scipy.io").savemat
        savemat(path, {"I_MS_LR": ms.transpose(1, 2, 0), "I_PAN": pan}, do_compression="packed" in name)
    else:
        np.savez(path, ms=ms, pan=pan)

    def read() -> None:
        scene = find_scene(path, Trust(), Control())
        for image in (*scene.ms, scene.pan):
            read_image(image)

    return Readable(path, read)


def areas(name: str, shelf: Shelf) -> Readable:
    pytest.importorskip("pyogrio", reason="pyogrio is the extra [vector]")
    from tests.rasters.test_vector import written

    path = written(shelf.folder / name)
    return Readable(path, lambda: read_shapes(path))


def weights(shelf: Shelf) -> Readable:
    """A file of weights, of which what comes before the tensors is spoiled."""
    path, whole = shelf.folder / "header", shelf.folder / "w.safetensors"
    network = find_backbone("pnn").build(2)
    save_checkpoint(Checkpoint("pnn", 2, network, Normalisation((1.0, 2.0), (1.0, 1.0), 3.0, 1.0)), whole)
    content = whole.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(content[:size])

    def read() -> None:
        whole.write_bytes(path.read_bytes() + content[size:])
        show_weights(whole)
        load_checkpoint(whole)

    return Readable(path, read)


def pickled(shelf: Shelf) -> Readable:
    path = shelf.folder / "theirs.pth"
    torch.save({"state_dict": {"a.weight": torch.ones(2, 2), "a.bias": torch.ones(2)}}, path)
    return Readable(path, lambda: read_foreign(path))


SUITE = """title = "Ours"
seeds = [1, 2]
[metrics]
border = 4
[[scene]]
name = "a"
synthetic = 7
[[scene]]
name = "b *"
ms = "*_ms.tif"
pan = "*_pan.tif"
coregister = "off"
[[method]]
name = "mine"
method = "network"
steps = 3
"""
PROMPTS = 'ms = "an image of several bands"\npan = "a grey image"\nhrms = "a sharp image"\n'


def text(shelf: Shelf, name: str, content: str, read: Callable[[Path], object]) -> Readable:
    path = shelf.text(name, content)
    for role in ("ms", "pan"):
        shelf.text(f"b_{role}.tif", "")
    return Readable(path, lambda: read(path))


FORMATS: dict[str, Callable[[Shelf], Readable]] = {
    **{f"mtl {form}": partial(landsat, form) for form in ("txt", "json", "xml")},
    "dimap": lambda s: product(s.folder, deliveries.pleiades(s)),
    "til": lambda s: product(s.folder, deliveries.maxar(s)),
    "imd": lambda s: product(s.folder, deliveries.maxar(s), ".IMD"),
    "rpb": lambda s: product(s.folder, deliveries.gaofen(s), "MSS1.rpb"),
    "gaofen xml": lambda s: product(s.folder, deliveries.gaofen(s)),
    "zip": zipped,
    **{name: partial(arrays, name) for name in ("a.h5", "a.mat", "packed.mat", "a.npz")},
    **{name: partial(areas, name) for name in ("a.shp", "a.gpkg", "a.fgb")},
    "safetensors": weights,
    "pickle": pickled,
    "suite": lambda s: text(s, "suite.toml", SUITE, read_suite),
    "prompts": lambda s: text(s, "prompts.toml", PROMPTS, load_prompts),
}


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_a_spoiled_file_is_read_or_refused(make: Callable[[Shelf], Readable], tmp_path: Path) -> None:
    good = make(Shelf(tmp_path / "product", tmp_path / "plain", 7))
    content = good.file.read_bytes()
    good.read()  # as it is, it is no error

    @fuzzed(share=8, content=spoiled_bytes(content))
    def reads(content: bytes) -> None:
        good.file.write_bytes(content)
        began = time.process_time()
        with suppress(ClippanError):
            good.read()
        assert time.process_time() - began < LONGEST

    reads()


def test_weights_that_say_something_else_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    network = find_backbone("pnn").build(2)
    card = ModelCard("WorldView-3", (CardBand("blue", (450.0, 510.0)), CardBand("red", None)), 11, 4.0)
    save_checkpoint(Checkpoint("pnn", 2, network, Normalisation((1.0, 2.0), (1.0, 1.0), 3.0, 1.0), card=card), path)
    with safe_open(path, framework="pt") as file:
        (key, header), *_ = file.metadata().items()
    load_checkpoint(path)

    @fuzzed(changed=spoiled(json.loads(header)))
    def reads(changed: Any) -> None:
        state = {name: value.contiguous() for name, value in network.state_dict().items()}
        save_file(state, path, metadata={key: json.dumps(changed)})
        for read in (load_checkpoint, show_weights):
            with suppress(ClippanError):
                read(path)

    reads()


def test_guided_fuzzing_runs() -> None:
    pytest.importorskip("atheris", reason="atheris is not installed; it is for fuzzing by hand")
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.guided", "suite", "-runs=20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Done 20 runs" in done.stderr, done.stderr
