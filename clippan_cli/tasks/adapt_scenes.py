"""The scenes of an archive made ready to learn from: those that belong together, each as patches on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clippan_cli.rasters.tiles import TileArrays
from clippan_cli.tasks.compute import to_tile
from clippan_cli.tasks.control import Control, Progress
from clippan_cli.tasks.network_weights import scene_card
from clippan_cli.tasks.pairs import FoundPair, LeftOut, PairTable
from clippan_cli.tasks.scene import (
    Scene,
    SceneOptions,
    detail_of,
    estimate_scene,
    open_scene,
    sample_tiles,
    training_core,
)
from clippan_models.adaptation.alignment import AlignmentImages
from clippan_models.adaptation.archive import ArchiveScene, strata_edges, strata_of
from clippan_models.adaptation.fusion import Prior, fit_prior
from clippan_models.adaptation.loop import unit_image, unit_pan
from clippan_models.adaptation.patches import full_patches, reduced_patches
from clippan_models.adaptation.sharpener import REDUCED_SIDE, scene_moments
from clippan_models.adaptation.teacher import CLASSICAL_TEACHERS, classical_images
from clippan_models.contracts import Observation, Tile
from clippan_models.errors import ClippanError, InputError, Interrupted, ResourceError
from clippan_models.networks.card import ModelCard, mismatch
from clippan_models.ops.views import fit_halo

_MOST_TILES, _FEWEST_TILES = 40, 5  # of a scene
_SHARE = 0.5  # of --ram for the patches; the rest is for the network at work
_JUDGED_IMAGES = 64  # that stage I sees, of all scenes
_HELD_BACK = 5  # of a single scene, one tile in so many


@dataclass(frozen=True)
class Member:
    """A pair that can be learned from.

    Attributes:
        pair: its files.
        options: how to read them.
        card: what it is.
        core: side in PAN pixels of the windows that it wants to be sampled by.
    """

    pair: FoundPair
    options: SceneOptions
    card: ModelCard
    core: int


@dataclass(frozen=True)
class Ready:
    """A scene in patches.

    Attributes:
        member: which one.
        train: to learn from.
        held: to validate on; the same as `train` but where there is one scene only.
        images: what stage I sees of it, or None.
        gains: its MTF gains.
    """

    member: Member
    train: ArchiveScene
    held: ArchiveScene
    images: AlignmentImages | None
    gains: tuple[float, ...]


def find_members(table: PairTable, base: SceneOptions, control: Control) -> tuple[list[Member], list[LeftOut]]:
    """The pairs that are alike in sensor, bands, bit depth and ratio with most others, and why the rest is left out.

    Raises:
        InputError: there is none.
    """
    found: list[Member] = []
    left_out: list[LeftOut] = []
    for number, pair in enumerate(table.pairs, start=1):
        control.report(Progress("open", number, len(table.pairs)))
        options = replace(base, ms=pair.ms, pan=pair.pan)
        try:
            with ExitStack() as stack:
                scene = open_scene(options, Control(stop_signal=control.stop_signal), stack)
                found.append(Member(pair, options, scene_card(scene), training_core(scene)))
        except Interrupted:
            raise
        except ClippanError as error:
            left_out.append(LeftOut(pair.pan, " ".join(str(error).split())))
    if not found:
        raise InputError(f"no scene can be learned from; {left_out[0].path}: {left_out[0].reason}")
    kinds = Counter((member.card.sensor, len(member.card.bands), member.card.bits) for member in found)
    (usual, _), *_ = kinds.most_common(1)
    first = next(m for m in found if (m.card.sensor, len(m.card.bands), m.card.bits) == usual)
    members = []
    for member in found:
        difference = mismatch(first.card, member.card)
        if difference is None:
            members.append(member)
        else:
            left_out.append(LeftOut(member.pair.pan, f"unlike most others: {difference}"))
    return members, left_out


def patch_bytes(bands: int, core: int) -> int:
    """Most that a window takes: images at both resolutions with their matrices, those of a teacher, the tile."""
    return 4 * core**2 * (8 * bands + 14)


def tiles_per_scene(members: Sequence[Member], ram_mb: int) -> int:
    """How many windows of each scene the memory allows for.

    Raises:
        ResourceError: too few to learn from.
    """
    bands, core = len(members[0].card.bands), max(member.core for member in members)
    each = patch_bytes(bands, core)
    count = int(_SHARE * ram_mb * 1e6 / (each * len(members)))
    if count < _FEWEST_TILES:
        needed = _FEWEST_TILES * each * len(members) / _SHARE / 1e6
        raise ResourceError(f"{len(members)} scenes do not fit into --ram {ram_mb}: {needed:.0f} MB are needed")
    return min(count, _MOST_TILES)


def make_ready(
    members: Sequence[Member],
    tiles: int,
    teacher: str,
    guided: bool,
    control: Control,
    on_first: Callable[[Scene], None],
) -> tuple[list[Ready], list[LeftOut]]:
    """Estimate every scene, and cut patches out of it.

    Args:
        members: the scenes.
        tiles: windows of each.
        teacher: a classical one, or "none".
        guided: stage I will look at the scenes.
        control: progress and the request to stop.
        on_first: called with the first scene that is ready while it is open.

    Raises:
        InputError: no scene could be read.
    """
    core = max(member.core for member in members)
    ready: list[_Cut] = []
    left_out: list[LeftOut] = []
    for number, member in enumerate(members, start=1):
        control.report(Progress("scenes", number, len(members), note=member.pair.id))
        try:
            with ExitStack() as stack:
                scene = open_scene(member.options, Control(stop_signal=control.stop_signal), stack)
                ready.append(_cut(member, scene, core, tiles, control))
                if len(ready) == 1:
                    on_first(scene)
        except Interrupted:
            raise
        except ClippanError as error:
            left_out.append(LeftOut(member.pair.pan, " ".join(str(error).split())))
    if not ready:
        raise InputError(f"no scene can be learned from; {left_out[0].path}: {left_out[0].reason}")
    edges = strata_edges([detail for cut in ready for detail in cut.detail])
    images = max(1, _JUDGED_IMAGES // len(ready)) if guided else 0
    return [_ready(ready[i], edges, teacher, images, alone=len(ready) == 1) for i in range(len(ready))], left_out


@dataclass(frozen=True)
class _Cut:
    member: Member
    tiles: tuple[Tile, ...]
    detail: tuple[float, ...]
    observation: Observation
    prior: Prior


def _cut(member: Member, scene: Scene, core: int, tiles: int, control: Control) -> _Cut:
    estimate = estimate_scene(scene, control)
    arrays: list[TileArrays] = sample_tiles(scene, core, tiles, fit_halo(estimate.observation), control)
    pieces = tuple(to_tile(a, torch.device("cpu")) for a in arrays)
    prior = fit_prior(
        scene_moments(pieces, estimate.observation, estimate.ceilings), estimate.observation, *estimate.ceilings
    )
    return _Cut(member, pieces, tuple(detail_of(a) for a in arrays), estimate.observation, prior)


def _ready(cut: _Cut, edges: Sequence[float], teacher: str, images: int, *, alone: bool) -> Ready:
    numbers = list(range(len(cut.tiles)))
    train = [n for n in numbers if n % _HELD_BACK] if alone else numbers
    held = [n for n in numbers if not n % _HELD_BACK] if alone else numbers
    taught = classical_images(teacher, cut.tiles, cut.observation) if teacher in CLASSICAL_TEACHERS else None
    to_learn = _patches(cut, train or numbers, edges, taught)
    return Ready(
        cut.member,
        to_learn,
        _patches(cut, held, edges, taught) if alone else to_learn,
        _alignment_images(cut, to_learn, train or numbers, images) if images else None,
        cut.observation.ms_gain,
    )


def _patches(cut: _Cut, numbers: Sequence[int], edges: Sequence[float], taught: Tensor | None) -> ArchiveScene:
    tiles = [cut.tiles[n] for n in numbers]
    full = full_patches(tiles, cut.observation)
    if taught is not None:
        full = replace(full, teacher=taught[list(numbers)])
    reduced = reduced_patches(tiles, cut.observation, REDUCED_SIDE)
    strata = strata_of([cut.detail[n] for n in numbers], edges)
    return ArchiveScene(cut.member.pair.id, cut.prior, full, reduced, strata)


def _alignment_images(cut: _Cut, scene: ArchiveScene, numbers: Sequence[int], count: int) -> AlignmentImages:
    """A few patches of a scene in the three types of stage I; a classical method stands for the good image."""
    sharp = classical_images("bdsd-pc", [cut.tiles[n] for n in numbers], cut.observation)
    index = torch.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().long()
    full = scene.full.take(index)
    return AlignmentImages(
        ms_up=unit_image(cut.prior, full.ms_up),
        pan=unit_pan(cut.prior, full.pan),
        hrms=unit_image(cut.prior, sharp[index]),
    )
