"""Are data sets for pansharpening read as the library of their format wrote them, and hostile ones refused?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import h5py
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.sparse import eye

from clippan_cli.products.arrays import samples, write_sample
from clippan_cli.products.finding import find_scene, find_scenes
from clippan_cli.rasters import array_files
from clippan_cli.rasters.array_files import read_image
from clippan_cli.rasters.options import PairOptions, Trust
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.fingerprint import file_sha256
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.sharpen import sharpen
from clippan_cli.writing.options import OutputOptions
from clippan_models.errors import ClippanError, IncompatiblePairError, InputError, UsageError

COUNT, BANDS, SIDE, RATIO = 3, 4, 8, 4
Pixels = NDArray[Any]


@dataclass(frozen=True)
class DataSet:
    """Samples [N, C, H, W] with the values of 11 bits, as PanCollection has them."""

    gt: Pixels = field(default_factory=lambda: noise(COUNT, BANDS, RATIO * SIDE))
    pan: Pixels = field(default_factory=lambda: noise(COUNT, 1, RATIO * SIDE))
    ms: Pixels = field(default_factory=lambda: noise(COUNT, BANDS, SIDE))

    @property
    def lms(self) -> Pixels:
        """Interpolated MS; its values are those of nothing else, so that it cannot be taken for MS unnoticed."""
        return self.gt + 1

    def one(self, name: str, sample: int = 1) -> Pixels:
        """[C, H, W]."""
        image: Pixels = getattr(self, name)[sample]
        return image

    def matlab(self, name: str) -> Pixels:
        """[H, W, C], or [H, W] for PAN."""
        return self.one(name).transpose(1, 2, 0).squeeze()


def noise(*shape: int) -> Pixels:
    shape = (*shape, shape[-1])
    return np.random.default_rng(shape).integers(1, 2**11, shape).astype(np.uint16)


DATA = DataSet()
TOOLBOX = {"I_MS_LR": "ms", "I_MS": "lms", "I_PAN": "pan", "I_GT": "gt"}


def pancollection(path: Path) -> str:
    with h5py.File(path / "test_multiExm.h5", "w") as file:
        for name in ("gt", "ms", "lms", "pan"):
            file.create_dataset(name, data=getattr(DATA, name).astype(np.float32), compression="gzip", chunks=True)
    return f"{path}/test_multiExm.h5#1"


def toolbox(path: Path) -> str:
    savemat(path / "one.mat", {name: DATA.matlab(of) for name, of in TOOLBOX.items()})
    return f"{path}/one.mat"


def toolbox_packed(path: Path) -> str:
    doubles = {name: DATA.matlab(of).astype(np.float64) for name, of in TOOLBOX.items()}
    savemat(path / "one.mat", doubles, do_compression=True)
    return f"{path}/one.mat#0"


def toolbox_73(path: Path) -> str:
    """As MATLAB writes it: HDF5 behind 512 bytes that say so, and the axes in reverse."""
    with h5py.File(path / "one.MAT", "w", userblock_size=512) as file:
        for name, of in TOOLBOX.items():
            file.create_dataset(name, data=DATA.matlab(of).T).attrs["MATLAB_class"] = np.bytes_("uint16")
    with (path / "one.MAT").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    return f"{path}/one.MAT"


def npz(path: Path) -> str:
    np.savez(path / "one.npz", ms=DATA.one("ms"), lms=DATA.one("lms"), pan=DATA.one("pan")[0], gt=DATA.one("gt"))
    return f"{path}/one.npz"


def npz_of_many(path: Path) -> str:
    np.savez_compressed(path / "all.npz", ms=DATA.ms, pan=np.asfortranarray(DATA.pan), gt=DATA.gt.astype(">i8"))
    return f"{path}/all.npz#1"


def found(name: str) -> SceneFiles:
    return find_scene(Path(name), Trust(), Control())


def fused(files: SceneFiles, output: Path, aligned: bool = False) -> tuple[Pixels, Any]:
    read = ReadOptions(PairOptions(assume_aligned=aligned), sensor="generic", coregister="off")
    encoding = OutputOptions(driver="gtiff", dtype="uint16")
    sharpen(files, read, SharpenOptions(output, method="brovey", assess=False, encoding=encoding))
    with rasterio.open(output) as file:
        return file.read(), file.profile


def geotiff(path: Path, pixels: Pixels) -> str:
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape) as file:
        file.write(pixels)
    return str(path)


@pytest.mark.parametrize("write", [pancollection, toolbox, toolbox_packed, toolbox_73, npz, npz_of_many])
def test_a_sample_is_sharpened_as_the_same_pixels_in_two_geotiffs(write: Callable[[Path], str], tmp_path: Path) -> None:
    scene = found(write(tmp_path))
    plain = SceneFiles((geotiff(tmp_path / "ms.tif", DATA.one("ms")),), geotiff(tmp_path / "pan.tif", DATA.one("pan")))
    (one, profile), (other, expected) = (
        fused(scene, tmp_path / "one.tif"),
        fused(plain, tmp_path / "other.tif", aligned=True),
    )
    np.testing.assert_array_equal(one, other)
    assert profile == expected and profile["crs"] is None and profile["transform"].is_identity
    assert scene.reference is not None
    np.testing.assert_array_equal(read_image(scene.reference), DATA.one("gt"))


def test_arrays_of_any_name_can_be_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", low=DATA.ms, broad=DATA.pan)
    scene = SceneFiles((f"{tmp_path}/a.npz#2:low",), f"{tmp_path}/a.npz#2:broad")
    (files,) = samples(Path(pancollection(tmp_path).replace("#1", "#2")))
    one, other = (fused(each, tmp_path / f"{n}.tif")[0] for n, each in enumerate((scene, files)))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(IncompatiblePairError, match="--assume-aligned"):
        fused(SceneFiles(scene.ms, scene.pan.replace("#2", "#1")), tmp_path / "other.tif")


def test_all_samples_are_scenes_of_their_own(tmp_path: Path) -> None:
    path = pancollection(tmp_path).partition("#")[0]
    scenes = find_scenes(Path(path), Trust(), Control()).pairs
    assert [scene.id for scene in scenes] == [f"test_multiExm-{n}" for n in range(COUNT)]
    for n, scene in enumerate(scenes):
        np.testing.assert_array_equal(read_image(scene.ms[0]), DATA.ms[n])
    with pytest.raises(InputError, match=f"holds {COUNT} scenes: .*test_multiExm.h5#0"):
        found(path)
    with pytest.raises(InputError, match=r"#3: test_multiExm\.h5 has the samples 0 to 2"):
        found(f"{path}#3")


def test_a_sample_without_truth_has_no_reference(tmp_path: Path) -> None:
    savemat(tmp_path / "full.mat", {"ms": DATA.matlab("ms"), "lms": DATA.matlab("lms"), "pan": DATA.matlab("pan")})
    assert found(f"{tmp_path}/full.mat").reference is None


def test_samples_are_written_for_programs_that_read_no_arrays(tmp_path: Path) -> None:
    (scene,) = samples(Path(npz(tmp_path)))
    written = write_sample(scene, tmp_path)
    for name, role in ((written.ms[0], "ms"), (written.pan, "pan"), (str(written.reference), "gt")):
        with rasterio.open(name) as file:
            np.testing.assert_array_equal(file.read(), DATA.one(role))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("int8", "int16"), ("uint8", "uint8"), (">u2", "uint16"), ("int64", "float64"), ("float16", "float32")],
)
def test_values_stay_what_they_are_in_a_type_of_rasters(dtype: str, expected: str, tmp_path: Path) -> None:
    pixels = (DATA.one("ms") % 100).astype(dtype)
    np.savez(tmp_path / "a.npz", ms=pixels)
    image = read_image(f"{tmp_path}/a.npz#0:ms")
    assert image.dtype == expected
    np.testing.assert_array_equal(image, pixels)


def test_the_checksum_of_an_image_is_that_of_its_pixels(tmp_path: Path) -> None:
    name = f"{tmp_path}/a.npz#0:ms"
    np.savez(tmp_path / "a.npz", ms=DATA.ms)
    before = file_sha256(name)
    np.savez(tmp_path / "a.npz", ms=DATA.ms, more=DATA.pan)
    assert file_sha256(name) == before
    np.savez(tmp_path / "a.npz", ms=DATA.ms + 1)
    assert before and file_sha256(name) != before


SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "bands last": (
        {"ms": np.moveaxis(DATA.ms, 1, -1), "pan": np.moveaxis(DATA.pan, 1, -1)},
        r"ms has the shape \(3, 8, 8, 4\), pan has the shape \(3, 32, 32, 1\); with the axes samples, bands, rows",
    ),
    "no whole ratio": ({"ms": DATA.ms, "pan": DATA.pan[..., :-1, :-1]}, r"\(3, 1, 31, 31\).*times a whole number"),
    "two ratios": ({"ms": DATA.ms, "pan": DATA.pan[..., :16]}, r"pan has the shape \(3, 1, 32, 16\)"),
    "swapped": ({"ms": DATA.pan, "pan": DATA.ms}, r"ms has the shape \(3, 1, 32, 32\)"),
    "other samples": ({"ms": DATA.ms, "pan": DATA.pan[:2]}, r"pan has the shape \(2, 1, 32, 32\)"),
    "a truth of MS": ({"ms": DATA.ms, "pan": DATA.pan, "gt": DATA.ms}, "gt must have the bands of ms"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_that_do_not_fit_are_named(case: str, tmp_path: Path) -> None:
    arrays, words = SHAPES[case]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(IncompatiblePairError, match=words) as refusal:
        found(f"{tmp_path}/a.npz")
    assert "\n" not in str(refusal.value) and "a.npz" in str(refusal.value)


def with_ms(make: Callable[[h5py.File, Path], object]) -> Callable[[Path], Path]:
    """An HDF5 file with PAN, and with an MS that this function makes."""

    def write(folder: Path) -> Path:
        with h5py.File(folder / "other.h5", "w") as other:
            other["ms"] = DATA.ms
        (folder / "raw").write_bytes(DATA.ms.tobytes())
        with h5py.File(folder / "a.h5", "w") as file:
            file["pan"] = DATA.pan
            make(file, folder)
        return folder / "a.h5"

    return write


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout(DATA.ms.shape, DATA.ms.dtype)
    layout[:] = h5py.VirtualSource(folder / "other.h5", "ms", DATA.ms.shape)
    file.create_virtual_dataset("ms", layout)


def external(file: h5py.File, folder: Path) -> None:
    file.create_dataset("ms", DATA.ms.shape, DATA.ms.dtype, external=[(str(folder / "raw"), 0, DATA.ms.nbytes)])


def npz_with(**arrays: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez(folder / "a.npz", pan=DATA.pan, **arrays)
        return folder / "a.npz"

    return write


def mat_with(ms: Any, **options: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        savemat(folder / "a.mat", {"ms": ms, "pan": DATA.matlab("pan")}, **options)
        return folder / "a.mat"

    return write


def npz_that_lies(folder: Path) -> Path:
    """The header promises more than follows."""
    path = npz_with(ms=DATA.ms)(folder)
    with ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    with ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data[:200])
    return path


def npz_of_version_2(folder: Path) -> Path:
    """Such a header may have 4 GB."""
    path = npz_with()(folder)
    with ZipFile(path, "a") as file, file.open("ms.npy", "w") as content:
        np.lib.format.write_array(content, DATA.ms, version=(2, 0))
    return path


def npz_that_leads_out(folder: Path) -> Path:
    path = npz_with(ms=DATA.ms)(folder)
    with ZipFile(path, "a") as file:
        file.writestr("../evil.npy", b"")
    return path


def text(ending: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / f"a.{ending}").write_text("no arrays " * 100)
        return folder / f"a.{ending}"

    return write


PAIRS = np.zeros(DATA.ms.shape, [("re", "f4"), ("im", "f4")])
HUGE = (1, 4, 2**20, 2**20)

HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "soft link": (with_ms(lambda file, _: file.update(ms=h5py.SoftLink("/pan"))), "ms is a link"),
    "link to a file": (with_ms(lambda file, _: file.update(ms=h5py.ExternalLink("other.h5", "/ms"))), "ms is a link"),
    "virtual": (with_ms(virtual), "values of ms lie in other files"),
    "values in another file": (with_ms(external), "values of ms lie in other files"),
    "group": (with_ms(lambda file, _: file.create_group("ms")), "ms is a group"),
    "compound": (with_ms(lambda file, _: file.create_dataset("ms", data=PAIRS)), "not numbers"),
    "texts": (with_ms(lambda file, _: file.create_dataset("ms", data=["a"] * 8)), "not numbers"),
    "huge": (with_ms(lambda file, _: file.create_dataset("ms", HUGE, "f8", chunks=(1, 1, 8, 8))), "more than 1 GB"),
    "huge chunks": (with_ms(lambda file, _: file.create_dataset("ms", (1, 4, 8, 8), "f8", chunks=(2**20, 4, 8, 8),
                                                                maxshape=(None, 4, 8, 8))), "chunks of ms"),
    "no MS": (with_ms(lambda file, _: None), "holds no MS, an array called ms or I_MS_LR"),
    "pickled": (npz_with(ms=np.array([{}, {}], object)), "not numbers"),
    "truncated": (npz_that_lies, "cannot be read"),
    "long header": (npz_of_version_2, "ms is not in the format"),
    "name that leads out": (npz_that_leads_out, "leads out of the archive"),
    "empty": (npz_with(ms=DATA.ms[:0]), r"ms has the shape \(0, 4, 8, 8\)"),
    "five axes": (npz_with(ms=DATA.ms[None]), r"ms has the shape \(1, 3, 4, 8, 8\)"),
    "complex": (mat_with(DATA.matlab("ms") * 1j), "not numbers"),
    "cells": (mat_with(np.array([[1], "a"], object)), "ms is a cell"),
    "struct": (mat_with({"a": 1}), "ms is a struct"),
    "sparse": (mat_with(eye(8)), "ms is a sparse"),
    "version 4": (mat_with(np.ones((8, 8)), format="4"), "not a MATLAB file of version 5 or 7.3"),
    "no HDF5": (text("h5"), "cannot be read"),
    "no mat": (text("mat"), "not a MATLAB file"),
    "no npz": (text("npz"), "cannot be read"),
}  # fmt: skip


def read_first(path: Path) -> None:
    for name in samples(path)[0].names:
        read_image(name)


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_array_of_pixels_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    write, words = HOSTILE[case]
    path = write(tmp_path)
    with pytest.raises(ClippanError, match=words) as refusal:
        read_first(path)
    assert isinstance(refusal.value, InputError) and "\n" not in str(refusal.value) and path.name in str(refusal.value)


def test_a_variable_that_unpacks_beyond_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "LARGEST_IMAGE", 2**20)
    beyond = np.zeros((2**9, 2**9))
    savemat(tmp_path / "a.mat", {"ms": beyond[:255]}, do_compression=True)
    assert read_image(f"{tmp_path}/a.mat#0:ms").shape == (1, 255, 512)
    savemat(tmp_path / "a.mat", {"ms": DATA.matlab("ms"), "else": beyond}, do_compression=True)
    with pytest.raises(InputError, match=r"a\.mat holds a variable of more than 1 MB"):
        read_image(f"{tmp_path}/a.mat#0:ms")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pancollection(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"test_multiExm\.h5 needs .*clippan\[hdf5\]"):
        found(path)
