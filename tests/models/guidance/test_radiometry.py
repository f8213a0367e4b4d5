"""What CLIP sees is measured against the whole scene, so a tint stays a tint."""

from __future__ import annotations

import pytest
import torch

from clippan_models.guidance.backend import import_open_clip
from clippan_models.guidance.radiometry import clip_normalise, to_unit


def test_the_mean_of_a_scene_becomes_one_half_and_2_5_deviations_the_range() -> None:
    mean, std = torch.tensor([300.0, 700.0]), torch.tensor([40.0, 90.0])
    image = torch.stack([mean, mean + 2.5 * std, mean - 2.5 * std], dim=1)[:, None]
    expected = torch.tensor([0.5, 1.0, 0.0]).expand(2, 1, 3)
    torch.testing.assert_close(to_unit(image, mean, std), expected)


def test_statistics_of_each_image_of_a_batch_are_its_own() -> None:
    image = torch.rand(3, 2, 5, 4)
    mean, std = torch.rand(3, 2), torch.rand(3, 2) + 0.1
    together = to_unit(image, mean, std)
    for index in range(3):
        torch.testing.assert_close(together[index], to_unit(image[index], mean[index], std[index]))


def test_the_unit_of_the_input_does_not_matter() -> None:
    image, mean, std = torch.rand(4, 8, 8), torch.rand(4), torch.rand(4) + 0.1
    torch.testing.assert_close(to_unit(image * 2047 + 10, mean * 2047 + 10, std * 2047), to_unit(image, mean, std))


def test_a_constant_band_stays_finite() -> None:
    assert bool(torch.isfinite(to_unit(torch.full((1, 4, 4), 7.0), torch.tensor([7.0]), torch.tensor([0.0]))).all())


def test_a_gradient_passes_also_where_values_leave_the_range() -> None:
    image = torch.full((3, 4, 4), 1e4, requires_grad=True)
    clip_normalise(to_unit(image, torch.zeros(3), torch.ones(3))).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert float(image.grad.abs().min()) > 0.5


def test_the_normalisation_is_that_of_open_clip() -> None:
    open_clip = import_open_clip()
    image = torch.rand(2, 3, 6, 6)
    expected = (image - torch.tensor(open_clip.OPENAI_DATASET_MEAN)[:, None, None]) / torch.tensor(
        open_clip.OPENAI_DATASET_STD
    )[:, None, None]
    assert clip_normalise(image).numpy() == pytest.approx(expected.numpy(), abs=1e-3)
