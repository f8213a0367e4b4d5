"""Does a method keep the contract of `methods.method.Method`? Networks are tested as `--method network` uses them."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from clippan_models.adaptation.options import NO_TEACHER, AdaptOptions
from clippan_models.contracts import Window
from clippan_models.methods.method import Method, MethodOptions
from clippan_models.methods.registry import find_method
from clippan_models.networks.names import BACKBONE_PLUGINS
from clippan_models.ops.views import TileViews
from clippan_models.testing.chosen import chosen_backbones, chosen_methods
from clippan_models.testing.scenes import OBSERVATION, RATIO, MadeScene, TileSource

CORE = 96
_QUICK_BACKBONE = "pnn"


def _id(name: str, backbone: str) -> str:
    return name if backbone == _QUICK_BACKBONE else backbone


CASES = [(name, _QUICK_BACKBONE) for name in chosen_methods()]
CASES += [("network", name) for name in chosen_backbones() if name in BACKBONE_PLUGINS.names()]
every_method = pytest.mark.parametrize(("name", "backbone"), CASES, ids=[_id(*case) for case in CASES])


def built(name: str, backbone: str) -> Method:
    """The method, which learns for two steps if it is one that learns."""
    adapt = AdaptOptions(steps=2, backbone=backbone, teacher=NO_TEACHER)
    return find_method(name).build(MethodOptions(adapt))


class Fusion:
    """A method fitted to one scene, of which it fuses any window."""

    def __init__(self, name: str, backbone: str, filler: float | None = None) -> None:
        method = built(name, backbone)
        self.cost = method.cost(OBSERVATION)
        self.halo = -(-self.cost.halo // RATIO) * RATIO
        margin = self.halo + 96  # what statistics need, and the kernel of MS
        scene = MadeScene.of((2 * margin + CORE) // 16 * 16 + 16)
        self.core = Window(margin // RATIO * RATIO, margin // RATIO * RATIO, CORE, CORE)
        if filler is not None:
            row, col = self.core.row, self.core.col
            samples = Window(row // RATIO + 4, col // RATIO + 4, 3, 5)
            scene = scene.without(samples, Window(row + 61, col + 50, 9, 14), filler)
        self.scene = scene
        self.sharpener = method.fit(TileSource([scene.tile(self.core, max(self.halo, 64))], OBSERVATION)).sharpener

    def fused(self, core: Window, more: int = 0) -> tuple[Tensor, Tensor]:
        """A window of the fused image, made with `more` pixels around it than need be, and its mask."""
        tile = self.scene.tile(core, self.halo + more)
        inner = (..., *core.inside(tile.pan_window))
        with torch.inference_mode():
            return self.sharpener.sharpen(TileViews(tile, OBSERVATION))[inner], tile.valid[inner]


fusion = cache(Fusion)


@every_method
def test_the_image_has_the_bands_of_ms_and_the_pixels_of_pan(name: str, backbone: str) -> None:
    image, _ = fusion(name, backbone).fused(fusion(name, backbone).core)
    assert image.shape == (3, CORE, CORE) and image.dtype == torch.float32 and bool(torch.isfinite(image).all())


@every_method
def test_a_method_reads_as_far_as_its_sharpener_looks(name: str, backbone: str) -> None:
    assert fusion(name, backbone).cost.halo >= fusion(name, backbone).sharpener.halo >= 0


@every_method
def test_tiles_are_the_image(name: str, backbone: str) -> None:
    made = fusion(name, backbone)
    whole, _ = made.fused(made.core)
    part = Window(made.core.row + 24, made.core.col + 36, 40, 32)
    tile, _ = made.fused(part)
    expected = whole[(..., *part.inside(made.core))]
    torch.testing.assert_close(tile, expected, rtol=0, atol=1e-5 * float(made.scene.truth.max()))


@every_method
def test_a_seed_gives_one_image(name: str, backbone: str) -> None:
    made, again = fusion(name, backbone), Fusion(name, backbone)
    assert torch.equal(made.fused(made.core)[0], again.fused(again.core)[0])


@every_method
def test_bands_keep_their_order_and_level(name: str, backbone: str) -> None:
    made = fusion(name, backbone)
    image, _ = made.fused(made.core)
    truth = made.scene.truth[(..., *made.core.inside(Window(0, 0, 0, 0)))]
    torch.testing.assert_close(image.mean((1, 2)), truth.mean((1, 2)), rtol=0.1, atol=0)


@every_method
def test_nothing_moves(name: str, backbone: str) -> None:
    """The image is nearer to the truth where it is than one pixel further in any direction."""
    made = fusion(name, backbone)
    image, _ = made.fused(made.core)

    def error(down: int, right: int) -> float:
        moved = Window(made.core.row + down, made.core.col + right, CORE, CORE)
        return float((image - made.scene.truth[(..., *moved.inside(Window(0, 0, 0, 0)))]).square().mean())

    errors = {(down, right): error(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}
    assert min(errors, key=errors.__getitem__) == (0, 0)


@every_method
def test_nodata_does_not_affect_data(name: str, backbone: str) -> None:
    """Whatever files hold at nodata, valid pixels are the same and finite."""
    zero, large = (Fusion(name, backbone, filler) for filler in (0.0, 60_000.0))
    (image, valid), (other, _) = zero.fused(zero.core), large.fused(large.core)
    assert not bool(valid.all())
    assert bool(torch.isfinite(other).all())
    assert torch.equal(image[valid], other[valid])
