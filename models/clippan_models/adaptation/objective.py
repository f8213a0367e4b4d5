"""The loss of a network on patches of one scene, without ground truth.

At full resolution the terms are CLIPPan's (spectral, spatial, 1 - QNR, direction, distance to a teacher) and one that
ties detail to PAN; at the reduced resolution of Wald's protocol MS itself is the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clippan_models.adaptation.clip_adaptation import Judge
from clippan_models.adaptation.evidence import SceneNetwork, is_informed, shown_images
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.options import AdaptOptions, LossWeights
from clippan_models.adaptation.patches import Patches, ScenePatches
from clippan_models.guidance.radiometry import to_unit
from clippan_models.losses.correlation import correlation_loss
from clippan_models.losses.direction import through_intensity
from clippan_models.losses.qnr import qnr_loss
from clippan_models.losses.similarity import masked_mean
from clippan_models.losses.spatial import spatial_loss
from clippan_models.losses.spectral import spectral_loss
from clippan_models.networks.registry import find_backbone
from clippan_models.networks.statistics import recording

_NOTHING = LossWeights.only()

_VALIDATION_BYTES = 5e8

_RECORDED = 16  # patches that statistics of the scene are taken from


def unit_image(prior: Prior, image: Tensor) -> Tensor:
    """Bands `[B, C, H, W]` from DN to the unit range in which the judge sees them."""
    return to_unit(image, prior.ms_mean.flatten(), prior.ms_std.flatten())


def unit_pan(prior: Prior, pan: Tensor) -> Tensor:
    """PAN `[B, 1, H, W]` from DN to the unit range in which the judge sees it."""
    return to_unit(pan, pan.new_tensor([prior.pan_mean]), pan.new_tensor([prior.pan_std]))


@torch.no_grad()
def with_clip_features(patches: Patches, judge: Judge, prior: Prior) -> Patches:
    """The patches with the CLIP features of their MS and PAN, which do not change while the network learns."""
    ms, pan = unit_image(prior, patches.ms_up), unit_pan(prior, patches.pan)
    return replace(patches, ms_feature=judge.embed_ms(ms), pan_feature=judge.embed_pan(pan))


def fuse(network: nn.Module, prior: Prior, patches: Patches, rounds: int) -> Tensor:
    """The fused patches `[N, C, H, W]`, DN: initial fusion, network, `rounds` of projections."""

    def onto_ms(image: Tensor) -> Tensor:
        return prior.onto_ms(image, patches.ms, patches.down(image), patches.usable, patches.up)

    image: Tensor = SceneNetwork(network, prior)(*shown_images(prior, patches, onto_ms, informed=is_informed(network)))
    return prior.project(image, patches.pan, onto_ms, rounds)


@dataclass(frozen=True)
class Objective:
    """What a network is to make of the patches of a scene.

    Attributes:
        network: `(initial fusion [B, C, H, W], pan [B, 1, H, W]) -> [B, C, H, W]`, all normalised.
        prior: of the scene, on the device of the network.
        options: how to adapt.
        judge: an adapted CLIP; None: no language.
    """

    network: nn.Module
    prior: Prior
    options: AdaptOptions
    judge: Judge | None

    def step_loss(self, patches: ScenePatches) -> Tensor:
        """The loss of a step, with a gradient."""
        parts = self._full_parts(patches.full, self.options.judged)
        return self._total(parts) + self._total(self._truth_parts(patches))

    @torch.no_grad()
    def validation(self, patches: ScenePatches) -> tuple[float, dict[str, float]]:
        """The loss over validation patches, and its parts, unweighted."""
        self.network.eval()
        parts = {k: float(v) for k, v in self._full_parts(patches.full, None).items()}
        total = float(self._total({k: torch.tensor(v) for k, v in parts.items()}))
        for name, part in self._truth_parts(patches).items():
            parts[name] = float(part)
            total += getattr(self.options.loss, name) * parts[name]
        return total, parts

    @torch.no_grad()
    def record(self, full: Patches) -> None:
        """Let a network that uses statistics of the scene take them from patches all over it."""
        with recording(self.network) as needed:
            if needed:
                for number in range(0, len(full), -(-len(full) // _RECORDED)):
                    fuse(self.network, self.prior, full.take(torch.tensor([number])), rounds=0)

    def _full_parts(self, patches: Patches, judged: int | None) -> dict[str, Tensor]:
        """The terms at full resolution that count, unweighted; the judge sees the first `judged` patches, or all."""
        prior, weights = self.prior, self.options.loss
        if patches.teacher is None:
            weights = replace(weights, ship=0.0)
        of_all = replace(weights, reduced=0.0, consistency=0.0, direction=0.0) != _NOTHING
        if not of_all and not (weights.direction and self.judge is not None):
            return {}
        if not of_all and judged is not None:  # the network need not fuse what nothing looks at
            patches = patches.take(torch.arange(min(judged, len(patches))))
        fused = self._fuse(patches)
        parts: dict[str, Tensor] = {}
        if weights.spectral:
            usable = patches.usable.all(1, keepdim=True)
            degraded = prior.normalise(patches.down(fused))
            parts["spectral"] = spectral_loss(degraded, prior.normalise(patches.ms), usable)
        if weights.qnr:
            parts["qnr"] = self._qnr(fused, patches)
        if weights.correlation:
            parts["correlation"] = self._correlation(fused, patches)
        if weights.spatial and prior.trust > 0:
            projected = (prior.pan_weights * fused).sum(-3, keepdim=True) + prior.pan_offset
            mask = patches.valid & (patches.pan < prior.pan_saturation)
            parts["spatial"] = spatial_loss(prior.normalise_pan(projected), prior.normalise_pan(patches.pan), mask)
        if weights.ship and patches.teacher is not None:
            error = prior.normalise(fused) - prior.normalise(patches.teacher)
            parts["ship"] = masked_mean(error.abs(), patches.valid)
        if weights.direction and self.judge is not None:
            parts["direction"] = self._direction(self.judge, fused[:judged], patches)
        return parts

    def _fuse(self, patches: Patches) -> Tensor:
        """The fused patches; where no gradient is wanted, as many at once as moderate memory holds."""
        if torch.is_grad_enabled():
            return fuse(self.network, self.prior, patches, self.options.rounds)
        cost = find_backbone(self.options.backbone).cost.working_bytes.at(patches.ms_up.shape[1])
        at_once = max(1, int(_VALIDATION_BYTES / (cost * patches.pan[0].numel())))
        pieces = torch.split(torch.arange(len(patches)), at_once)
        return torch.cat([fuse(self.network, self.prior, patches.take(p), self.options.rounds) for p in pieces])

    def _correlation(self, fused: Tensor, patches: Patches) -> Tensor:
        prior = self.prior
        bands = prior.normalise(fused), prior.normalise(patches.ms_up)
        pans = prior.normalise_pan(patches.pan), prior.normalise_pan(patches.pan_low)
        ratio = patches.pan.shape[-1] / patches.ms.shape[-1]
        return correlation_loss(bands[0], pans[0], bands[1], pans[1], ratio, patches.valid)

    def _direction(self, judge: Judge, fused: Tensor, patches: Patches) -> Tensor:
        """The direction loss of the first patches, as many as are given fused."""
        if patches.ms_feature is None or patches.pan_feature is None:
            raise ValueError("patches for a judge carry the CLIP features of their MS and PAN")
        unit = unit_image(self.prior, through_intensity(fused, self.prior.ms_std))
        return judge.direction(unit, patches.ms_feature[: len(fused)], patches.pan_feature[: len(fused)])

    def _qnr(self, fused: Tensor, patches: Patches) -> Tensor:
        # one unit for all bands and PAN: UQI compares means and variances
        unit = float((self.prior.ms_mean.abs() + 4 * self.prior.ms_std).max())
        # nodata is the same constant in all images, so it tells nothing
        scale = patches.valid / unit
        return qnr_loss(fused * scale, patches.ms_up * scale, patches.pan * scale, patches.pan_low * scale)

    def _truth_parts(self, patches: ScenePatches) -> dict[str, Tensor]:
        """The terms that know a truth and count, unweighted."""
        known = {"reduced": patches.reduced, "consistency": patches.again}
        wanted = {name: part for name, part in known.items() if getattr(self.options.loss, name)}
        return {name: self._distance(part) for name, part in wanted.items() if part is not None}

    def _distance(self, patches: Patches) -> Tensor:
        """Mean distance to the truth."""
        if patches.truth is None:
            raise ValueError("these patches carry their truth")
        prior = self.prior
        fused = self._fuse(patches)
        error = prior.normalise(fused) - prior.normalise(patches.truth)
        mask = patches.valid.expand_as(error) & (patches.truth < prior.ms_saturation)
        return masked_mean(error.abs(), mask)

    def _total(self, parts: dict[str, Tensor]) -> Tensor:
        """The weighted sum of the parts."""
        if not parts:
            return torch.zeros(())
        return torch.stack([getattr(self.options.loss, name) * value for name, value in parts.items()]).sum()
