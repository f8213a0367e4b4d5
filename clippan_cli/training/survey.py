"""What is asked of the scenes of an archive: a survey before the training, and windows for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from clippan_cli.rasters.limits import Limits
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import RunWarning
from clippan_cli.scene.estimation import detail_of, estimate_scene, sample_tiles
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, file_doubts
from clippan_cli.scene.tensors import to_tile
from clippan_models.adaptation.archive import evenly
from clippan_models.adaptation.clip_adaptation import ClipAdaptationImages
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.patches import ScenePatches, count_reduced, full_patches, scene_patches
from clippan_models.adaptation.scene import SceneTiles, clip_images
from clippan_models.adaptation.teacher import SHARP_EXAMPLE, core_images, fit_classical
from clippan_models.contracts import Observation, Sharpener, Window
from clippan_models.ops.views import TileViews, fit_halo


@dataclass(frozen=True)
class Survey:
    """What must be known of a scene before the training.

    Attributes:
        observation: the model of the scene.
        limits: of the values that are learned from.
        prior: of the scene.
        windows: cores that represent the scene, on the PAN grid.
        detail: of each, see `detail_of`.
        reduced: how many patches with a truth each has room for.
        method: a classical teacher fitted to the scene, or None.
        images: what stage I learns from, or None.
        warnings: what is doubtful about the pair.
    """

    observation: Observation
    limits: Limits
    prior: Prior
    windows: tuple[Window, ...]
    detail: tuple[float, ...]
    reduced: tuple[int, ...]
    method: Sharpener | None
    images: ClipAdaptationImages | None
    warnings: tuple[RunWarning, ...]


@dataclass(frozen=True)
class SurveyScene:
    """The task to survey a scene.

    Attributes:
        files: of the scene.
        read: how to read them.
        core: side of its windows.
        windows: at most so many.
        teacher: a classical one, or None.
        images: how many for stage I; 0: none.
        alone: there is no other scene, so that some of its windows are held out.
    """

    files: SceneFiles
    read: ReadOptions
    core: int
    windows: int
    teacher: str | None
    images: int
    alone: bool

    def of(self, scene: Scene, control: Control) -> Survey:
        """The survey."""
        with control.without_warnings() as found:
            control.warn(*file_doubts(scene))
            estimate = estimate_scene(scene, control)
        observation = estimate.observation
        arrays = sample_tiles(scene.within(estimate.limits), self.core, self.windows, fit_halo(observation), control)
        scene.pair.stamps.check()
        sample = SceneTiles([to_tile(a, torch.device("cpu")) for a in arrays], observation, estimate.limits.saturation)
        prior = sample.prior()
        return Survey(
            observation=observation,
            limits=estimate.limits,
            prior=prior,
            windows=tuple(tile.core for tile in sample.tiles),
            detail=tuple(detail_of(a) for a in arrays),
            reduced=tuple(count_reduced(tile, observation) for tile in sample.tiles),
            method=fit_classical(self.teacher, sample.views()) if self.teacher else None,
            images=self._clip_images(sample, prior) if self.images else None,
            warnings=tuple(found),
        )

    def _clip_images(self, sample: SceneTiles, prior: Prior) -> ClipAdaptationImages:
        """A few patches in the three types of stage I, none of them held out."""
        train = sample.split()[0] if self.alone else sample
        sharpener = fit_classical(SHARP_EXAMPLE, train.views())
        few = replace(train, tiles=[train.tiles[number] for number in evenly(len(train.tiles), self.images)])
        sharp = core_images(sharpener, few.views())
        return clip_images(full_patches(few.tiles, few.observation), sharp, prior)


@dataclass(frozen=True)
class ReadWindow:
    """The task to read a window of a scene as patches.

    Attributes:
        files: of the scene.
        read: how to read them.
        core: the window on the PAN grid.
        observation: the model of the scene.
        limits: of the values that are learned from.
        method: a classical teacher fitted to the scene, or None.
    """

    files: SceneFiles
    read: ReadOptions
    core: Window
    observation: Observation
    limits: Limits
    method: Sharpener | None

    def of(self, scene: Scene, control: Control) -> ScenePatches:
        """The patches, with the teacher's image."""
        control.check()
        reader = scene.within(self.limits).reader
        tile = to_tile(reader.read(self.core, fit_halo(self.observation)), torch.device("cpu"))
        patches = scene_patches([tile], self.observation)
        if self.method is None:
            return patches
        image = core_images(self.method, [TileViews(tile, self.observation)])
        return replace(patches, full=replace(patches.full, teacher=image))
