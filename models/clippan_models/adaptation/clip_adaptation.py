"""Stage I: adapt a frozen CLIP to a scene, so that it can judge fused images of the scene (CLIPPan eq. 1-5).

Only the stem and the adapters learn. The features of MS, PAN and a good fused image of the same patches are drawn to
the prompts of their types (InterMCL) and to each other (IntraMCL), and those of the fused image to what is made of MS
and PAN (fusion). The fused image is that of a classical method, as there is no truth at full resolution.

With a stem and an adapter of its own, each type could be told by its weights, whatever the image shows; the judge, for
which every output passes through the branch of the fused image, would then find any image good. So the branches share
them, unless `ClipAdaptationOptions.shared` says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clippan_models.adaptation.options import OnStep
from clippan_models.adaptation.patches import draw
from clippan_models.errors import UsageError
from clippan_models.guidance.adapters import Adapter, FusionAdapter
from clippan_models.guidance.embedded import TRUTH_DIRECTION
from clippan_models.guidance.encoder import ClipEncoder
from clippan_models.guidance.options import STAGE1_TERMS, StemKind
from clippan_models.guidance.prompts import Prompts
from clippan_models.guidance.stem import build_stem, repeat_pan
from clippan_models.losses.contrastive import fusion_loss, inter_modal_loss, intra_modal_loss
from clippan_models.losses.direction import direction_loss

_MOST_VIEWS = 512  # the steps would see few of more, and encoding takes time


@dataclass(frozen=True)
class ClipAdaptationOptions:
    """How to adapt CLIP.

    Attributes:
        steps: optimiser steps; 0 leaves CLIP's features as they are.
        batch: patches per step.
        fresh: how many of them are encoded again, where the stem learns; of the others the last features are used, as
            encoding takes most of the time.
        lr: learning rate of Adam.
        tau: temperature of InterMCL.
        tau_intra: temperature of IntraMCL.
        seed: of adapters and batches.
        stem: how bands become three channels.
        rgb: bands of red, green and blue, 0-based.
        nir: band of near infrared, for the stem `gbnir`.
        shared: one stem and one image adapter for all types; False: one of each per type, as in the paper.
        image_mix: how much of an adapter's correction enters an image feature.
        text_mix: the same for a text.
        terms: of the loss, of `STAGE1_TERMS`.

    Raises:
        UsageError: a number of steps below 0, no patches, no learning rate, or an unknown term.
    """

    steps: int = 100
    batch: int = 8
    fresh: int = 2
    lr: float = 2e-3
    tau: float = 0.07
    tau_intra: float = 0.1
    seed: int = 0
    stem: StemKind = "conv"
    rgb: tuple[int, int, int] = (2, 1, 0)
    nir: int | None = None
    shared: bool = True
    image_mix: float = 0.2
    text_mix: float = 0.5
    terms: tuple[str, ...] = STAGE1_TERMS

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 1 or self.fresh < 1 or not self.lr > 0:
            raise UsageError(
                f"stage I cannot do {self.steps} steps with {self.batch} patches, {self.fresh} fresh, "
                f"and learning rate {self.lr}"
            )
        if not self.terms or not set(self.terms) <= set(STAGE1_TERMS):
            raise UsageError(f"stage I with the terms {', '.join(self.terms)}: choose from {', '.join(STAGE1_TERMS)}")


@dataclass(frozen=True)
class ClipAdaptationImages:
    """The same patches in three types, in the unit range (`guidance.radiometry`), on one device.

    Attributes:
        ms_up: MS interpolated to the grid of PAN, `[N, C, H, W]`; patches do not overlap.
        pan: `[N, 1, H, W]`.
        hrms: good fused images, `[N, C, H, W]`.
    """

    ms_up: Tensor
    pan: Tensor
    hrms: Tensor

    def views(self, side: int) -> ClipAdaptationImages:
        """The patches cut into views of `side` pixels, so that there are more of them; smaller patches stay whole."""
        height, width = self.pan.shape[-2:]
        high, wide = min(side, height), min(side, width)

        def cut(image: Tensor) -> Tensor:
            pieces = image.unfold(2, high, high).unfold(3, wide, wide)  # [N, C, rows, cols, high, wide]
            return pieces.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).contiguous()

        return ClipAdaptationImages(cut(self.ms_up), cut(self.pan), cut(self.hrms))

    def take(self, index: Tensor) -> ClipAdaptationImages:
        """The patches of these numbers."""
        return ClipAdaptationImages(self.ms_up[index], self.pan[index], self.hrms[index])

    def __len__(self) -> int:
        return self.pan.shape[0]


class Judge(nn.Module):
    """An adapted CLIP that compares how an image differs from MS and PAN with how their prompts do.

    It is frozen, and in evaluation mode.

    Made by `adapt_clip`.

    Attributes:
        slack: direction loss below which images count as equally good.
    """

    text_features: Tensor

    def __init__(self, encoder: ClipEncoder, branches: _Branches, text_features: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.branches = branches
        self.register_buffer("text_features", text_features)
        self.slack = TRUTH_DIRECTION if encoder.identity.native else 0.0
        self.zero_grad(set_to_none=True)  # those of the last step
        self.requires_grad_(False)
        self.eval()

    @property
    def text(self) -> dict[str, Tensor]:
        """Adapted unit features of the prompts, `[D]` each: "ms", "pan", "hrms"."""
        return dict(zip(("ms", "pan", "hrms"), self.text_features, strict=True))

    def embed(self, image01: Tensor) -> Tensor:
        """Unit features `[B, D]` of fused images `[B, C, H, W]` of the unit range; a gradient passes to the image."""
        return self.branches.adapt("hrms", self.encoder.images(self.branches.show("hrms", image01)))

    def embed_ms(self, ms01: Tensor) -> Tensor:
        """Those of MS interpolated to the grid of PAN, `[B, C, H, W]`."""
        return self.branches.adapt("ms", self.encoder.images(self.branches.show("ms", ms01)))

    def embed_pan(self, pan01: Tensor) -> Tensor:
        """Those of PAN, `[B, 1, H, W]`."""
        return self.branches.adapt("pan", self.encoder.images(self.branches.show("pan", pan01)))

    def direction(self, out01: Tensor, ms_feature: Tensor, pan_feature: Tensor) -> Tensor:
        """The direction loss L_d (eq. 6-8), mean of a batch, from 0 (the direction of the prompts) to 2 (the opposite).

        A loss below `slack` counts as 0, as the judge cannot tell such images apart.

        Args:
            out01: fused images `[B, C, H, W]` of the unit range; the only input that receives a gradient.
            ms_feature: `embed_ms` of their MS, `[B, D]`.
            pan_feature: `embed_pan` of their PAN.
        """
        text = self.text
        losses = direction_loss(
            self.embed(out01), ms_feature.detach(), pan_feature.detach(), text["ms"], text["pan"], text["hrms"]
        )
        return torch.relu(losses - self.slack).mean()


def adapt_clip(
    encoder: ClipEncoder,
    prompts: Prompts,
    images: ClipAdaptationImages,
    options: ClipAdaptationOptions,
    on_step: OnStep | None = None,
) -> Judge:
    """Adapt CLIP to a scene: stage I.

    The same seed gives the same judge; no random number of the caller is used.

    Args:
        encoder: a frozen CLIP, on the device of the images; not changed.
        prompts: texts of the three types.
        images: patches of the scene; with a single view, IntraMCL is left out.
        options: how to adapt.
        on_step: progress, of the stage "CLIP adaptation".

    Raises:
        UsageError: a prompt is too long for the encoder, or the stem does not fit the bands.
    """
    generator = torch.Generator().manual_seed(options.seed)
    views = images.views(encoder.identity.side) if encoder.identity.native else images
    views = views.take(draw(len(views), _MOST_VIEWS, generator).to(views.pan.device))
    texts = encoder.texts(prompts.texts())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        branches = _Branches(views.ms_up, texts.shape[-1], options).to(texts.device)
        fusion = _Fusion(texts.shape[-1]).to(texts.device)
    if options.steps:
        training = _ClipTraining(encoder, branches, fusion, texts, views, options)
        with torch.enable_grad():
            for step in range(1, options.steps + 1):
                loss = training.step(draw(len(views), options.batch, generator).to(texts.device))
                if on_step is not None:
                    on_step("CLIP adaptation", step, options.steps, loss)
    with torch.no_grad():
        return Judge(encoder, branches, branches.adapt_texts(texts))


class _Branches(nn.Module):
    """Stems and adapters by type of image."""

    def __init__(self, sample: Tensor, dimension: int, options: ClipAdaptationOptions) -> None:
        super().__init__()

        def stem() -> nn.Module:
            return build_stem(options.stem, options.rgb, sample, options.nir)

        def adapter() -> Adapter:
            return Adapter(dimension, options.image_mix)

        if options.shared:
            one_stem, one_adapter = stem(), adapter()
            stems = {"ms": one_stem, "hrms": one_stem}
            adapters = dict.fromkeys(("ms", "pan", "hrms"), one_adapter)
        else:
            stems = {"ms": stem(), "hrms": stem()}
            adapters = {kind: adapter() for kind in ("ms", "pan", "hrms")}
        self.stems = nn.ModuleDict(stems)
        self.adapters = nn.ModuleDict(adapters)
        self.texts = nn.ModuleList([Adapter(dimension, options.text_mix) for _ in range(3)])
        self.stem_learns = options.stem == "conv"

    def show(self, kind: str, image: Tensor) -> Tensor:
        """What CLIP is shown of an image: `[B, 3, H, W]`."""
        if kind == "pan":
            return repeat_pan(image)
        shown: Tensor = self.stems[kind](image)
        return shown

    def adapt(self, kind: str, features: Tensor) -> Tensor:
        adapted: Tensor = self.adapters[kind](features)
        return adapted

    def adapt_texts(self, features: Tensor) -> Tensor:
        """`[3, D] -> [3, D]`."""
        return torch.stack([adapter(f) for adapter, f in zip(self.texts, features, strict=True)])


class _Fusion(nn.Module):
    """The fusion adapters of images and texts, which only serve the training."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.images = FusionAdapter(dimension)
        self.texts = FusionAdapter(dimension)


class _ClipTraining:
    def __init__(
        self,
        encoder: ClipEncoder,
        branches: _Branches,
        fusion: _Fusion,
        texts: Tensor,
        views: ClipAdaptationImages,
        options: ClipAdaptationOptions,
    ) -> None:
        self.encoder, self.branches, self.fusion = encoder, branches, fusion
        self.texts, self.views, self.options = texts, views, options
        learning = [*branches.parameters(), *fusion.parameters()]
        self.optimiser = torch.optim.Adam(learning, lr=options.lr)
        self.pan = self._encode_all("pan", views.pan)
        self.ms, self.hrms = self._encode_all("ms", views.ms_up), self._encode_all("hrms", views.hrms)

    def step(self, index: Tensor) -> float:
        loss = self._loss(index)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        return float(loss.detach())

    def _loss(self, index: Tensor) -> Tensor:
        """L_s1 (eq. 1) of the patches of these numbers."""
        branches, fusion, options = self.branches, self.fusion, self.options
        ms, hrms = self._raw(index)
        pan = self.pan[index]
        images = torch.stack([branches.adapt("ms", ms), branches.adapt("pan", pan), branches.adapt("hrms", hrms)])
        texts = branches.adapt_texts(self.texts)
        # what no term reaches still gets a gradient, of zero
        loss = 0.0 * (images.sum() + texts.sum())
        if "inter" in options.terms:
            loss = loss + inter_modal_loss(images, texts, options.tau)
        if "intra" in options.terms and len(index) > 1:
            loss = loss + intra_modal_loss(images, options.tau_intra)
        if "fusion" in options.terms:
            fused_images, fused_text = fusion.images(images[0], images[1]), fusion.texts(texts[0], texts[1])
            loss = loss + fusion_loss(fused_images, images[2], fused_text, texts[2])
        return loss

    def _raw(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """CLIP features of MS and of the fused image, `[B, D]` each; those encoded again are kept for later steps."""
        ms, hrms = self.ms[index], self.hrms[index]
        if not self.branches.stem_learns:
            return ms, hrms
        fresh = index[: self.options.fresh]
        encoded = self.views.take(fresh)
        shown = torch.cat([self.branches.show("ms", encoded.ms_up), self.branches.show("hrms", encoded.hrms)])
        new_ms, new_hrms = self.encoder.images(shown).chunk(2)
        self.ms[fresh], self.hrms[fresh] = new_ms.detach(), new_hrms.detach()
        return torch.cat([new_ms, ms[len(fresh) :]]), torch.cat([new_hrms, hrms[len(fresh) :]])

    @torch.no_grad()
    def _encode_all(self, kind: str, images: Tensor) -> Tensor:
        return self.encoder.images(self.branches.show(kind, images))
