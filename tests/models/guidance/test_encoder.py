"""The frozen CLIP: it sees what open_clip sees, its gradient reaches the pixels, and bad weights are refused."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from clippan_models.errors import UsageError, WeightsError
from clippan_models.guidance.backend import import_open_clip
from clippan_models.guidance.embedded import SIDE, build_embedded, embedded_tokenizer
from clippan_models.guidance.encoder import (
    ClipEncoder,
    ClipIdentity,
    cached_weights,
    embedded_weights,
    load_clip,
    native_crops,
    pretrained_location,
)
from clippan_models.guidance.radiometry import clip_normalise

CPU = torch.device("cpu")


def random_state(seed: int = 0) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_embedded().state_dict()


def image(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file({k: v.half() for k, v in random_state().items()}, path, {"model": "embedded"})
    return path


@pytest.fixture(scope="module")
def encoder(weights_file: Path) -> ClipEncoder:
    loaded = load_clip(str(weights_file), CPU)
    assert loaded is not None
    return loaded


def resizing(encoder: ClipEncoder) -> ClipEncoder:
    """The same model, looking at whole images resized."""
    identity = ClipIdentity("small", "file", "", SIDE, native=False)
    return ClipEncoder(encoder.model, embedded_tokenizer(), identity)


def test_an_image_of_one_crop_gives_the_feature_of_open_clip(encoder: ClipEncoder) -> None:
    x = image(2, SIDE, SIDE)
    expected = encoder.model.encode_image(clip_normalise(x), normalize=True)  # type: ignore[operator]
    torch.testing.assert_close(encoder.images(x), expected)


def test_a_text_gives_the_feature_of_open_clip(encoder: ClipEncoder) -> None:
    texts = ["a multispectral image", "a panchromatic image"]
    expected = encoder.model.encode_text(embedded_tokenizer()(texts), normalize=True)  # type: ignore[operator]
    torch.testing.assert_close(encoder.texts(texts), expected)


def test_an_image_of_four_crops_gives_their_mean_direction(encoder: ClipEncoder) -> None:
    x = image(1, 2 * SIDE, 2 * SIDE)
    quarters = torch.cat([x[..., r : r + SIDE, c : c + SIDE] for r in (0, SIDE) for c in (0, SIDE)])
    mean = encoder.images(quarters).mean(0)
    torch.testing.assert_close(encoder.images(x)[0], mean / mean.norm())


@given(st.integers(1, 200), st.integers(1, 200))
@settings(deadline=None, max_examples=40)
def test_crops_cover_every_pixel_and_lie_within_the_image(height: int, width: int) -> None:
    number = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    crops = native_crops(number, 64)
    assert crops.shape[1:] == (1, 1, 64, 64)
    assert torch.unique(crops).tolist() == number.flatten().tolist()


def test_other_models_see_the_image_resized_as_torch_does_with_antialiasing(encoder: ClipEncoder) -> None:
    x = image(2, 150, 90)
    small = torch.nn.functional.interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True)
    expected = encoder.model.encode_image(clip_normalise(small), normalize=True)  # type: ignore[operator]
    torch.testing.assert_close(resizing(encoder).images(x), expected)


@pytest.mark.parametrize("native", [True, False])
def test_a_gradient_reaches_every_part_of_the_image_and_no_weight(encoder: ClipEncoder, native: bool) -> None:
    looking = encoder if native else resizing(encoder)
    x = image(1, 100, 130).requires_grad_()
    looking.train()  # must not matter
    aim = torch.nn.functional.normalize(torch.randn(1, 192, generator=torch.Generator().manual_seed(1)), dim=-1)
    torch.autograd.backward((looking.images(x) * aim).sum())
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert (x.grad.abs().sum(1) > 0).float().mean() > 0.99
    assert not looking.training and all(p.grad is None and not p.requires_grad for p in looking.parameters())


def test_a_batch_is_the_same_as_its_images_one_by_one(encoder: ClipEncoder) -> None:
    x = image(20, 128, 128)  # more crops than are encoded at a time
    one_by_one = torch.cat([encoder.images(x[i : i + 1]) for i in (0, 7, 19)])
    torch.testing.assert_close(encoder.images(x)[[0, 7, 19]], one_by_one, atol=1e-5, rtol=0)


def test_a_prompt_that_would_be_cut_off_is_refused(encoder: ClipEncoder) -> None:
    with pytest.raises(UsageError, match=r"has 40 tokens and small\.safetensors reads 30"):
        encoder.texts(["town " * 40])


def test_the_identity_tells_the_file_apart(weights_file: Path, encoder: ClipEncoder, tmp_path: Path) -> None:
    identity = encoder.identity
    assert (identity.name, identity.source, identity.side, identity.native) == ("small.safetensors", "file", 64, True)
    save_file(random_state(seed=1), tmp_path / "small.safetensors", {"model": "embedded"})
    other = load_clip(str(tmp_path / "small.safetensors"), CPU)
    assert other is not None and len(other.identity.sha256) == 64
    assert other.identity.sha256 != identity.sha256


def test_loading_leaves_the_callers_random_numbers_alone(weights_file: Path) -> None:
    before = torch.random.get_rng_state()
    load_clip(str(weights_file), CPU)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_model_may_be_named_beside_the_path(tmp_path: Path) -> None:
    path = tmp_path / "nameless.safetensors"
    save_file(random_state(), path)
    with pytest.raises(WeightsError, match="does not say which model it is"):
        load_clip(str(path), CPU)
    loaded = load_clip(f"{path}:embedded", CPU)
    assert loaded is not None and loaded.identity.name == "nameless.safetensors"


def cut_short(path: Path) -> None:
    save_file(random_state(), path, {"model": "embedded"})
    path.write_bytes(path.read_bytes()[:-1000])


def with_nan(path: Path) -> None:
    state = random_state()
    state["visual.proj"][3, 4] = torch.nan
    save_file(state, path, {"model": "embedded"})


def overflown(path: Path) -> None:
    state = random_state()
    state["visual.proj"][3, 4] = 1e6
    save_file({k: v.half() for k, v in state.items()}, path, {"model": "embedded"})


def without_a_tensor(path: Path) -> None:
    state = random_state()
    del state["ln_final.weight"]
    save_file(state, path, {"model": "embedded"})


def with_a_foreign_tensor(path: Path) -> None:
    save_file(random_state() | {"classifier": torch.zeros(3)}, path, {"model": "embedded"})


def of_another_shape(path: Path) -> None:
    save_file(random_state() | {"visual.proj": torch.zeros(192, 64)}, path, {"model": "embedded"})


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


def saved_by_torch(path: Path) -> None:
    torch.save(random_state(), path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def unknown_model(path: Path) -> None:
    save_file(random_state(), path, {"model": "ViT-Z-99"})


def needs_a_tokenizer_of_its_own(path: Path) -> None:
    save_file(random_state(), path, {"model": "xlm-roberta-base-ViT-B-32"})


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_short, "not an intact safetensors file"),
        (pickled, "not an intact safetensors file"),
        (saved_by_torch, "not an intact safetensors file"),
        (empty, "not an intact safetensors file"),
        (with_nan, "visual.proj holds NaN or infinity"),
        (overflown, "visual.proj holds NaN or infinity"),
        (without_a_tensor, "ln_final.weight is missing"),
        (with_a_foreign_tensor, "classifier does not belong to it"),
        (of_another_shape, "visual.proj is [192, 64] instead of [192, 192]"),
        (unknown_model, "'ViT-Z-99', which open_clip does not know"),
        (needs_a_tokenizer_of_its_own, "not a plain CLIP"),
        (missing, "No such file"),
        (folder, "Is a directory"),
    ],
)
def test_bad_weights_are_refused_in_one_sentence_with_the_file(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "bad.safetensors"
    spoil(path)
    with pytest.raises(WeightsError) as caught:
        load_clip(str(path), CPU)
    message = str(caught.value)
    assert caught.value.exit_code == 7
    assert str(path) in message and reason in message and "\n" not in message


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "exploded",)

    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match="such as pickles, are not read"):
        load_clip(f"{path}:ViT-B-32", CPU)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("spec", ["ViT-B-32", "nonsense", "ViT-B-32:nobody", "nobody:openai", "", ":", "a\0b"])
def test_a_name_that_nothing_has_is_a_mistake_of_usage(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load_clip(spec, CPU, cache=tmp_path)


def test_none_is_no_clip() -> None:
    assert load_clip("none", CPU) is None


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.usefixtures("no_network")
def test_weights_that_are_not_here_are_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="`clippan models fetch clip` downloads them") as caught:
        load_clip("ViT-B-32:openai", CPU, cache=tmp_path)
    assert caught.value.exit_code == 7


@pytest.mark.usefixtures("no_network")
@pytest.mark.skipif(not embedded_weights().exists(), reason="the embedded weights are not built yet")
@pytest.mark.parametrize("spec", ["embedded", "auto"])
def test_the_embedded_model_is_there_without_a_network(spec: str, tmp_path: Path) -> None:
    encoder = load_clip(spec, CPU, cache=tmp_path)
    assert encoder is not None and encoder.identity.source == "embedded"
    assert encoder.images(image(1, 64, 64)).norm().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
def test_a_model_of_the_paper_loads_from_a_file_and_from_the_cache(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = import_open_clip().model.CLIP(**import_open_clip().get_model_config("ViT-B-32-quickgelu")).eval()
    state = {k: v.half() for k, v in plain.state_dict().items()}
    repository, (name, _) = pretrained_location("ViT-B-32", "openai")
    snapshot = tmp_path / f"models--{repository.replace('/', '--')}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    save_file(state, snapshot / name, {"model": "ViT-B-32-quickgelu"})
    assert cached_weights("ViT-B-32", "openai", tmp_path) == snapshot / name

    x = image(1, 150, 100)
    plain.load_state_dict({k: v.float() for k, v in state.items()})
    small = torch.nn.functional.interpolate(x, (224, 224), mode="bicubic", antialias=True)
    with torch.no_grad():
        expected = plain.encode_image(clip_normalise(small), normalize=True)
    for spec, source in (("auto", "cache"), ("ViT-B-32:openai", "cache"), (str(snapshot / name), "file")):
        encoder = load_clip(spec, CPU, cache=tmp_path)
        assert encoder is not None
        assert (encoder.identity.source, encoder.identity.side, encoder.identity.native) == (source, 224, False)
        with torch.no_grad():
            torch.testing.assert_close(encoder.images(x), expected)
