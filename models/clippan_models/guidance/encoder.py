"""The frozen CLIP: images and texts to unit features of one space.

A model of native resolution, such as the embedded one, sees crops of an image as they are; any other sees the whole
image resized to its input size. Weights are fixed, but a gradient passes through to the pixels.
Nothing here uses the network: weights are embedded, in a file, or in the local Hugging Face cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clippan_models.errors import UsageError, WeightsError
from clippan_models.guidance.backend import import_open_clip
from clippan_models.guidance.embedded import SIDE, build_embedded, embedded_tokenizer
from clippan_models.guidance.options import AUTO, AUTO_PRETRAINED, EMBEDDED, NONE, clip_file, no_such_clip
from clippan_models.guidance.pinned import PINNED
from clippan_models.guidance.radiometry import clip_normalise
from clippan_models.store.hub_cache import cached_commits, cached_file
from clippan_models.store.weights_file import WeightsFile, fill, read_weights, shipped

_CHUNK = 64  # crops encoded at a time, to bound memory


@dataclass(frozen=True)
class ClipIdentity:
    """Which CLIP this is, for reports.

    Attributes:
        name: "embedded", "MODEL:PRETRAINED", or the file's name.
        source: where its weights came from.
        sha256: of the file of weights, hexadecimal.
        side: pixels a side of its input.
        native: True if it sees crops of that side, False if it sees the image resized to it.
    """

    name: str
    source: Literal["embedded", "file", "cache"]
    sha256: str
    side: int
    native: bool


class ClipEncoder(nn.Module):
    """A CLIP of open_clip, frozen and always in evaluation mode.

    Args:
        model: with `encode_image` and `encode_text`.
        tokenizer: open_clip's, with `encode` and `context_length`.
        identity: which CLIP this is.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, identity: ClipIdentity) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.identity = identity
        self._tokenizer = tokenizer
        self.eval()

    def train(self, mode: bool = True) -> ClipEncoder:
        """Stay in evaluation mode, also as a part of something that trains."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.model.parameters()).device

    def images(self, rgb01: Tensor) -> Tensor:
        """Unit features `[B, D]` of images `[B, 3, H, W]` of about 0 .. 1 (see `radiometry`), float32.

        Of an image larger than one crop the feature is the mean over crops that cover it, brought to unit length.
        """
        if not self.identity.native:
            return self._encode(resize(rgb01, self.identity.side))
        crops = native_crops(rgb01, self.identity.side)
        number, batch = crops.shape[:2]
        features = self._encode(crops.flatten(0, 1)).reshape(number, batch, -1)
        return functional.normalize(features.mean(0), dim=-1) if number > 1 else features[0]

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Unit features `[N, D]` of texts.

        Raises:
            UsageError: a text is longer than the model reads, which would be cut off unnoticed.
        """
        limit = int(self._tokenizer.context_length) - 2  # one token opens a text, one closes it
        for text in texts:
            count = len(self._tokenizer.encode(text))
            if count > limit:
                raise UsageError(
                    f"the prompt {text!r} has {count} tokens and {self.identity.name} reads {limit}; use fewer words"
                )
        tokens = self._tokenizer(list(texts)).to(self.device)
        return functional.normalize(self.model.encode_text(tokens).float(), dim=-1)  # type: ignore[operator]

    def _encode(self, rgb01: Tensor) -> Tensor:
        parts = torch.split(clip_normalise(rgb01), _CHUNK)
        features = [self.model.encode_image(part) for part in parts]  # type: ignore[operator]
        return functional.normalize(torch.cat(features).float(), dim=-1)


def resize(image: Tensor, side: int) -> Tensor:
    """`[B, 3, H, W] -> [B, 3, side, side]`, bicubic with antialiasing, differentiable."""
    if image.shape[-2:] == (side, side):
        return image
    return functional.interpolate(image, size=(side, side), mode="bicubic", antialias=True, align_corners=False)


def native_crops(image: Tensor, side: int) -> Tensor:
    """Crops that cover an image evenly, overlapping where they must: `[B, 3, H, W] -> [N, B, 3, side, side]`.

    Edges of an image smaller than a crop are replicated.
    """
    height, width = image.shape[-2:]
    if height < side or width < side:
        padding = (0, max(0, side - width), 0, max(0, side - height))
        image = functional.pad(image, padding, mode="replicate")
    rows, cols = (_starts(length, side) for length in image.shape[-2:])
    return torch.stack([image[..., row : row + side, col : col + side] for row in rows for col in cols])


def _starts(length: int, side: int) -> list[int]:
    count = math.ceil(length / side)
    return [round(i * (length - side) / max(1, count - 1)) for i in range(count)]


def load_clip(spec: str, device: torch.device, cache: Path | None = None) -> ClipEncoder | None:
    """A frozen CLIP, or None for `none`; never from the network.

    Args:
        spec: "embedded"; "MODEL:PRETRAINED" as open_clip names them, if it is in the cache; the path of a safetensors
            file that says its `model` in its metadata, or "PATH:MODEL"; "auto": ViT-B-32:openai if it is in the cache,
            else embedded; "none".
        device: where to put it.
        cache: folder of the Hugging Face cache; None: the usual one.

    Raises:
        UsageError: there is no CLIP of this name.
        WeightsError: weights that are missing, damaged or of another model; names the file.
    """
    if spec == NONE:
        return None
    if spec == AUTO:
        spec = ":".join(AUTO_PRETRAINED) if cached_weights(*AUTO_PRETRAINED, cache) is not None else EMBEDDED
    if spec == EMBEDDED:
        return _load_embedded().to(device)
    if (file := clip_file(spec)) is not None:
        return _load_file(*file).to(device)
    return _load_cached(spec, cache).to(device)


def embedded_weights() -> Path:
    """The file of weights that comes with clippan."""
    return shipped("embedded-clip.safetensors")


def pretrained_location(model: str, pretrained: str) -> tuple[str, tuple[str, ...]]:
    """Where open_clip's weights live: the repository on Hugging Face, and file names in order of preference.

    Raises:
        UsageError: open_clip knows no such weights there.
    """
    hub = str(import_open_clip().get_pretrained_cfg(model, pretrained).get("hf_hub", ""))
    if not hub:
        known = ", ".join(import_open_clip().list_pretrained_tags_by_model(model)) or "none"
        raise UsageError(f"open_clip has no weights {pretrained!r} of {model} on Hugging Face; available: {known}")
    repository, _, name = hub.rpartition("/")
    if name:
        return repository, (str(Path(name).with_suffix(".safetensors")),)
    return repository, ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")


def cached_weights(model: str, pretrained: str, cache: Path | None = None) -> Path | None:
    """The safetensors file in the local Hugging Face cache, or None.

    Of several commits it takes the one that clippan knows, else `main`, else the one that was fetched last.

    Raises:
        UsageError: as for `pretrained_location`.
    """
    repository, names = pretrained_location(model, pretrained)
    known = [PINNED[repository].revision] if repository in PINNED else []
    return cached_file(repository, names, [*known, "main", *cached_commits(repository, cache)], cache)


def _load_embedded() -> ClipEncoder:
    path = embedded_weights()
    if not path.exists():
        raise WeightsError(f"{path} is missing from this installation of clippan; install it again")
    return _assemble(EMBEDDED, read_weights(path), EMBEDDED, "embedded")


def _load_file(path: Path, model: str | None) -> ClipEncoder:
    weights = read_weights(path)
    architecture = model or weights.metadata.get("model")
    if architecture is None:
        raise WeightsError(f"{path} does not say which model it is; add open_clip's name for it, as in {path}:ViT-B-32")
    return _assemble(architecture, weights, path.name, "file")


def _load_cached(spec: str, cache: Path | None) -> ClipEncoder:
    model, colon, pretrained = spec.partition(":")
    if not colon or model not in import_open_clip().list_models():
        raise no_such_clip(spec)
    path = cached_weights(model, pretrained, cache)
    if path is None:
        raise WeightsError(f"the weights of {spec} are not on this machine; `clippan models fetch clip` downloads them")
    quick = bool(import_open_clip().get_pretrained_cfg(model, pretrained).get("quick_gelu", False))
    return _assemble(model, read_weights(path), spec, "cache", quick_gelu=quick)


def _assemble(
    architecture: str,
    weights: WeightsFile,
    name: str,
    source: Literal["embedded", "file", "cache"],
    quick_gelu: bool = False,
) -> ClipEncoder:
    native = architecture == EMBEDDED
    with torch.random.fork_rng(devices=[]):  # the random weights that are replaced in a moment cost the caller none
        if native:
            model, tokenizer, side = build_embedded(), embedded_tokenizer(), SIDE
        else:
            model, tokenizer, side = _build_open_clip(architecture, weights, quick_gelu)
    fill(model, weights, architecture)
    return ClipEncoder(model, tokenizer, ClipIdentity(name, source, weights.sha256, side, native))


def _build_open_clip(architecture: str, weights: WeightsFile, quick_gelu: bool) -> tuple[nn.Module, Any, int]:
    open_clip = import_open_clip()
    config = open_clip.get_model_config(architecture) if architecture in open_clip.list_models() else None
    if config is None:
        raise WeightsError(f"{weights.path} is said to be {architecture!r}, which open_clip does not know")
    plain = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
    foreign = {"hf_model_name", "hf_tokenizer_name", "timm_model_name"}
    if config.keys() - plain or foreign & (config["vision_cfg"].keys() | config["text_cfg"].keys()):
        # others bring a tokenizer or an image tower of their own, which would have to be downloaded
        raise WeightsError(f"{weights.path} is {architecture}, which is not a plain CLIP such as ViT-B-32")
    config["quick_gelu"] = quick_gelu or config.get("quick_gelu", False)
    model: nn.Module = open_clip.model.CLIP(**config)
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    return model, tokenizer, int(config["vision_cfg"]["image_size"])
