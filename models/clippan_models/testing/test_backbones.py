"""Does a backbone keep the contract of `networks.spec.BackboneSpec`?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from clippan_models.errors import UsageError
from clippan_models.networks.blocks import run_network
from clippan_models.networks.registry import BACKBONES, find_backbone
from clippan_models.networks.spec import BackboneSpec
from clippan_models.networks.statistics import is_recorded
from clippan_models.testing.chosen import chosen_backbones
from clippan_models.testing.networks import Reach, WithFacts, facts, images, inputs, reach, small, untrained

BANDS = [1, 3, 4, 8, 13]
SIZES = [(24, 24), (17, 30), (15, 22)]

found: Callable[[str], BackboneSpec] = cache(find_backbone)
reach_of: Callable[[str], Reach] = cache(lambda name: reach(found(name)))
every_backbone = pytest.mark.parametrize("name", chosen_backbones())


def fusing(name: str) -> BackboneSpec:
    """A backbone that can fuse scenes; the others skip the test."""
    spec = found(name)
    if not spec.fuses:
        pytest.skip(f"{name} works on patches of one size only")
    return spec


def local(name: str) -> BackboneSpec:
    """A backbone that looks no further than a number of pixels; the others skip the test."""
    spec = found(name)
    if spec.halo is None:
        pytest.skip(f"{name} looks at the whole image, and says so")
    return spec


@pytest.mark.parametrize("bands", BANDS)
@every_backbone
def test_an_untrained_backbone_gives_its_start_back(name: str, bands: int) -> None:
    network = untrained(found(name), bands)
    for height, width in SIZES:
        shown = inputs(found(name), bands, height, width)
        for mode in (True, False):
            with torch.no_grad():
                assert torch.equal(network.train(mode)(*shown), shown[0])


@pytest.mark.parametrize("bands", BANDS)
@every_backbone
def test_any_bands_and_odd_sizes_give_the_shape_of_the_start(name: str, bands: int) -> None:
    network = small(found(name), bands)
    for height, width in ((17, 30), (33, 19)):
        shown = inputs(found(name), bands, height, width)
        with torch.no_grad():
            out = network(*shown)
        assert out.shape == shown[0].shape and out.dtype == torch.float32 and bool(torch.isfinite(out).all())
        assert not torch.equal(out, shown[0]), "its weights change nothing"


@every_backbone
def test_bands_keep_their_order(name: str) -> None:
    """Bands of constant values come out in the order in which they went in."""
    bands = 4
    start, *others = inputs(found(name), bands, 24, 24)
    levels = torch.arange(bands).float()
    with torch.no_grad():
        out = untrained(found(name), bands).eval()(levels[:, None, None].expand_as(start).contiguous(), *others)
    assert torch.equal(out.mean((0, -2, -1)).argsort(), levels.argsort())


@every_backbone
def test_nothing_moves(name: str) -> None:
    """What influences a pixel lies around it, to within half a pixel."""
    offset = reach_of(local(name).name).offset
    assert offset < 0.5, f"the correction lies {offset:.2f} pixels from where it belongs"


@every_backbone
def test_a_backbone_looks_exactly_as_far_as_it_says(name: str) -> None:
    spec = local(name)
    found_reach, halo = reach_of(spec.name), int(spec.halo.at(1)) if spec.halo else 0
    assert found_reach.before == halo == found_reach.behind


TILED = [
    pytest.param(name, marks=pytest.mark.slow if name in BACKBONES and BACKBONES[name].window else ())
    for name in chosen_backbones()
]


@pytest.mark.parametrize("name", TILED)
def test_tiles_are_the_image(name: str) -> None:
    """The same pixels come out wherever in the scene the image was cut, `overlap` pixels from the edge."""
    spec = fusing(name)
    network, overlap = small(spec, 3), spec.overlap
    side = 2 * overlap + 23 + spec.align
    shown = [image for image in inputs(spec, 3, side + 29, side + 17) if image.ndim == 4]
    start, call = shown[0], network
    if spec.projections:  # facts are no image to be cut
        call = WithFacts(network, facts(3))
    cut = (..., slice(11, 11 + side), slice(6, 6 + side))
    with torch.no_grad():
        whole = run_network(spec, call, shown, (5, 40))
        tile = run_network(spec, call, [image[cut] for image in shown], (16, 46))
    inner = (..., slice(overlap, side - overlap), slice(overlap, side - overlap))
    detail = (whole - start).std()
    tolerance = 1e-3 if spec.halo is not None and spec.halo.at(3) > overlap else 1e-5
    assert float((tile[inner] - whole[cut][inner]).abs().max()) < tolerance * float(detail) + 1e-6


@every_backbone
def test_a_seed_gives_one_network_and_one_image(name: str) -> None:
    outputs: list[Tensor] = []
    for seed in (1, 1, 2):
        network = small(found(name), 3, seed)
        torch.manual_seed(len(outputs))  # once it is made, it draws nothing
        with torch.no_grad():
            outputs.append(network(*inputs(found(name), 3, 24, 24)))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


@every_backbone
def test_images_of_a_batch_do_not_mix(name: str) -> None:
    spec = found(name)
    network = small(spec, 3)
    shown = inputs(spec, 3, 24, 24)
    both = [torch.cat([each, each.flip(1) + 1 if each.shape[1] > 1 else each + 1]) for each in shown]
    with torch.no_grad():
        alone, beside = network(*shown), network(*both)[:1]
    torch.testing.assert_close(beside, alone, rtol=1e-4, atol=1e-4)


@every_backbone
def test_half_precision_is_near(name: str) -> None:
    spec = fusing(name)
    network = small(spec, 3)
    shown = inputs(spec, 3, 40, 48)
    with torch.inference_mode():
        exact = network(*shown)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(*shown).float()
    assert float((half - exact).std()) < 0.05 * float((exact - shown[0]).std())


@every_backbone
def test_all_weights_are_saved_and_loaded(name: str) -> None:
    spec = found(name)
    first, second = small(spec, 3, seed=1), small(spec, 3, seed=2)
    second.load_state_dict(first.state_dict())
    shown = inputs(spec, 3, 24, 24)
    with torch.no_grad():
        assert torch.equal(first(*shown), second(*shown))


@every_backbone
def test_statistics_of_a_scene_are_recorded_before_it_is_tiled(name: str) -> None:
    spec = fusing(name)
    network: nn.Module = untrained(spec, 3).eval()
    if is_recorded(network):
        pytest.skip(f"{name} needs none")
    with pytest.raises(UsageError, match="has not seen a scene"):
        run_network(spec, network, images(3, 40, 40))
