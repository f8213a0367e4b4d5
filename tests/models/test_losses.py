"""Losses: zero where they should be, worse for worse images, finite on flat ones, with gradients that point home."""

from __future__ import annotations

import pytest
import torch
from skimage import metrics as skimage_metrics

from clippan_models.losses.correlation import correlation_loss, local_correlation
from clippan_models.losses.qnr import qnr_loss
from clippan_models.losses.similarity import ssim_map
from clippan_models.losses.spatial import spatial_loss
from clippan_models.losses.spectral import spectral_loss


def image(bands: int = 3, side: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, bands, side, side, generator=torch.Generator().manual_seed(seed))


def everywhere(side: int = 64) -> torch.Tensor:
    return torch.ones(2, 1, side, side, dtype=torch.bool)


@pytest.mark.parametrize("loss", [spectral_loss, spatial_loss])
def test_agreement_costs_nothing_and_disagreement_more_the_larger_it_is(loss: object) -> None:
    assert callable(loss)
    x = image()
    noise = image(seed=1) - 0.5
    costs = [float(loss(x + a * noise, x, everywhere())) for a in (0.0, 0.1, 0.5)]
    assert costs[0] == pytest.approx(0, abs=1e-6)
    assert costs[0] < costs[1] < costs[2]


@pytest.mark.parametrize("loss", [spectral_loss, spatial_loss])
def test_masked_pixels_cost_nothing_far_from_the_border_of_the_mask(loss: object) -> None:
    assert callable(loss)
    x = image()
    mask = everywhere()
    mask[..., 32:] = False
    worse = x.clone()
    worse[..., 48:] += 5
    assert float(loss(worse, x, mask)) == pytest.approx(0, abs=1e-6)


def test_similarity_is_that_of_scikit_image() -> None:
    one, other = image(1)[0, 0].numpy(), image(1, seed=5)[0, 0].numpy()
    _, expected = skimage_metrics.structural_similarity(  # type: ignore[no-untyped-call]
        one, other, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    found = ssim_map(torch.from_numpy(one)[None, None], torch.from_numpy(other)[None, None], 1.0)[0, 0].numpy()
    assert abs(found - expected)[8:-8, 8:-8].max() < 1e-4


def test_qnr_loss_is_zero_for_an_image_with_the_relations_of_ms_and_grows_with_distortion() -> None:
    exp, pan = image(4), image(1, seed=2)
    assert float(qnr_loss(exp, exp, pan, pan.expand(-1, 4, -1, -1))) == pytest.approx(0, abs=1e-6)
    noise = image(4, seed=3)
    costs = [float(qnr_loss(exp + a * noise, exp, pan, pan)) for a in (0.1, 1.0)]
    assert 0 < costs[0] < costs[1] < 1


def test_flat_patches_give_numbers_and_gradients() -> None:
    flat = torch.full((2, 3, 64, 64), 0.4, requires_grad=True)
    pan = torch.full((2, 1, 64, 64), 0.4)
    loss = qnr_loss(flat, flat.detach(), pan, pan) + spectral_loss(flat, flat.detach(), everywhere())
    loss = loss + correlation_loss(flat, pan, flat.detach(), pan.expand(-1, 3, -1, -1), 4.0, everywhere())
    torch.autograd.backward(loss)
    assert torch.isfinite(loss) and flat.grad is not None and torch.isfinite(flat.grad).all()


def test_descending_the_gradient_lowers_the_qnr_loss() -> None:
    exp, pan = image(3), image(1, seed=2)
    fused = (exp + 0.3 * image(3, seed=4)).requires_grad_()
    optimiser = torch.optim.Adam([fused], lr=1e-3)
    losses = []
    for _ in range(20):
        loss = qnr_loss(fused, exp, pan, pan)
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]


def test_local_correlation_is_one_with_itself_whatever_the_gain_and_minus_one_with_the_negative() -> None:
    pan = image(1)
    bands = torch.cat([3 * pan + 7, 0.2 * pan, -pan], 1)
    found = local_correlation(bands, pan, 2)
    torch.testing.assert_close(found[:, :2], torch.ones_like(found[:, :2]), atol=1e-3, rtol=0)
    torch.testing.assert_close(found[:, 2:], -torch.ones_like(found[:, 2:]), atol=1e-3, rtol=0)


def test_shading_that_two_images_share_is_no_detail_that_they_share() -> None:
    shading = torch.linspace(0, 100, 64).expand(2, 1, 64, 64)
    one, other = image(1), image(1, seed=2)
    apart = local_correlation(one + shading, other + shading, 2)[..., 4:-4, 4:-4]
    torch.testing.assert_close(apart, local_correlation(one, other, 2)[..., 4:-4, 4:-4], atol=1e-3, rtol=0)
    assert abs(float(apart.mean())) < 0.05


def test_a_fringe_along_a_line_costs_and_a_band_that_pan_does_not_see_is_left_alone() -> None:
    ground = 0.2 * image(1)
    line = ground.clone()
    line[..., 30:32] += 1
    fringe = line.clone()
    fringe[..., 28:30] -= 0.3
    blurred = torch.nn.functional.avg_pool2d(line, (1, 9), 1, (0, 4))

    def cost(band: torch.Tensor, exp: torch.Tensor) -> float:
        return float(correlation_loss(band, line, exp, blurred, 4.0, everywhere()))

    assert cost(2 * line, 2 * blurred) == pytest.approx(0, abs=1e-3)
    assert cost(fringe, blurred) > 0.005
    unseen = image(1, seed=9)
    other = torch.nn.functional.avg_pool2d(unseen, 9, 1, 4)
    assert cost(unseen, other) < cost(unseen, blurred) / 2
