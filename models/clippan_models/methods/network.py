"""The `network` and `clippan` methods: adapt a fusion network to the scene, then sharpen any tile of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clippan_models.adaptation.evidence import SceneNetwork, can_correct, is_informed, shown_images
from clippan_models.adaptation.fusion import Prior, mean_normalisation
from clippan_models.adaptation.patches import REDUCED_SIDE, training_core
from clippan_models.adaptation.scene import SceneTiles, learn_scene
from clippan_models.contracts import Observation, Sampling, Views
from clippan_models.methods.method import Fitted, Learned, MethodCost, MethodOptions, SceneSource
from clippan_models.methods.tags import curve_tags, guide_tags, learning_tags
from clippan_models.networks.blocks import run_in_orientations
from clippan_models.networks.precision import full_precision
from clippan_models.networks.registry import find_fusing_backbone
from clippan_models.networks.spec import BackboneSpec
from clippan_models.ops.views import fit_halo, lowpass_halo
from clippan_models.store.checkpoint import Checkpoint

_GPU_BLOCK_BYTES = 2e9  # large blocks keep a GPU busy
_TILE_BYTES = 320  # per pixel of a tile: 80 float32 values of views and projections


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
            halo=self.backbone.overlap
            + (self.backbone.projections + self.options.adapt.rounds + 1) * lowpass_halo(observation),
            tile_bytes=_TILE_BYTES,
            fixed_bytes=self.backbone.block_bytes(bands),
            learning_bytes=self.backbone.training_bytes(bands, sum(self._learning_pixels(sampling))),
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
        rim = lowpass_halo(observation)
        sharpener = NetworkSharpener(self.backbone, adapted.network, prior, rim, adapt.rounds, adapt.orientations)
        tags = (guide_tags(guide) if self.language else {}) | curve_tags(adapted)
        if adapt.rounds:
            tags["PAN_TRUST"] = f"{prior.trust * prior.error_share:.3f}"
        note = ""
        if not can_correct(adapted.network, prior):
            note = (
                f"PAN does not follow from the bands (R2 {observation.pan_r2:.2f}): "
                f"{self.backbone.name} corrects nothing, and the result is the initial fusion"
            )
            tags["FALLBACK"] = note
        return Fitted(sharpener, tags, Learned(adapted, sharpener.checkpoint(), guide), note)

    def _learning_pixels(self, sampling: Sampling) -> tuple[int, int]:
        """PAN pixels that a step sees, at full and at reduced resolution."""
        batch = self.options.adapt.patches_per_step
        return batch * training_core(sampling) ** 2, 4 * batch * REDUCED_SIDE**2


@dataclass(frozen=True)
class NetworkSharpener:
    """A network adapted to a scene (`contracts.Sharpener`).

    Attributes:
        backbone: what kind of network it is.
        network: in evaluation mode.
        prior: of the scene, on the device of the network.
        rim: PAN pixels at the edge of a tile where its low-pass views are not exact, so that the network need not look.
        rounds: projections onto PAN and MS after the network.
        orientations: of the image whose results are averaged, 1, 2, 4 or 8.
    """

    backbone: BackboneSpec
    network: nn.Module
    prior: Prior
    rim: int
    rounds: int
    orientations: int = 1

    @property
    def halo(self) -> int:
        """PAN pixels around a tile for an exact result, where its low-pass views are exact."""
        # each projection reaches as far as the low-pass does
        return self.backbone.overlap + (self.backbone.projections + self.rounds) * self.rim

    @torch.inference_mode()
    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN, float32."""
        prior = self.prior

        def onto_ms(image: Tensor) -> Tensor:
            degraded, share = views.down(image)
            return prior.onto_ms(image, views.ms, degraded, share > 0.5, views.up)

        images = shown_images(prior, views, onto_ms, informed=is_informed(self.network))
        image, rim = images[0], self.rim * (1 + self.backbone.projections)
        inner = (slice(None), *(slice(rim, side - rim) for side in image.shape[-2:]))
        origin = views.pan_window.row + rim, views.pan_window.col + rim
        image[inner] = self._correct([shown[inner][None] for shown in images], origin)
        return prior.project(image, views.pan, onto_ms, self.rounds)

    def checkpoint(self) -> Checkpoint:
        """The network with all that is needed to use it again, to be written by `store.checkpoint`."""
        return Checkpoint(self.backbone.name, len(self.prior.gains), self.network, mean_normalisation([self.prior]))

    def _correct(self, images: list[Tensor], origin: tuple[int, int]) -> Tensor:
        network = SceneNetwork(self.network, self.prior)
        memory = _GPU_BLOCK_BYTES if images[0].is_cuda else 0.0
        with full_precision():  # in bfloat16 the last bit of an input would show, and tiles and devices would not agree
            return run_in_orientations(self.backbone, network, images, origin, memory, self.orientations)[0]
