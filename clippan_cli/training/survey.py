"""What is asked of the scenes of an archive: a survey before anything is learned from them, and windows of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, detail_of, estimate_scene, sample_tiles
from clippan_cli.scene.tensors import to_tile
from clippan_models.adaptation.clip_adaptation import AlignmentImages
from clippan_models.adaptation.fusion import Prior, fit_prior
from clippan_models.adaptation.loop import unit_image, unit_pan
from clippan_models.adaptation.patches import WindowPatches, count_reduced, full_patches, window_patches
from clippan_models.adaptation.scene import REDUCED_SIDE, held_windows, scene_moments
from clippan_models.adaptation.teacher import core_image, fit_classical
from clippan_models.contracts import Observation, Sharpener, Tile, Window
from clippan_models.ops.views import TileViews, fit_halo

_STAGE1_METHOD = "bdsd-pc"  # stands for the good image in stage I


@dataclass(frozen=True)
class Survey:
    """What must be known of a scene before anything is learned from it.

    Attributes:
        observation: the model of the scene.
        prior: of the scene.
        windows: cores that stand for the scene, on the PAN grid.
        detail: of each, see `detail_of`.
        reduced: how many patches with a truth each has room for.
        method: a classical teacher fitted to the scene, or None.
        images: what stage I sees of the scene, or None.
    """

    observation: Observation
    prior: Prior
    windows: tuple[Window, ...]
    detail: tuple[float, ...]
    reduced: tuple[int, ...]
    method: Sharpener | None
    images: AlignmentImages | None


@dataclass(frozen=True)
class SurveyScene:
    """The task to survey a scene.

    Attributes:
        files: of the scene.
        read: how to read them.
        core: side of its windows.
        windows: at most so many.
        teacher: a classical one, or None.
        images: for stage I; 0: none.
        alone: there is no other scene, so that some of its windows are held back.
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
        estimate = estimate_scene(scene, control)
        observation = estimate.observation
        arrays = sample_tiles(scene, self.core, self.windows, fit_halo(observation), control)
        tiles = [to_tile(a, torch.device("cpu")) for a in arrays]
        prior = fit_prior(scene_moments(tiles, observation, estimate.ceilings), observation, *estimate.ceilings)
        return Survey(
            observation=observation,
            prior=prior,
            windows=tuple(tile.core for tile in tiles),
            detail=tuple(detail_of(a) for a in arrays),
            reduced=tuple(count_reduced(tile, observation, REDUCED_SIDE) for tile in tiles),
            method=_fitted(self.teacher, tiles, observation) if self.teacher else None,
            images=self._alignment_images(tiles, observation, prior) if self.images else None,
        )

    def _alignment_images(self, tiles: list[Tile], observation: Observation, prior: Prior) -> AlignmentImages:
        """A few patches in the three types of stage I, none that is held back."""
        if self.alone:
            held = held_windows(len(tiles))
            tiles = [tile for number, tile in enumerate(tiles) if number not in held] or tiles
        sharp = _fitted(_STAGE1_METHOD, tiles, observation)
        places = torch.linspace(0, len(tiles) - 1, min(self.images, len(tiles))).round().long().tolist()
        chosen = [tiles[place] for place in places]
        full = full_patches(chosen, observation)
        hrms: Tensor = torch.stack([core_image(sharp, TileViews(tile, observation)) for tile in chosen])
        return AlignmentImages(
            ms_up=unit_image(prior, full.ms_up), pan=unit_pan(prior, full.pan), hrms=unit_image(prior, hrms)
        )


@dataclass(frozen=True)
class ReadWindow:
    """The task to read a window of a scene as patches.

    Attributes:
        files: of the scene.
        read: how to read them.
        core: the window on the PAN grid.
        observation: the model of the scene.
        method: a classical teacher fitted to the scene, or None.
    """

    files: SceneFiles
    read: ReadOptions
    core: Window
    observation: Observation
    method: Sharpener | None

    def of(self, scene: Scene, control: Control) -> WindowPatches:
        """The patches, with the teacher's image."""
        control.check()
        tile = to_tile(scene.reader.read(self.core, fit_halo(self.observation)), torch.device("cpu"))
        patches = window_patches(tile, self.observation, REDUCED_SIDE)
        if self.method is None:
            return patches
        image = core_image(self.method, TileViews(tile, self.observation))
        return replace(patches, full=replace(patches.full, teacher=image[None]))


def _fitted(method: str, tiles: list[Tile], observation: Observation) -> Sharpener:
    return fit_classical(method, (TileViews(tile, observation) for tile in tiles))
