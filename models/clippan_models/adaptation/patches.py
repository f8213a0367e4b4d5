"""Training patches: stacks of small pieces of a scene, at full resolution and at the reduced one of Wald's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clippan_models.contracts import Observation, Sampling, Tile, Window
from clippan_models.ops.fill import fill_invalid
from clippan_models.ops.resample import (
    decimation_matrix,
    interpolation_matrix,
    upsample,
    window_cols,
    window_rows,
)
from clippan_models.ops.views import TileViews, project_to_ms

_IMAGES = ("ms", "usable", "ms_up", "pan", "pan_low", "valid", "truth", "teacher")


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
        ms_feature: what the judge makes of `ms_up`, `[N, D]`, or None without one.
        pan_feature: what it makes of `pan`.
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
    ms_feature: Tensor | None = None
    pan_feature: Tensor | None = None

    def __len__(self) -> int:
        return self.ms.shape[0]

    def down(self, image: Tensor) -> Tensor:
        """See images on the PAN grid as MS would have: `[N, C, H, W] -> [N, C, h, w]`."""
        return self.down_rows @ image @ self.down_cols.transpose(-1, -2)

    def up(self, ms: Tensor) -> Tensor:
        """Interpolate samples to the PAN grid: `[N, C, h, w] -> [N, C, H, W]`."""
        return self.up_rows @ ms @ self.up_cols.transpose(-1, -2)

    def take(self, index: Tensor) -> Patches:
        """The patches of these numbers."""
        return Patches(**{k: v[index.to(v.device)] if isinstance(v, Tensor) else v for k, v in self.__dict__.items()})

    def turned(self, flip_rows: bool, flip_cols: bool, transpose: bool) -> Patches:
        """The patches seen from another side: mirrored, and rows made columns.

        Fusion knows no up or down, so every side teaches. Features of a judge, which sees one side, are left out.
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

    def to(self, device: torch.device) -> Patches:
        """The patches on a device."""
        return Patches(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.__dict__.items()})

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return sum(v.nbytes for v in self.__dict__.values() if isinstance(v, Tensor))


def patch_bytes(bands: int, side: int, ratio: float) -> float:
    """Memory that a patch takes: four images of which one has a single band, masks, MS samples and matrices."""
    samples = bands * (side / ratio) ** 2
    matrices = 4 * bands * side * side / ratio
    return 4 * (side**2 * (3 * bands + 1) + samples + matrices) + side**2 + samples


@dataclass(frozen=True)
class WindowPatches:
    """A window of a scene as patches.

    Attributes:
        full: one, at full resolution.
        reduced: those at reduced resolution that it has room for, or None.
    """

    full: Patches
    reduced: Patches | None


def full_patches(tiles: Sequence[Tile], observation: Observation) -> Patches:
    """Patches at full resolution: the cores of tiles that were read with the halo of the views.

    Args:
        tiles: all with cores of one size.
        observation: the scene's model.
    """
    pieces = [_full_patch(tile, observation) for tile in tiles]
    return _stack(pieces)


def reduced_patches(tiles: Sequence[Tile], observation: Observation, side: int) -> Patches | None:
    """Wald's protocol on the scene itself: MS as truth, both images degraded as MS once was from the sharp image.

    Args:
        tiles: as for `full_patches`; only the MS samples whose PAN support is in the tile are used.
        observation: the scene's model.
        side: MS samples per patch.

    Returns:
        Patches with `truth`, or None where the tiles are too small.
    """
    pieces = [p for tile in tiles for p in _reduced_patch(tile, observation, side)]
    return _stack(pieces) if pieces else None


def window_patches(tile: Tile, observation: Observation, side: int) -> WindowPatches:
    """A tile as patches at both resolutions; arguments as for `reduced_patches`."""
    return WindowPatches(full_patches([tile], observation), reduced_patches([tile], observation, side))


def count_reduced(tile: Tile, observation: Observation, side: int) -> int:
    """How many patches `reduced_patches` cuts out of a tile."""
    return len(_places(_seen_as_ms(tile, observation)[1], side))


def draw(available: int, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of patches at random, none twice: `count`, or all where there are fewer."""
    return torch.randperm(available, generator=generator)[: min(count, available)]


def join_patches(parts: Sequence[Patches]) -> Patches:
    """Patches one after another; all of one size, and all with or all without what can be None."""
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
    down_rows, down_cols = _down_matrices(inner, tile.core, sampling, observation.ms_gain)
    up_rows, up_cols = _up_matrices(inner, tile.core, sampling)
    share = down_rows @ valid.float() @ down_cols.transpose(-1, -2)
    return {
        "ms": views.ms[:, *take],
        "usable": (share > 0.95) & tile.ms_valid[:, *take],
        "ms_up": views.ms_up[:, *cut],
        "pan": views.pan[:, *cut],
        "pan_low": views.pan_low[:, *cut],
        "valid": valid,
        "truth": None,
        "down_rows": down_rows,
        "down_cols": down_cols,
        "up_rows": up_rows,
        "up_cols": up_cols,
    }


def _reduced_patch(tile: Tile, observation: Observation, side: int) -> list[dict[str, Tensor | None]]:
    """All patches of `side` MS samples that fit into a tile and are wholly valid."""
    sampling = observation.sampling
    pan, good = _seen_as_ms(tile, observation)
    places = _places(good, side)
    if not places:
        return []
    ms = _bands_at_reference(tile, sampling)
    ratio = sampling.ratio
    same = Sampling(ratio, ratio, ((ratio - 1) / 2,) * sampling.bands, ((ratio - 1) / 2,) * sampling.bands)
    window = Window(0, 0, side, side)
    inner = _samples_inside(window, same)
    down_rows, down_cols = _down_matrices(inner, window, same, observation.ms_gain)
    up_rows, up_cols = _up_matrices(inner, window, same)
    full = down_rows @ torch.ones(1, side, side) @ down_cols.transpose(-1, -2)
    patches: list[dict[str, Tensor | None]] = []
    for row, col in places:
        truth, sharp = ms[:, row : row + side, col : col + side], pan[:, row : row + side, col : col + side]
        low = (down_rows @ truth @ down_cols.transpose(-1, -2)) / full
        low_pan = (down_rows @ sharp @ down_cols.transpose(-1, -2)) / full
        patches.append(
            {
                "ms": low,
                "usable": full > 0.95,
                "ms_up": up_rows @ low @ up_cols.transpose(-1, -2),
                "pan": sharp,
                "pan_low": up_rows @ low_pan @ up_cols.transpose(-1, -2),
                "valid": torch.ones(1, side, side, dtype=torch.bool),
                "truth": truth,
                "down_rows": down_rows,
                "down_cols": down_cols,
                "up_rows": up_rows,
                "up_cols": up_cols,
            }
        )
    return patches


def _seen_as_ms(tile: Tile, observation: Observation) -> tuple[Tensor, Tensor]:
    """PAN at the MS samples `[1, h, w]`, and where it and all bands can be relied on `[h, w]`."""
    gain = sum(observation.ms_gain) / len(observation.ms_gain)
    reference = observation.sampling.select([0])
    pan, share = project_to_ms(tile.pan, tile.pan_valid, tile.pan_window, tile.ms_window, reference, (gain,))
    return pan, (share[0] > 0.99) & tile.ms_valid.all(0)


def _bands_at_reference(tile: Tile, sampling: Sampling) -> Tensor:
    """The bands interpolated to where the samples of band 0 lie, so that they share one grid."""
    relative = Sampling(
        1.0,
        1.0,
        tuple((p - sampling.phase_y[0]) / sampling.ratio_y for p in sampling.phase_y),
        tuple((p - sampling.phase_x[0]) / sampling.ratio_x for p in sampling.phase_x),
    )
    return upsample(fill_invalid(tile.ms, tile.ms_valid, 3), tile.ms_window, tile.ms_window, relative)


def _places(good: Tensor, side: int) -> list[tuple[int, int]]:
    """Upper left corners of wholly good squares, overlapping by two thirds: small scenes have few."""
    rows = torch.nonzero(good.any(1)).flatten()
    cols = torch.nonzero(good.any(0)).flatten()
    if not len(rows) or not len(cols):
        return []
    return [
        (row, col)
        for row in range(int(rows[0]), int(rows[-1]) + 2 - side, side // 3)
        for col in range(int(cols[0]), int(cols[-1]) + 2 - side, side // 3)
        if bool(good[row : row + side, col : col + side].all())
    ]


def _samples_inside(core: Window, sampling: Sampling) -> Window:
    """As many MS samples as fit any core of this size, centred on it."""
    height, width = int(core.height / sampling.ratio_y), int(core.width / sampling.ratio_x)
    row = round((core.row + (core.height - 1) / 2 - sampling.phase_y[0]) / sampling.ratio_y - (height - 1) / 2)
    col = round((core.col + (core.width - 1) / 2 - sampling.phase_x[0]) / sampling.ratio_x - (width - 1) / 2)
    return Window(row, col, height, width)


def _down_matrices(
    ms_window: Window, pan_window: Window, sampling: Sampling, gains: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    def one(phases: tuple[float, ...], ratio: float, target: range, source: range) -> Tensor:
        pairs = zip(phases, gains, strict=True)
        return torch.stack([decimation_matrix(target, source, p, ratio, g).dense() for p, g in pairs])

    rows = one(sampling.phase_y, sampling.ratio_y, window_rows(ms_window), window_rows(pan_window))
    cols = one(sampling.phase_x, sampling.ratio_x, window_cols(ms_window), window_cols(pan_window))
    return rows, cols


def _up_matrices(ms_window: Window, pan_window: Window, sampling: Sampling) -> tuple[Tensor, Tensor]:
    def one(phases: tuple[float, ...], ratio: float, target: range, source: range) -> Tensor:
        return torch.stack([interpolation_matrix(target, source, p, ratio).dense() for p in phases])

    rows = one(sampling.phase_y, sampling.ratio_y, window_rows(pan_window), window_rows(ms_window))
    cols = one(sampling.phase_x, sampling.ratio_x, window_cols(pan_window), window_cols(ms_window))
    return rows, cols


def _stack(pieces: Sequence[dict[str, Tensor | None]]) -> Patches:
    stacked: dict[str, Tensor | None] = {}
    for key in pieces[0]:
        values = [piece[key] for piece in pieces]
        tensors = [v for v in values if v is not None]
        stacked[key] = torch.stack(tensors) if tensors else None
    return Patches(**stacked)  # type: ignore[arg-type]  # only truth and what follows the matrices can be None
