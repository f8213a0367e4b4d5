"""The corpus of the embedded CLIP: the same seed gives the same samples, and captions say what is true."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_training.captions import STRENGTHS, Caption, affinity, describe, dominant_content, kinds
from clip_training.corpus import HIGHEST, LOWEST, Corpus, Sample
from clip_training.degradations import FAULTS
from clip_training.scenes import read_scenes, synthetic_scene
from clippan_models.errors import InputError
from clippan_models.guidance.embedded import SIDE, embedded_tokenizer
from clippan_models.guidance.prompts import PROMPTS

# At least one of these words stands in every caption of a family, and in none of a sharp reference's.
WORDS = {
    "blur": ("blurred", "unsharp"),
    "band-blur": ("single bands", "blurred bands", "some bands"),
    "bleeding": ("bleed", "smeared"),
    "colours": ("wrong colours", "distorted colours", "inconsistent"),
    "cast": ("cast", "tinted"),
    "misregistration": ("misregistered", "shifted against"),
    "ghosts": ("ghost", "double edges"),
    "noise": ("noisy", "amplified noise"),
    "aliasing": ("alias", "staircase"),
    "halos": ("over-sharpened", "exaggerated"),
    "seams": ("seams", "step in brightness"),
    "substitution": ("substitution", "Brovey"),
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus([synthetic_scene(seed, 128) for seed in range(3)])


@pytest.fixture(scope="module")
def batch(corpus: Corpus) -> list[Sample]:
    return corpus.batch(seed=5, number=0, groups=30)


def test_the_same_seed_gives_the_same_samples(corpus: Corpus) -> None:
    again = Corpus([synthetic_scene(seed, 128) for seed in range(3)])
    for one, other in zip(corpus.batch(1, 2, 3), again.batch(1, 2, 3), strict=True):
        assert torch.equal(one.image, other.image)
        assert (one.caption, one.key, one.group) == (other.caption, other.key, other.group)


@pytest.mark.parametrize(("seed", "number"), [(2, 2), (1, 3)])
def test_another_seed_or_batch_gives_others(corpus: Corpus, seed: int, number: int) -> None:
    first, second = corpus.batch(1, 2, 1), corpus.batch(seed, number, 1)
    assert not torch.equal(first[0].image, second[0].image)


def test_drawing_leaves_the_random_numbers_of_the_caller_alone(corpus: Corpus) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    corpus.batch(0, 0, 2)
    assert torch.equal(torch.rand(4), expected)


def test_samples_are_unit_range_crops_in_groups_of_a_fixed_order(batch: list[Sample]) -> None:
    for start in range(0, len(batch), 8):
        group = batch[start : start + 8]
        assert [sample.key for sample in group[:3]] == ["hrms", "ms", "pan"]
        assert len({sample.group for sample in group}) == 1
        assert len({sample.key for sample in group}) == 8
    for sample in batch:
        assert sample.image.shape == (3, SIDE, SIDE)
        assert float(sample.image.min()) >= LOWEST
        assert float(sample.image.max()) <= HIGHEST


def test_every_fault_and_strength_turns_up(corpus: Corpus) -> None:
    keys = {sample.key for number in range(4) for sample in corpus.batch(0, number, 30)}
    assert keys >= {f"{family}/{strength}" for family in FAULTS for strength in STRENGTHS}


def test_captions_carry_the_key_of_their_image_and_the_words_of_their_fault(batch: list[Sample]) -> None:
    for sample in batch:
        assert sample.caption.key == sample.key
        family, _, _ = sample.key.partition("/")
        if family in WORDS:
            assert any(word in sample.caption.text for word in WORDS[family]), sample.caption
        if family == "hrms":
            assert not any(word in sample.caption.text for words in WORDS.values() for word in words)


def test_a_content_named_is_that_of_the_crop(batch: list[Sample]) -> None:
    named = [sample for sample in batch if sample.caption.content]
    assert named
    for sample in named:
        assert sample.caption.content == sample.content
        assert str(sample.content) in sample.caption.text


def test_the_prompts_that_run_time_asks_are_captions_word_by_word() -> None:
    rng = np.random.default_rng(0)
    drawn = {describe(key, None, rng).text for key in ("ms", "pan", "hrms", "independent") for _ in range(400)}
    assert drawn >= {text for prompts in PROMPTS.values() for text in prompts.texts()}


def test_captions_fit_the_context_and_leave_no_gap_open() -> None:
    tokenizer, rng = embedded_tokenizer(), np.random.default_rng(0)
    for kind in kinds():
        for key in [f"{kind}/{strength}" for strength in STRENGTHS] if kind in FAULTS else [kind]:
            for text in {describe(key, "vegetation", rng).text for _ in range(60)}:
                assert "{" not in text
                assert len(tokenizer.encode(text)) <= tokenizer.context_length - 2


def test_equal_keys_are_full_positives_and_a_strong_fault_is_none_of_the_reference() -> None:
    captions = [
        Caption("", key) for key in ("hrms", "blur/slight", "blur/moderate", "blur/strong", "noise/strong", "ms")
    ]
    fit = affinity(["hrms", "blur/strong"], [None, None], captions)
    assert fit[0].tolist() == pytest.approx([1, 0.15, 0, 0, 0, 0])
    assert fit[1, 3] == 1
    assert fit[1, 1] < fit[1, 2] < 1  # the nearer strength fits better
    assert fit[1, 4] == 0
    assert 0 < fit[1, 5] < 1  # interpolated MS is a kind of blur


def test_a_caption_that_names_another_content_fits_less() -> None:
    captions = [Caption("", "hrms", "water"), Caption("", "hrms", "vegetation"), Caption("", "hrms")]
    right, wrong, silent = affinity(["hrms"], ["water"], captions)[0].tolist()
    assert wrong < right == silent


@pytest.mark.parametrize(
    ("spectrum", "content"),
    [
        ((4, 8, 5, 45), "vegetation"),
        ((6, 6, 4, 2), "water"),
        ((10, 15, 21, 29), "bare soil"),
        ((18, 19, 20, 22), "buildings"),
    ],
)
def test_indices_name_what_a_spectrum_is(spectrum: tuple[int, ...], content: str) -> None:
    bands = torch.tensor(spectrum, dtype=torch.float32)[:, None, None].expand(4, 64, 64)
    assert dominant_content(bands) == content


def test_synthetic_scenes_differ_and_have_the_spectrum_of_scenes() -> None:
    scenes = [synthetic_scene(seed, 128) for seed in range(6)]
    for one, other in pairwise(scenes):
        assert not torch.allclose(one.bands, other.bands)
    for scene in scenes:
        band = scene.bands[1] - scene.bands[1].mean()
        power = np.abs(np.fft.fft2(band.numpy())) ** 2
        frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128))
        coarse, fine = power[(frequency > 0.02) & (frequency < 0.06)].mean(), power[frequency > 0.3].mean()
        assert coarse > 10 * fine  # falls with frequency, as images of the ground do
        assert fine > 0


def test_real_scenes_of_a_folder_are_read_and_drawn_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ms = rng.uniform(100, 900, (4, 64, 70)).astype(np.uint16)
    np.savez(tmp_path / "b.npz", ms=ms)
    np.savez(tmp_path / "a.npz", ms=ms[:, :40, :40])  # smaller than a crop: its mirror image helps out
    scenes = read_scenes(tmp_path, np.random.default_rng(0))
    assert [scene.name for scene in scenes] == ["a", "b"]
    assert scenes[1].mean.numpy() == pytest.approx(ms.mean((1, 2)), rel=1e-4)
    samples = Corpus(scenes).batch(0, 0, 6)
    assert all(sample.content is None for sample in samples)  # its numbers are not reflectances
    assert all(bool(torch.isfinite(sample.image).all()) for sample in samples)


def test_a_folder_without_scenes_and_a_file_of_another_form_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=tmp_path.name):
        read_scenes(tmp_path, np.random.default_rng(0))
    np.savez(tmp_path / "three.npz", ms=np.ones((3, 80, 80)))
    with pytest.raises(InputError, match=r"three\.npz.*4 bands"):
        read_scenes(tmp_path, np.random.default_rng(0))
