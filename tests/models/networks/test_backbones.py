"""The backbones of clippan: published size, stated costs, and names; `clippan_models.testing` tests their contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from clippan_models.errors import UsageError
from clippan_models.networks.apnn import APNN
from clippan_models.networks.arbrpn import ArbRPN
from clippan_models.networks.blocks import run_network
from clippan_models.networks.fusionnet import FusionNet
from clippan_models.networks.lambda_pnn import LambdaPNN
from clippan_models.networks.lformer import LFormer, from_windows, to_windows
from clippan_models.networks.names import BACKBONE_TRAITS, Traits
from clippan_models.networks.pan_mamba import PanMamba
from clippan_models.networks.pannet import PanNet
from clippan_models.networks.pnn import PNN
from clippan_models.networks.registry import BACKBONES, find_backbone, find_fusing_backbone
from clippan_models.networks.ship import Ship, correlate
from clippan_models.networks.spec import BackboneSpec
from clippan_models.testing.networks import images, inputs, small

ALL = list(BACKBONES.values())


@dataclass(frozen=True)
class Published:
    """Parameters of a reference with 4 and 8 bands, and how many of them never had an effect."""

    network: Callable[[int], nn.Module]
    four: int
    eight: int
    dead: int = 0


PUBLISHED = {
    "apnn": Published(APNN, 61_124, 79_880),
    "pnn": Published(PNN, 80_420, 104_360),
    "fusionnet": Published(FusionNet, 76_324, 78_632),
    "pannet": Published(PanNet, 77_640 - 1_028, 83_024 - 4_104),  # without its transposed convolution, for one ratio
    "lambda-pnn": Published(LambdaPNN, 198_442, 207_150),
    "arbrpn": Published(ArbRPN, 2_341_057, 2_341_057),
    "lformer": Published(LFormer, 1_787_019, 1_788_347),
    "lformer, WorldView-3": Published(lambda bands: LFormer(bands, 64, 64, 5), 2_273_307, 2_274_635),
    "lformer, QuickBird": Published(lambda bands: LFormer(bands, 32, 48, 5), 1_068_539, 1_069_355),
    "pan-mamba": Published(PanMamba, 478_444, 480_752, dead=6_400),
    "ship": Published(Ship, 199_260, 200_416, dead=34_656),
}


def named(spec: BackboneSpec) -> str:
    return spec.name


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_reference_has_the_published_size(name: str) -> None:
    published = PUBLISHED[name]
    counts = [sum(p.numel() for p in published.network(bands).parameters()) + published.dead for bands in (4, 8)]
    assert counts == [published.four, published.eight]


def test_one_set_of_weights_takes_any_number_of_bands() -> None:
    three, eight = ArbRPN(3, features=4), ArbRPN(8, features=4)
    eight.load_state_dict(three.state_dict())
    start, pan = images(5, 20, 24)
    assert torch.equal(three.eval()(start, pan), eight.eval()(start, pan))


def test_activations_that_are_computed_again_give_the_same_gradient() -> None:
    network = small(next(spec for spec in ALL if spec.name == "arbrpn"), 3)
    start, pan = images(3, 12, 14)
    parameters = list(network.parameters())
    kept, again = (
        torch.autograd.grad(network.train(mode)(start, pan).square().sum(), parameters) for mode in (False, True)
    )
    torch.testing.assert_close(again, kept)


@pytest.mark.parametrize("spec", [spec for spec in ALL if not spec.fuses], ids=named)
def test_a_fixed_backbone_refuses_a_scene_and_says_what_to_use(spec: BackboneSpec) -> None:
    with pytest.raises(UsageError, match=f"{spec.name} .*the teacher of one of anyband"):
        find_fusing_backbone(spec.name)
    with pytest.raises(UsageError, match="cannot fuse a scene"):
        run_network(spec, small(spec, 3), images(3, 40, 40))


def test_what_options_know_of_backbones_is_true() -> None:
    assert {name: Traits(spec.fuses, spec.weights is not None) for name, spec in BACKBONES.items()} == BACKBONE_TRAITS
    assert list(BACKBONES) == list(BACKBONE_TRAITS)


def test_an_unknown_backbone_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="did you mean apnn.*" + ", ".join(BACKBONES)):
        find_backbone("a-pnn")


@pytest.mark.parametrize("bands", [4, 8])
@pytest.mark.parametrize("spec", ALL, ids=named)
def test_the_stated_work_is_the_work_done(spec: BackboneSpec, bands: int) -> None:
    side = 1024 if spec.halo is not None else 24  # large, for borders to count little; scans take long
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        spec.build(bands)(*(torch.empty_like(image, device="meta") for image in inputs(spec, bands, side, side)))
    done = counter.get_total_flops() / 2 / side**2
    assert spec.cost.macs.at(bands) == pytest.approx(done, rel=0.03)


@pytest.mark.parametrize("spec", ALL, ids=named)
def test_the_stated_memory_of_training_is_what_is_kept(spec: BackboneSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # costs are stated in float32
    side = 96 if spec.cost.macs.at(3) < 1e6 and spec.window is None else 40
    network = spec.build(3)
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = network(*inputs(spec, 3, side, side))
    assert out.requires_grad
    assert spec.training_bytes(3, side**2) == pytest.approx(sum(kept.values()), rel=0.3)


def test_windows_come_together_as_they_were_cut() -> None:
    image = torch.arange(2 * 3 * 16 * 24.0).view(2, 3, 16, 24)
    windows = to_windows(image)
    assert torch.equal(windows[1, :, 2].view(8, 8), image[0, 2, :8, 8:16])
    assert torch.equal(from_windows(windows, 16, 24), image)


def test_a_correlation_does_not_depend_on_where_a_patch_was_cut() -> None:
    first, second = images(1, 16, 20)
    both = correlate(first.roll((3, 5), (-2, -1)), second.roll((3, 5), (-2, -1)))
    torch.testing.assert_close(both, correlate(first, second), rtol=1e-4, atol=1e-4)
