"""Images that cannot be assessed, and one below what is asked of it."""

from __future__ import annotations

import numpy as np
from affine import Affine

from tests.cli.conftest import PAN_PIXEL, PAN_SIDE, Desk
from tests.cli.refusals.cases import INPUT, PAIR, QUALITY, USAGE, fails


def fused(desk: Desk, *, bands: int = 4, side: int = PAN_SIDE, transform: Affine = PAN_PIXEL) -> str:
    return desk.ms("fused.tif", bands=bands, side=side, transform=transform)


def assessing(desk: Desk, *images: str) -> list[str]:
    return ["assess", *images, "--ms", desk.ms(), "--pan", desk.pan(), "-j", "1"]


@fails(PAIR, "fused.tif", "3 bands", "ms.tif has 4")
def assess_other_bands(desk: Desk) -> list[str]:
    return assessing(desk, fused(desk, bands=3))


@fails(PAIR, "fused.tif", "grid of", "column")
def assess_another_grid(desk: Desk) -> list[str]:
    return assessing(desk, fused(desk, transform=PAN_PIXEL @ Affine.translation(0.5, 0)))


@fails(PAIR, "fused.tif", "grid of", "2 x 2")
def assess_another_resolution(desk: Desk) -> list[str]:
    return assessing(desk, fused(desk, side=32, transform=PAN_PIXEL @ Affine.scale(2)))


@fails(PAIR, "fused.tif", "beyond")
def assess_an_image_of_elsewhere(desk: Desk) -> list[str]:
    return assessing(desk, fused(desk, transform=PAN_PIXEL @ Affine.translation(1000, 0)))


@fails(INPUT, "gone.tif", "No such file")
def assess_a_missing_file(desk: Desk) -> list[str]:
    return assessing(desk, desk.path("gone.tif"))


@fails(QUALITY, "fused.tif", "QNR", "below 2")
def assess_below_the_gate(desk: Desk) -> list[str]:
    return [*assessing(desk, fused(desk)), "--min-qnr", "2"]


@fails(USAGE, "--pan FILE")
def assess_without_a_pair(desk: Desk) -> list[str]:
    return ["assess", fused(desk)]


@fails(INPUT, "fused.tif", "0 of 4096 pixels are valid")
def assess_an_image_of_nodata(desk: Desk) -> list[str]:
    empty = desk.ms("fused.tif", pixels=np.zeros((4, PAN_SIDE, PAN_SIDE), np.uint16), transform=PAN_PIXEL, nodata=0)
    return assessing(desk, empty)
