"""The `network` and `clippan` methods: adapt a fusion network to the scene, then sharpen any tile of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clippan_models.adaptation.fusion import Prior, mean_normalisation
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.patches import REDUCED_SIDE, training_core
from clippan_models.adaptation.scene import Guide, SceneTiles, learn_scene
from clippan_models.adaptation.teacher import SELF
from clippan_models.contracts import Observation, Sampling, Views
from clippan_models.methods.method import Fitted, Learned, MethodCost, SceneSource
from clippan_models.methods.tags import curve_tags, guide_tags, learning_tags
from clippan_models.networks.blocks import run_network
from clippan_models.networks.registry import BACKBONES, find_fusing_backbone
from clippan_models.networks.spec import BackboneSpec
from clippan_models.ops.views import fit_halo, lowpass_halo
from clippan_models.store.checkpoint import Checkpoint

_GPU_BLOCK_BYTES = 2e9
_TILE_BYTES = 320  # per pixel of a tile: 80 float32 values of views and projections
_CORES = 2  # that estimates of time are made for
_STEP_SECONDS = 0.035  # of a step, whatever the network: losses, projections
_JUDGE_SECONDS = 0.08  # more, where a CLIP judges
_BAND_SECONDS = 0.7 / 4  # of a megapixel of a band: views, projections, files


@dataclass(frozen=True)
class MethodOptions:
    """What a method is built with; classical methods need none of it.

    Attributes:
        adapt: how the network learns.
        guide: the CLIP and the prompts that judge it; None: no language.
        initial: a network of the backbone to begin with, which is left as it is; None: one with random weights.
    """

    adapt: AdaptOptions = AdaptOptions()
    guide: Guide | None = None
    initial: nn.Module | None = None


@dataclass(frozen=True)
class NetworkMethod:
    """A network that learns on the scene (`methods.method.Method`).

    Attributes:
        backbone: what kind of network it is.
        options: how it learns, and with what.
        language: it is meant to be judged by a CLIP, whether there is one or not.
    """

    backbone: BackboneSpec
    options: MethodOptions
    language: bool = False

    @classmethod
    def of(cls, options: MethodOptions, *, language: bool = False) -> NetworkMethod:
        """The method with these options.

        Raises:
            UsageError: the backbone does not exist, or cannot fuse scenes.
        """
        return cls(find_fusing_backbone(options.adapt.backbone), options, language)

    def cost(self, observation: Observation) -> MethodCost:
        """What it takes on a scene; the memory of a teacher is not counted."""
        sampling = observation.sampling
        bands = sampling.bands
        return MethodCost(
            halo=self.backbone.overlap + (self.options.adapt.rounds + 1) * lowpass_halo(observation),
            tile_bytes=_TILE_BYTES,
            fixed_bytes=self.backbone.block_bytes(bands),
            seconds=self.backbone.fusing_seconds(bands) / _CORES + _BAND_SECONDS * bands,
            learning_bytes=self.backbone.training_bytes(bands, sum(self._learning_pixels(sampling))),
            learning_seconds=self.options.adapt.steps * self._step_seconds(sampling),
        )

    def tags(self) -> dict[str, str]:
        """What the tags of a result say of its options."""
        return learning_tags(self.options.adapt)

    def fit(self, source: SceneSource) -> Fitted:
        """Learn on the scene: stage I where there is a guide, a teacher if there is one, then stage II.

        Raises:
            InputError: no tile holds valid pixels.
            UsageError: no term of the loss applies, or stage I cannot work as asked.
        """
        adapt, guide, observation = self.options.adapt, self.options.guide, source.observation

        def on_step(stage: str, step: int, steps: int, loss: float) -> None:
            source.report(stage, step, steps, f"loss {loss:.4f}")

        with source.stage("adapt"):
            tiles = source.training_tiles(training_core(observation.sampling), fit_halo(observation))
            scene = SceneTiles(tiles, observation, source.saturation)
            prior, adapted = learn_scene(scene, adapt, source.device, guide, self.options.initial, on_step)
        sharpener = NetworkSharpener(self.backbone, adapted.network, prior, lowpass_halo(observation), adapt.rounds)
        tags = (guide_tags(guide) if self.language else {}) | curve_tags(adapted)
        return Fitted(sharpener, tags, Learned(adapted, sharpener.checkpoint(), guide))

    def _step_seconds(self, sampling: Sampling) -> float:
        """Seconds of a step with its judge, and its share of the teacher's lessons."""
        full, reduced = self._learning_pixels(sampling)
        step = _STEP_SECONDS + _JUDGE_SECONDS * self.language
        step += _passes_seconds(self.backbone, full + reduced, sampling.bands)
        name = self.options.adapt.teacher
        teacher = self.backbone if name == SELF else BACKBONES.get(name)
        if teacher is not None:
            step += _passes_seconds(teacher, reduced, sampling.bands) / 3  # has a third of the steps
        return step

    def _learning_pixels(self, sampling: Sampling) -> tuple[int, int]:
        """PAN pixels that a step sees, at full and at reduced resolution."""
        batch = self.options.adapt.patches_per_step
        return batch * training_core(sampling) ** 2, 4 * batch * REDUCED_SIDE**2


def _passes_seconds(backbone: BackboneSpec, pixels: int, bands: int) -> float:
    """Seconds of a forward and a backward pass."""
    return 3 * backbone.cost.cpu_seconds.at(bands) * pixels / 1e6 / _CORES


@dataclass(frozen=True)
class NetworkSharpener:
    """A network adapted to a scene (`contracts.Sharpener`).

    Attributes:
        backbone: what kind of network it is.
        network: in evaluation mode.
        prior: of the scene, on the device of the network.
        rim: PAN pixels at the edge of a tile where its low-pass views are not exact, so that the network need not look.
        rounds: projections onto PAN and MS after the network.
    """

    backbone: BackboneSpec
    network: nn.Module
    prior: Prior
    rim: int
    rounds: int

    @property
    def halo(self) -> int:
        """PAN pixels around a tile for an exact result, where its low-pass views are exact."""
        return self.backbone.overlap + self.rounds * self.rim  # each projection reaches as far as the low-pass does

    @torch.inference_mode()
    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN, float32."""
        prior = self.prior
        image = prior.initial_fusion(views.ms_up, views.pan, views.pan_low)
        inner = (slice(None), *(slice(self.rim, side - self.rim) for side in image.shape[-2:]))
        origin = views.pan_window.row + self.rim, views.pan_window.col + self.rim
        image[inner] = self._correct(image[inner], views.pan[inner], origin)
        for _ in range(self.rounds):
            image = prior.onto_pan(image, views.pan)
            degraded, share = views.down(image)
            image = prior.onto_ms(image, views.ms, degraded, share > 0.5, views.up)
        return image

    def checkpoint(self) -> Checkpoint:
        """The network with all that is needed to use it again, to be written by `store.checkpoint`."""
        return Checkpoint(self.backbone.name, len(self.prior.gains), self.network, mean_normalisation([self.prior]))

    def _correct(self, start: Tensor, pan: Tensor, origin: tuple[int, int]) -> Tensor:
        prior = self.prior
        inputs = prior.normalise(start)[None], prior.normalise_pan(pan)[None]
        if start.is_cuda:  # large blocks keep it busy
            with torch.autocast("cuda", dtype=torch.bfloat16):
                corrected = run_network(self.backbone, self.network, *inputs, origin, _GPU_BLOCK_BYTES)
        else:
            corrected = run_network(self.backbone, self.network, *inputs, origin)
        image: Tensor = corrected[0].float() * prior.ms_std + prior.ms_mean
        return image
