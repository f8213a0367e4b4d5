"""Are arrays sharpened as files are, and do masks, nodata and shapes mean what a user of numpy and rasterio expects?"""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

import clippan
from clippan_cli.scene.synthetic import DemoScene
from tests.api.conftest import MS_PIXEL, PAN_PIXEL, UTM31, Array, Write, read

FAST: dict[str, Any] = {"method": "exp", "coregister": "off", "threads": 1}
PLACED: dict[str, Any] = {"ms_transform": MS_PIXEL, "pan_transform": PAN_PIXEL, "crs": UTM31}


def sharpened_file(folder: Path, pair: tuple[str, str], **options: Any) -> Array:
    """What `sharpen` writes, all of PAN."""
    output = folder / "file.tif"
    clippan.sharpen(*pair, output, extent="pan", quality=False, of="gtiff", threads=1, overwrite=True, **options)
    return read(output)


# --- The same pixels as with files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_pixels_are_those_of_files(dtype: str, scene: DemoScene, tmp_path: Path, write: Write) -> None:
    ms, pan = ((image / (16 if dtype == "uint8" else 1)).astype(dtype) for image in (scene.ms, scene.pan[0]))
    sharp = clippan.sharpen_arrays(ms, pan, method="mtf-glp-fs", threads=1, **PLACED)
    files = sharpened_file(
        tmp_path, (write("ms.tif", ms, MS_PIXEL), write("pan.tif", pan, PAN_PIXEL)), method="mtf-glp-fs"
    )
    assert sharp.shape == (4, 128, 128) and sharp.dtype == ms.dtype
    assert (sharp == files).all()


def test_pixels_of_a_network_are_those_of_files(ms: Array, pan: Array, pair: tuple[str, str], tmp_path: Path) -> None:
    network: dict[str, Any] = {"method": "network", "steps": 2, "seed": 5, "tile": 64}
    sharp = clippan.sharpen_arrays(ms, pan, threads=1, **PLACED, **network)
    assert (sharp == sharpened_file(tmp_path, pair, **network)).all()


def test_masks_and_nodata_mean_what_they_mean_in_files(ms: Array, pan: Array, tmp_path: Path, write: Write) -> None:
    ms_mask, pan_mask = np.ones(ms.shape[1:], bool), np.ones(pan.shape, bool)
    ms_mask[3:7, 10:14] = pan_mask[100:, 90:] = False
    ms[:, 20, 20] = 0
    pair = (
        write("ms.tif", ms, MS_PIXEL, mask=ms_mask, nodata=0),
        write("pan.tif", pan, PAN_PIXEL, mask=pan_mask, nodata=0),
    )
    masks: dict[str, Any] = {"ms_mask": ms_mask, "pan_mask": pan_mask, "nodata": 0}
    sharp = clippan.sharpen_arrays(ms, pan, method="gsa", threads=1, **masks, **PLACED)
    assert (sharp == sharpened_file(tmp_path, pair, method="gsa")).all()
    assert (sharp == 0).any() and (sharp > 0).any()


# --- Where pixels lie -------------------------------------------------------------------------------------------------


def test_a_ratio_stands_for_geotransforms_whose_corners_agree(ms: Array, pan: Array) -> None:
    placed = clippan.sharpen_arrays(ms, pan, **FAST, **PLACED)
    for bare in (
        clippan.sharpen_arrays(ms, pan, ratio=4, **FAST),
        clippan.sharpen_arrays(ms, pan[None], **FAST),
        clippan.sharpen_arrays(ms, pan, pan_transform=PAN_PIXEL, **FAST),
        clippan.sharpen_arrays(ms, pan, ms_transform=MS_PIXEL, **FAST),
        clippan.sharpen_arrays(ms, pan, ms_transform=Affine.scale(4), pan_transform=Affine.identity(), **FAST),
    ):
        assert np.abs(bare.astype(float) - placed).max() <= 1


def test_a_ratio_of_images_that_end_elsewhere(ms: Array, pan: Array) -> None:
    cut = clippan.sharpen_arrays(ms, pan[:101, :90], ratio=4, **FAST)
    whole = clippan.sharpen_arrays(ms, pan, ratio=4, **FAST)
    assert cut.shape == (4, 101, 90) and (cut[:, :90, :80] == whole[:, :90, :80]).all()


def test_pan_beyond_ms_is_nodata(ms: Array, pan: Array) -> None:
    sharp = clippan.sharpen_arrays(ms[:, :24], pan, ratio=4, nodata=65535, **FAST)
    assert sharp.shape == (4, 128, 128)
    assert (sharp[:, 96:] == 65535).all() and (sharp[:, :96] < 65535).all()


# --- Invalid pixels ---------------------------------------------------------------------------------------------------


def test_a_band_can_be_invalid_where_others_are_not(ms: Array, pan: Array) -> None:
    valid = np.ones(ms.shape, bool)
    valid[2, 8:12, 8:12] = False
    sharp = clippan.sharpen_arrays(ms.astype("float32"), pan, ratio=4, ms_mask=valid, **FAST)
    assert np.isnan(sharp[2, 32:48, 32:48]).all()
    assert np.isfinite(sharp[[0, 1, 3]]).all() and np.isnan(sharp).sum() == 16 * 16


def test_what_is_masked_has_no_influence(ms: Array, pan: Array) -> None:
    valid = np.ones(ms.shape[1:], bool)
    valid[10:15, 5:9] = False
    other = np.where(valid, ms, 4000).astype(ms.dtype)
    one, two = (
        clippan.sharpen_arrays(m, pan, ratio=4, ms_mask=valid, method="gsa", threads=1, coregister="off")
        for m in (ms, other)
    )
    assert (one == two).all()


@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_invalid_pixels_of_floats(nodata: float | None, ms: Array, pan: Array) -> None:
    values = ms.astype("float32")
    values[:, 4, 4] = np.nan if nodata is None else nodata
    sharp = clippan.sharpen_arrays(values, pan, ratio=4, nodata=nodata, **FAST)
    invalid = np.isnan(sharp) if nodata is None else sharp == nodata
    assert invalid[:, 16:20, 16:20].all() and invalid.sum() == 4 * 16


def test_masked_arrays_give_a_masked_array(ms: Array, pan: Array) -> None:
    mask = np.zeros(ms.shape, bool)
    mask[:, 0, 0] = True
    sharp = clippan.sharpen_arrays(np.ma.MaskedArray(ms, mask), np.ma.MaskedArray(pan), ratio=4, **FAST)
    assert isinstance(sharp, np.ma.MaskedArray) and np.ma.getmaskarray(sharp)[:, :4, :4].all()
    assert np.ma.getmaskarray(sharp).sum() == 4 * 16
    plain = clippan.sharpen_arrays(ms, pan, ratio=4, ms_mask=~mask, **FAST)
    assert type(plain) is np.ndarray and (plain == sharp.filled(0)).all()


# --- Manners ----------------------------------------------------------------------------------------------------------


def test_arrays_that_are_given_stay_as_they_are(ms: Array, pan: Array) -> None:
    view = np.asfortranarray(ms).astype(">u2")
    view.flags.writeable = pan.flags.writeable = False
    sharp = clippan.sharpen_arrays(view, pan, ratio=4, **FAST)
    assert sharp.dtype == ms.dtype
    assert (sharp == clippan.sharpen_arrays(ms, pan, ratio=4, **FAST)).all()


def test_nothing_is_warned_of_or_left_behind(
    ms: Array, pan: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", clippan.ClippanWarning)
        clippan.sharpen_arrays(ms, pan, ratio=4, **FAST)
    assert list(tmp_path.iterdir()) == []


def test_xarray_is_not_loaded_for_numpy(tmp_path: Path) -> None:
    code = (
        "import sys, numpy, clippan\n"
        "ms, pan = numpy.random.rand(3, 16, 16).astype('f4'), numpy.random.rand(64, 64).astype('f4')\n"
        "clippan.sharpen_arrays(ms, pan, method='exp')\n"
        "assert 'xarray' not in sys.modules\n"
    )
    quiet = [sys.executable, "-W", "ignore::UserWarning", "-c", code]
    done = subprocess.run(quiet, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ms": np.ones((32, 32), "u2")}, r"ms has the shape \(32, 32\); \[bands, rows, columns\] is needed"),
        ({"ms": np.ones((32, 32, 4), "u2")}, r"ms has the shape \(32, 32, 4\); bands come first: numpy.moveaxis"),
        ({"pan": np.ones((2, 128, 128), "u2")}, r"pan has the shape \(2, 128, 128\); \[rows, columns\] is needed"),
        ({"pan": np.ones((128, 126), "u2")}, r"ms has 32x32 pixels and pan 126x128, .* give the ratio"),
        ({"pan": np.ones((0, 128), "u2")}, r"pan has the shape"),
        ({"ms": np.ones((4, 32, 32), "i8")}, r"ms holds int64 values; clippan works with uint8, .* astype"),
        ({"ms_mask": np.ones((31, 32), bool)}, r"ms_mask has the shape \(31, 32\), but ms has \(4, 32, 32\)"),
        ({"pan_mask": np.ones((128, 128), "u1")}, r"pan_mask holds uint8 values; it must be of bool"),
        ({"nodata": -1}, r"nodata -1: uint16 has no such value"),
        ({"crs": "EPSG:nowhere"}, r"crs EPSG:nowhere: not a CRS"),
        ({"ratio": 4, **PLACED}, r"leave out ratio"),
        ({"ratio": 40}, r"pan .* is 40 times finer than ms"),
        ({**PLACED, "ms_transform": Affine.translation(1e6, 0) @ MS_PIXEL}, r"ms and pan do not overlap"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(change: dict[str, Any], words: str, ms: Array, pan: Array) -> None:
    given: dict[str, Any] = {"ms": ms, "pan": pan, **FAST, **change}
    with pytest.raises(clippan.ClippanError, match=words) as told:
        clippan.sharpen_arrays(given.pop("ms"), given.pop("pan"), **given)
    assert "\n" not in str(told.value) and "clippan-" not in str(told.value)
