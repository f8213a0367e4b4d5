"""Training patches: stacks of small pieces of a scene, at full resolution and at the reduced one of Wald's protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clippan_models.contracts import Observation, Sampling, Tile, Window
from clippan_models.ops.resample import decimation_matrix, interpolation_matrix, window_cols, window_rows
from clippan_models.ops.views import TileViews, bands_at_reference, project_to_ms

REDUCED_SIDE = 24
"""MS samples on a side of a patch at reduced resolution."""

_BORDER = 16
"""PAN pixels at the edge of a virtual pair that do not count: what was moved in from the other side, and its reach."""

_IMAGES = ("ms", "usable", "ms_up", "pan", "pan_low", "valid", "truth", "teacher", "before")


@dataclass(frozen=True)
class Patches:
    """N patches with the matrices that relate their two grids, all tensors on one device.

    Attributes:
        ms: `[N, C, h, w]`, DN.
        usable: MS samples whose blur lies within the patch, on valid pixels, `[N, C, h, w]` bool.
        ms_up: `[N, C, H, W]`.
        pan: `[N, 1, H, W]`.
        pan_low: `[N, C, H, W]`.
        valid: `[N, 1, H, W]` bool.
        truth: the sharp bands `[N, C, H, W]` where they are known (reduced resolution), else None.
        down_rows: `[N, C, h, H]`; with `down_cols [N, C, w, W]` it blurs and decimates.
        up_rows: `[N, C, H, h]`; with `up_cols [N, C, W, w]` it interpolates.
        teacher: images of another method to learn from, `[N, C, H, W]`, DN, or None.
        before: images by the network before it learned on the scene, `[N, C, H, W]`, DN, or None.
        ms_feature: CLIP features of `ms_up`, `[N, D]`, or None without a judge.
        pan_feature: CLIP features of `pan`.
    """

    ms: Tensor
    usable: Tensor
    ms_up: Tensor
    pan: Tensor
    pan_low: Tensor
    valid: Tensor
    truth: Tensor | None
    down_rows: Tensor
    down_cols: Tensor
    up_rows: Tensor
    up_cols: Tensor
    teacher: Tensor | None = None
    before: Tensor | None = None
    ms_feature: Tensor | None = None
    pan_feature: Tensor | None = None

    def __len__(self) -> int:
        return self.ms.shape[0]

    def down(self, image: Tensor) -> Tensor:
        """MTF-degrade images on the PAN grid to the MS samples: `[N, C, H, W] -> [N, C, h, w]`."""
        return self.down_rows @ image @ self.down_cols.transpose(-1, -2)

    def up(self, ms: Tensor) -> Tensor:
        """Interpolate samples to the PAN grid: `[N, C, h, w] -> [N, C, H, W]`."""
        return self.up_rows @ ms @ self.up_cols.transpose(-1, -2)

    def take(self, index: Tensor) -> Patches:
        """The patches of these numbers."""
        return Patches(**{k: v[index.to(v.device)] if isinstance(v, Tensor) else v for k, v in self.__dict__.items()})

    def turned(self, flip_rows: bool, flip_cols: bool, transpose: bool) -> Patches:
        """The patches mirrored, and with rows and columns exchanged.

        Fusion has no preferred direction, so all eight orientations can be learned from. CLIP features, which belong to
        one orientation, are left out.
        """
        mirrored = ([-2] if flip_rows else []) + ([-1] if flip_cols else [])
        images = {k: v for k in _IMAGES if (v := getattr(self, k)) is not None}
        images = {k: v.flip(mirrored) if mirrored else v for k, v in images.items()}
        rows = {k: getattr(self, f"{k}_rows") for k in ("down", "up")}
        cols = {k: getattr(self, f"{k}_cols") for k in ("down", "up")}
        rows = {k: v.flip(-2, -1) if flip_rows else v for k, v in rows.items()}
        cols = {k: v.flip(-2, -1) if flip_cols else v for k, v in cols.items()}
        if transpose:
            images = {k: v.transpose(-1, -2) for k, v in images.items()}
            rows, cols = cols, rows
        matrices = {f"{k}_rows": v for k, v in rows.items()} | {f"{k}_cols": v for k, v in cols.items()}
        return replace(self, ms_feature=None, pan_feature=None, **images, **matrices)

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return sum(v.nbytes for v in self.__dict__.values() if isinstance(v, Tensor))


def training_core(sampling: Sampling) -> int:
    """Side in PAN pixels of the windows that a scene is sampled by: 32 MS samples at least, a multiple of 32."""
    return max(128, 32 * math.ceil(max(sampling.ratio_y, sampling.ratio_x)))


def patch_bytes(bands: int, side: int, ratio: float) -> float:
    """Memory that a patch takes: four images of which one has a single band, masks, MS samples and matrices."""
    samples = bands * (side / ratio) ** 2
    matrices = 4 * bands * side * side / ratio
    return 4 * (side**2 * (3 * bands + 1) + samples + matrices) + side**2 + samples


@dataclass(frozen=True)
class ScenePatches:
    """Patches of a scene, or of a window of it, at both resolutions.

    Attributes:
        full: at full resolution.
        reduced: at reduced resolution, with a truth; None where there is no room for any.
        again: at full resolution, of pairs made from an image of the scene, which is their truth (`virtual_pairs`);
            None where nothing is learned from them.
    """

    full: Patches
    reduced: Patches | None
    again: Patches | None = None


def full_patches(tiles: Sequence[Tile], observation: Observation) -> Patches:
    """Patches at full resolution: the cores of tiles that were read with the halo of the views.

    Args:
        tiles: all with cores of one size.
        observation: the scene's model.
    """
    return _stack([_full_patch(tile, observation) for tile in tiles])


def reduced_patches(tiles: Sequence[Tile], observation: Observation) -> Patches | None:
    """Wald's protocol on the scene itself: MS is the truth, and both images are MTF-degraded by the ratio.

    Args:
        tiles: as for `full_patches`; only the MS samples whose PAN support is in the tile are used.
        observation: the scene's model.

    Returns:
        Patches of `REDUCED_SIDE` MS samples a side with `truth`, or None where the tiles are too small.
    """
    pieces = [piece for tile in tiles for piece in _reduced_patches(tile, observation)]
    return _stack(pieces) if pieces else None


def scene_patches(tiles: Sequence[Tile], observation: Observation) -> ScenePatches:
    """Patches at both resolutions; arguments as for `reduced_patches`."""
    return ScenePatches(full_patches(tiles, observation), reduced_patches(tiles, observation))


def virtual_pairs(patches: Patches, shift: tuple[int, int]) -> Patches:
    """Pairs that an image of the scene would give if the sensor stood elsewhere; `truth` is that image.

    The image `patches.before` and PAN are moved against the MS grid and MTF-degraded by the scene's own operators, so
    what a network makes of the pair ought to be the image again (equivariant imaging: Chen, Tachella, Davies, ICCV
    2021). There is no gap of scale, and the truth is as sharp as the scene's own result.

    Args:
        patches: at full resolution, with `before`.
        shift: PAN pixels down and right.
    """
    if patches.before is None:
        raise ValueError("virtual pairs are made of the image by the network before it learned")
    image, pan, valid = (v.roll(shift, (-2, -1)) for v in (patches.before, patches.pan, patches.valid))
    inside = torch.zeros_like(valid)
    inside[..., _BORDER:-_BORDER, _BORDER:-_BORDER] = True
    seen = valid.to(image.dtype)
    share = patches.down(seen.expand_as(image))
    whole = share.clamp(min=1e-3)
    ms, pan_at_ms = patches.down(image * seen) / whole, patches.down((pan * seen).expand_as(image)) / whole
    return replace(
        patches,
        ms=ms,
        usable=share > 0.95,
        ms_up=patches.up(ms),
        pan=pan,
        pan_low=patches.up(pan_at_ms),
        valid=valid & inside,
        truth=image,
        ms_feature=None,
        pan_feature=None,
    )


def count_reduced(tile: Tile, observation: Observation) -> int:
    """How many patches `reduced_patches` cuts out of a tile."""
    return len(_corners(_pan_at_ms(tile, observation)[1]))


def draw(available: int, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of `count` patches at random, each at most once; of all patches where there are fewer."""
    return torch.randperm(available, generator=generator)[: min(count, available)]


def join_patches(parts: Sequence[Patches]) -> Patches:
    """Patches one after another; all have one size, and each optional tensor is in all of them or in none."""
    if len(parts) == 1:
        return parts[0]
    tensors = {key for key, value in parts[0].__dict__.items() if value is not None}
    return replace(parts[0], **{key: torch.cat([getattr(part, key) for part in parts]) for key in tensors})


def _full_patch(tile: Tile, observation: Observation) -> dict[str, Tensor | None]:
    views = TileViews(tile, observation)
    cut = tile.core.inside(tile.pan_window)
    sampling = observation.sampling
    inner = _samples_inside(tile.core, sampling)
    take = inner.inside(tile.ms_window)
    valid = tile.valid.all(0, keepdim=True)[:, *cut]
    matrices = _matrices(inner, tile.core, sampling, observation.ms_gain)
    share = _between(valid.float(), matrices, "down")
    return {
        "ms": views.ms[:, *take],
        "usable": (share > 0.95) & tile.ms_valid[:, *take],
        "ms_up": views.ms_up[:, *cut],
        "pan": views.pan[:, *cut],
        "pan_low": views.pan_low[:, *cut],
        "valid": valid,
        "truth": None,
        **matrices,
    }


def _reduced_patches(tile: Tile, observation: Observation) -> list[dict[str, Tensor | None]]:
    """All patches of `REDUCED_SIDE` MS samples that fit into a tile and are wholly valid."""
    sampling, side = observation.sampling, REDUCED_SIDE
    pan, valid = _pan_at_ms(tile, observation)
    corners = _corners(valid)
    if not corners:
        return []
    ms = bands_at_reference(tile, sampling, sampling.select([0]))
    same = Sampling.area_registered(sampling.ratio, sampling.bands)
    window = Window(0, 0, side, side)
    matrices = _matrices(_samples_inside(window, same), window, same, observation.ms_gain)
    full = _between(torch.ones(1, side, side), matrices, "down")
    patches: list[dict[str, Tensor | None]] = []
    for row, col in corners:
        truth, sharp = ms[:, row : row + side, col : col + side], pan[:, row : row + side, col : col + side]
        low, low_pan = (_between(image, matrices, "down") / full for image in (truth, sharp))
        patches.append(
            {
                "ms": low,
                "usable": full > 0.95,
                "ms_up": _between(low, matrices, "up"),
                "pan": sharp,
                "pan_low": _between(low_pan, matrices, "up"),
                "valid": torch.ones(1, side, side, dtype=torch.bool),
                "truth": truth,
                **matrices,
            }
        )
    return patches


def _pan_at_ms(tile: Tile, observation: Observation) -> tuple[Tensor, Tensor]:
    """PAN, MTF-degraded to the MS samples `[1, h, w]`, and where it and all bands can be relied on `[h, w]`."""
    gain = sum(observation.ms_gain) / len(observation.ms_gain)
    reference = observation.sampling.select([0])
    pan, share = project_to_ms(tile.pan, tile.pan_valid, tile.pan_window, tile.ms_window, reference, (gain,))
    return pan, (share[0] > 0.99) & tile.ms_valid.all(0)


def _corners(valid: Tensor) -> list[tuple[int, int]]:
    """Upper left corners of wholly valid patches, which overlap by two thirds, as small scenes have few."""
    side = REDUCED_SIDE
    rows = torch.nonzero(valid.any(1)).flatten()
    cols = torch.nonzero(valid.any(0)).flatten()
    if not len(rows) or not len(cols):
        return []
    return [
        (row, col)
        for row in range(int(rows[0]), int(rows[-1]) + 2 - side, side // 3)
        for col in range(int(cols[0]), int(cols[-1]) + 2 - side, side // 3)
        if bool(valid[row : row + side, col : col + side].all())
    ]


def _samples_inside(core: Window, sampling: Sampling) -> Window:
    """As many MS samples as fit any core of this size, centred on it."""
    height, width = int(core.height / sampling.ratio_y), int(core.width / sampling.ratio_x)
    row = round((core.row + (core.height - 1) / 2 - sampling.phase_y[0]) / sampling.ratio_y - (height - 1) / 2)
    col = round((core.col + (core.width - 1) / 2 - sampling.phase_x[0]) / sampling.ratio_x - (width - 1) / 2)
    return Window(row, col, height, width)


def _matrices(ms_window: Window, pan_window: Window, sampling: Sampling, gains: tuple[float, ...]) -> dict[str, Tensor]:
    """The matrices of `Patches` between the samples of two windows."""
    axes = {
        "rows": (sampling.phase_y, sampling.ratio_y, window_rows(ms_window), window_rows(pan_window)),
        "cols": (sampling.phase_x, sampling.ratio_x, window_cols(ms_window), window_cols(pan_window)),
    }
    found = {}
    for axis, (phases, ratio, ms, pan) in axes.items():
        down = [decimation_matrix(ms, pan, p, ratio, g).dense() for p, g in zip(phases, gains, strict=True)]
        found[f"down_{axis}"] = torch.stack(down)
        found[f"up_{axis}"] = torch.stack([interpolation_matrix(pan, ms, p, ratio).dense() for p in phases])
    return found


def _between(image: Tensor, matrices: Mapping[str, Tensor], way: str) -> Tensor:
    """An image moved from one grid to the other: "down" or "up"."""
    return matrices[f"{way}_rows"] @ image @ matrices[f"{way}_cols"].transpose(-1, -2)


def _stack(pieces: Sequence[dict[str, Tensor | None]]) -> Patches:
    stacked: dict[str, Tensor | None] = {}
    for key in pieces[0]:
        values = [piece[key] for piece in pieces]
        tensors = [v for v in values if v is not None]
        stacked[key] = torch.stack(tensors) if tensors else None
    return Patches(**stacked)  # type: ignore[arg-type]  # only truth and what follows the matrices can be None
