"""What clippan doubts: each kind speaks on a spoiled pair and is silent on its clean twin."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate

from clippan_cli.rasters.options import Nodata, PairOptions
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import KINDS
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.tasks.info import info
from clippan_models.errors import StrictError

SIDE, RATIO = 256, 4
PAN_PIXEL = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
MS_PIXEL = PAN_PIXEL @ Affine.scale(RATIO)
CAMERA = ReadOptions(sensor="generic")
"""A sensor that the user has named, whatever it is."""


@dataclass(frozen=True)
class Image:
    """An image that is to be written."""

    values: NDArray[Any]
    transform: Affine
    crs: str = "EPSG:32633"
    driver: str = "GTiff"
    nodata: float | None = None

    def write(self, path: Path) -> str:
        count, height, width = self.values.shape
        shape = {"count": count, "height": height, "width": width, "dtype": self.values.dtype.name}
        place = {"transform": self.transform, "crs": self.crs, "nodata": self.nodata}
        corners = {"ICORDS": "G"} if self.driver == "NITF" else {}
        with rasterio.open(path, "w", driver=self.driver, **shape, **place, **corners) as dataset:
            dataset.write(self.values)
        return str(path)


def ground(seed: int, side: int = SIDE) -> NDArray[np.float64]:
    """Four bands of a scene as sharp as PAN."""
    r = np.random.default_rng(seed)
    fine = gaussian_filter(r.normal(size=(4, side, side)), (0, 1.2, 1.2)) * 900
    coarse = gaussian_filter(r.normal(size=(1, side, side)), (0, 6, 6)) * 4000
    return np.asarray((fine + coarse + 1000).clip(60, 1900), np.float64)


def ms_of(sharp: NDArray[np.float64], blur: float = 1.9) -> NDArray[np.float64]:
    bands, side, _ = sharp.shape
    small = side // RATIO
    blurred = gaussian_filter(sharp, (0, blur, blur))
    return np.asarray(blurred.reshape(bands, small, RATIO, small, RATIO).mean((2, 4)), np.float64)


def dn(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.asarray(values.round(), np.uint16)


def clean() -> tuple[Image, Image]:
    sharp = ground(0)
    return Image(dn(ms_of(sharp)), MS_PIXEL), Image(dn(sharp.mean(0, keepdims=True)), PAN_PIXEL)


def of_another_place(ms: Image, pan: Image) -> tuple[Image, Image]:
    return ms, replace(pan, values=dn(ground(1).mean(0, keepdims=True)))


def displaced(ms: Image, pan: Image) -> tuple[Image, Image]:
    return replace(ms, transform=MS_PIXEL @ Affine.translation(3, -8)), pan


def with_rounded_corners(ms: Image, pan: Image) -> tuple[Image, Image]:
    """NITF files at .6 m, whose corners are in whole seconds of arc: 31 m."""
    pixel = 0.6 / 111_320
    origin = Affine(pixel, 0, 15 + 11.4998 / 3600 - pixel, 0, -pixel, 0.01)
    written: dict[str, Any] = {"crs": "EPSG:4326", "driver": "NITF"}
    return (
        replace(ms, transform=origin @ Affine.scale(RATIO), **written),
        replace(pan, transform=origin, **written),
    )


def partly_displaced(ms: Image, pan: Image) -> tuple[Image, Image]:
    """One band lies further from the others than any is looked for."""
    sharp = ground(0)
    sharp[3] = np.roll(sharp[3], (-2, -6), (0, 1))
    return replace(ms, values=dn(ms_of(sharp))), pan


def rotated(ms: Image, pan: Image) -> tuple[Image, Image]:
    """A larger pair with MS rotated by .2 degrees about its centre: a PAN pixel between windows in its corners."""
    sharp = ground(0, side=2 * SIDE)
    turned = rotate(sharp, 0.2, (1, 2), reshape=False, order=3, mode="nearest")
    return replace(ms, values=dn(ms_of(turned))), larger(ms, pan)[1]


def out_of_focus(ms: Image, pan: Image) -> tuple[Image, Image]:
    return replace(ms, values=dn(ms_of(ground(0), blur=4))), pan


def stretched(ms: Image, pan: Image) -> tuple[Image, Image]:
    return replace(ms, transform=MS_PIXEL @ Affine.scale(1.03, 1)), pan


def with_fill(ms: Image, pan: Image) -> tuple[Image, Image]:
    values = ms.values.copy()
    values[:, :20, :20] = 0
    return replace(ms, values=values), pan


def with_scattered_fill(ms: Image, pan: Image) -> tuple[Image, Image]:
    values = np.asarray(ms.values, np.float32) + 20
    values[:, np.random.default_rng(2).random(values.shape[1:]) < 0.01] = -9999
    return replace(ms, values=values), pan


def with_bright_fill(ms: Image, pan: Image) -> tuple[Image, Image]:
    values = pan.values.copy()
    values[:, :, :30] = 65535
    return ms, replace(pan, values=values)


def framed(ms: Image, pan: Image, value: int, scale: int = 1) -> tuple[Image, Image]:
    """Both images, brighter by a factor, within a slanted collar of a value."""

    def filled(image: Image) -> Image:
        side = image.values.shape[1]
        y, x = np.mgrid[0:side, 0:side] / side
        inside = (x > 0.1 + 0.2 * y) & (x < 0.8 + 0.1 * y)
        return replace(image, values=np.where(inside, image.values * scale, value).astype(np.uint16))

    return filled(ms), filled(pan)


def with_white_collar(ms: Image, pan: Image) -> tuple[Image, Image]:
    return framed(ms, pan, 2047)


def with_white_collar_of_16_bits(ms: Image, pan: Image) -> tuple[Image, Image]:
    return framed(ms, pan, 65535, scale=33)


def with_clouds(ms: Image, pan: Image) -> tuple[Image, Image]:
    """A bright cloud with a soft edge, and roofs as sharp as PAN, all beyond what the camera measures."""
    sharp = ground(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    cloud = 4000 / (1 + np.exp((np.hypot(y - 90, x - 60) - 70) / 6))
    roofs = np.where((abs(y - 200) < 30) & (abs(x - 190) < 40), 2600, 0)
    seen = gaussian_filter(sharp + cloud + roofs, (0, 0.6, 0.6))
    ms = replace(ms, values=dn(ms_of(seen).clip(0, 2047)))
    return ms, replace(pan, values=dn(seen.mean(0, keepdims=True).clip(0, 2047)))


def with_nodata(ms: Image, pan: Image) -> tuple[Image, Image]:
    return replace(with_fill(ms, pan)[0], nodata=0), pan


def as_reflectance(ms: Image, pan: Image) -> tuple[Image, Image]:
    return replace(ms, values=(ms.values / 10_000).astype(np.float32)), pan


def overexposed(ms: Image, pan: Image) -> tuple[Image, Image]:
    return replace(ms, values=ms.values.clip(0, 1300)), pan


@pytest.fixture
def codes(tmp_path: Path) -> Callable[..., list[str]]:
    """The codes that `info` tells of a pair."""

    def look(ms: Image, pan: Image, read: ReadOptions = CAMERA) -> list[str]:
        told: list[str] = []
        files = SceneFiles((ms.write(tmp_path / "ms.img"),), pan.write(tmp_path / "pan.img"))
        found = info(files, read, Control(on_warning=lambda warning: told.append(warning.code)))
        assert [warning.code for warning in found.warnings] == told
        return told

    return look


Spoil = Callable[[Image, Image], tuple[Image, Image]]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (of_another_place, "pair-mismatch"),
        (with_rounded_corners, "pair-mismatch"),
        (with_rounded_corners, "rounded-corners"),
        (displaced, "large-shift"),
        (partly_displaced, "shift-at-limit"),
        (rotated, "shift-varies"),
        (out_of_focus, "blur-at-limit"),
        (stretched, "ratios-differ"),
        (with_fill, "undeclared-fill"),
        (with_scattered_fill, "undeclared-fill"),
        (with_bright_fill, "undeclared-fill"),
        (with_white_collar, "undeclared-fill"),
        (with_white_collar_of_16_bits, "undeclared-fill"),
        (as_reflectance, "small-values"),
        (overexposed, "saturated"),
        (with_clouds, "saturated"),
    ],
)
def test_a_spoiled_pair_is_told_of(spoil: Spoil, code: str, codes: Callable[..., list[str]]) -> None:
    assert code in codes(*spoil(*clean()))


def unchanged(ms: Image, pan: Image) -> tuple[Image, Image]:
    return ms, pan


def said(ms: Nodata = None, pan: Nodata = None) -> ReadOptions:
    return replace(CAMERA, pair=PairOptions(ms_nodata=ms, pan_nodata=pan))


@pytest.mark.parametrize(
    ("spoil", "read"),
    [
        (with_fill, said(ms=0.0)),
        (with_scattered_fill, said(ms=-9999.0)),
        (with_bright_fill, said(pan=65535.0)),
        (with_white_collar, said(2047.0, 2047.0)),
    ],
)
def test_fill_that_the_user_names_is_not_told_of(
    spoil: Spoil, read: ReadOptions, codes: Callable[..., list[str]]
) -> None:
    assert codes(*spoil(*clean()), read) == []


@pytest.mark.parametrize(
    ("spoil", "silent"),
    [
        (with_white_collar, "saturated"),
        (with_white_collar_of_16_bits, "saturated"),
        (overexposed, "undeclared-fill"),
        (with_clouds, "undeclared-fill"),
    ],
)
def test_fill_is_told_from_saturation(spoil: Spoil, silent: str, codes: Callable[..., list[str]]) -> None:
    assert silent not in codes(*spoil(*clean()))


def test_values_of_which_the_user_says_that_they_are_data_are_not_told_of(codes: Callable[..., list[str]]) -> None:
    assert "undeclared-fill" not in codes(*with_fill(*clean()), said(ms="none"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (with_fill, r"ms\.img are 0, the lowest value, .*it declares no nodata value; .*--ms-nodata"),
        (with_scattered_fill, r"1\.\d% .* ms\.img are -9999, far below all others, .*--ms-nodata"),
        (with_bright_fill, r"% .* pan\.img are 65535, far above all others, .*--pan-nodata"),
    ],
)
def test_a_warning_of_fill_tells_file_value_share_and_option(spoil: Spoil, words: str, tmp_path: Path) -> None:
    ms, pan = spoil(*clean())
    files = SceneFiles((ms.write(tmp_path / "ms.img"),), pan.write(tmp_path / "pan.img"))
    told = [warning.message for warning in info(files, CAMERA).warnings if warning.code == "undeclared-fill"]
    assert len(told) == 1 and re.search(words, told[0]), told


def test_a_white_collar_is_told_of_with_value_share_and_option(tmp_path: Path) -> None:
    ms, pan = with_white_collar_of_16_bits(*clean())
    files = SceneFiles((ms.write(tmp_path / "ms.img"),), pan.write(tmp_path / "pan.img"))
    told = [warning.message for warning in info(files, CAMERA).warnings if warning.code == "undeclared-fill"]
    for message, name in zip(told, ("ms", "pan"), strict=True):
        words = rf"^\d\d\.\d% of the pixels looked at of {name}\.img are 65535, the highest value, .*--{name}-nodata"
        assert re.search(words, message), message


def test_a_collar_that_the_user_names_does_not_change_what_is_estimated(tmp_path: Path) -> None:
    def gains(ms: Image, pan: Image, read: ReadOptions) -> tuple[float, ...]:
        files = SceneFiles((ms.write(tmp_path / "ms.img"),), pan.write(tmp_path / "pan.img"))
        return info(files, read).mtf_gains

    def framed(image: Image, width: int) -> Image:
        values = np.zeros_like(image.values)
        inner = np.s_[:, width:-width, width:-width]
        values[inner] = image.values[inner]
        return replace(image, values=values)

    ms, pan = clean()
    collar = framed(ms, SIDE // 20), framed(pan, RATIO * (SIDE // 20))
    declared = gains(replace(collar[0], nodata=0), replace(collar[1], nodata=0), CAMERA)
    assert gains(*collar, said(0.0, 0.0)) == declared
    assert max(gains(*collar, CAMERA)) > 1.5 * max(declared)


def larger(ms: Image, pan: Image) -> tuple[Image, Image]:
    sharp = ground(0, side=2 * SIDE)
    return replace(ms, values=dn(ms_of(sharp))), replace(pan, values=dn(sharp.mean(0, keepdims=True)))


@pytest.mark.parametrize("spoil", [unchanged, larger, with_nodata])
def test_nothing_is_told_of_a_good_pair(spoil: Spoil, codes: Callable[..., list[str]]) -> None:
    assert codes(*spoil(*clean())) == []


def test_a_sensor_that_no_one_names_is_told_of(codes: Callable[..., list[str]]) -> None:
    assert codes(*clean(), ReadOptions()) == ["generic-sensor"]


def test_strict_ends_with_the_codes(codes: Callable[..., list[str]]) -> None:
    for spoil, code in ((of_another_place, "pair-mismatch"), (displaced, "large-shift")):
        with pytest.raises(StrictError, match=code):
            codes(*spoil(*clean()), replace(CAMERA, strict=True))
    assert codes(*clean(), replace(CAMERA, strict=True)) == []


def test_codes_are_unique_and_explained() -> None:
    names: Sequence[str] = [kind.code for kind in KINDS]
    assert len(set(names)) == len(names)
    assert all(kind.meaning.endswith(".") and kind.advice for kind in KINDS)


def test_a_warning_is_told_once_and_a_scene_keeps_its_own() -> None:
    told: list[str] = []
    control = Control(on_warning=lambda warning: told.append(warning.message))
    doubt = KINDS[0].says("something is odd")
    control.warn(doubt, doubt)
    control.warn(doubt)
    with control.warnings_of("one") as found:
        control.warn(doubt)
    with control.without_warnings():
        control.warn(KINDS[1].says("unheard"))
    assert (found, control.warnings) == ([doubt], [doubt])
    assert told == [doubt.message, f"one: {doubt.message}"]
