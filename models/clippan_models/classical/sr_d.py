"""SR-D: sparse representation of the injected details (Vicinanza et al. 2015).

M. R. Vicinanza, R. Restaino, G. Vivone, M. Dalla Mura, J. Chanussot, "A pansharpening method based on the sparse
representation of injected details", IEEE GRSL 12(1), 2015. What MS lacks at the PAN scale is built from what it lacks
one scale down: each patch of low-resolution MS detail is written as a sum of a few low-resolution PAN detail patches
(orthogonal matching pursuit, all bands choose together, each band has its own coefficients by least squares), and the
same sum of the high-resolution patches is added to the interpolated MS; overlapping patches are averaged. With M the
interpolated MS, P_b the PAN with the mean and deviation of band b, L_b the low-pass of band b (its MTF and decimation):

    target  M_b - L(M_b),    low-resolution atom  L_b(P_b) - L(L_b(P_b)),    high-resolution atom  P_b - L_b(P_b)

Sizes are those of the toolbox of Vivone et al. (2015): 7 x 7 MS pixels every 3, ten atoms, the patch's own PAN first.
Where we differ from it, and why:

- The dictionary is a fixed random sample of at most 1000 valid patches of the scene, not all of them: the cost would
  grow with the square of the scene. The patch's own atom, always the first, does most of the work.
- Low-resolution patches are sampled from the views every `round(ratio)` PAN pixels, on a grid anchored to the scene, not
  on the MS grid itself: ratios need not be integers, bands may be shifted against each other, and tiles must agree.
- L is a Gaussian of nominal gain 0.3 at the MS Nyquist frequency for all bands (L_b is the views' own). It acts alike on
  target and atoms, so an error in it cancels; the toolbox's bicubic step, which moves its low-pass by half a PAN pixel,
  is not there.
- Atoms are compared after division by their norm, as matching pursuit has it; the toolbox favours large ones.
- An atom counts in a band only where more than 10 % of it is new there (its sine with the span of those before it). The
  toolbox asks det(D'D) > 0.1 instead, and drops all atoms otherwise: a threshold that depends on the unit of DN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import fold

from clippan_models.ops.moments import Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from clippan_models.contracts import Views, Window

_PATCH = 7  # low-resolution samples across a patch
_STEP = 3  # samples from one patch to the next
_ATOMS = 10  # atoms a patch is made of
_RESERVOIR = 1000  # patches of the scene offered as atoms
_CANDIDATES = 1250  # the same, before those that hold an invalid pixel are dropped
_GAIN = 0.3  # nominal gain of L at the MS Nyquist frequency
_LARGEST_SPACING = 8  # PAN pixels per sample; bounds the halo for ratios that are not known yet
_NEW_SHARE = 0.1  # sine of the angle below which an atom repeats those before it
_BLOCK = 8  # patches across the blocks that are solved at once


@dataclass(frozen=True)
class PatchGrid:
    """Where patches lie: patch (i, j) starts at PAN pixel (`step_px` i, `step_px` j) of the scene, i and j any integer.

    Attributes:
        spacing: PAN pixels between low-resolution samples; sample k is PAN pixel `spacing k + spacing // 2`.
    """

    spacing: int

    @classmethod
    def for_ratio(cls, ratio: float) -> PatchGrid:
        """The grid whose samples lie about as dense as those of the MS, at least 2 and at most 8 PAN pixels apart."""
        return cls(min(max(round(ratio), 2), _LARGEST_SPACING))

    @property
    def patch_px(self) -> int:
        """PAN pixels across a patch."""
        return _PATCH * self.spacing

    @property
    def step_px(self) -> int:
        """PAN pixels from one patch to the next."""
        return _STEP * self.spacing

    @property
    def reach(self) -> int:
        """PAN pixels around a patch that its low-resolution details depend on: the radius of L."""
        return math.ceil(3 * self._sigma)

    @property
    def _sigma(self) -> float:
        # A Gaussian of deviation s has gain exp(-2 (pi s f)^2), and the MS Nyquist frequency is f = 1 / (2 spacing).
        return self.spacing * math.sqrt(-2 * math.log(_GAIN)) / math.pi

    def kernel(self) -> list[float]:
        """The taps of L along one axis, of sum 1, from `-reach` to `reach`."""
        taps = [math.exp(-0.5 * (t / self._sigma) ** 2) for t in range(-self.reach, self.reach + 1)]
        return [tap / sum(taps) for tap in taps]

    def samples(self, first: int, count: int) -> Tensor:
        """PAN indices of the samples `first .. first + count` of one axis of the scene."""
        return torch.arange(first, first + count) * self.spacing + self.spacing // 2

    def low_details(self, image: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """`image - L(image)` at the given rows and columns of `[C, H, W]`; beyond its edge the image is continued."""
        blurred = _blur(_blur(image, rows, 1, self.kernel()), cols, 2, self.kernel())
        return _take(_take(image, rows, 1), cols, 2).sub_(blurred)


def _take(image: Tensor, indices: Tensor, dim: int) -> Tensor:
    return image.index_select(dim, indices.clamp(0, image.shape[dim] - 1).to(image.device))


def _blur(image: Tensor, indices: Tensor, dim: int, taps: list[float]) -> Tensor:
    """Low-pass along one axis, only at the indices asked for; tap by tap, so that no pixel depends on the tile."""
    reach = len(taps) // 2
    blurred = _take(image, indices - reach, dim).mul_(taps[0])
    for shift, tap in enumerate(taps[1:], start=1 - reach):
        blurred.add_(_take(image, indices + shift, dim).mul_(tap))
    return blurred


class SrDFitter:
    """Gathers the deviations of PAN and bands, and the sample of patches that becomes the dictionary."""

    def __init__(self) -> None:
        self._moments = Moments()
        self._grid = PatchGrid(_LARGEST_SPACING)
        self._candidates: dict[int, _Candidate] = {}

    @property
    def halo(self) -> int:
        """Half a patch and the reach of the low-pass, at the largest spacing: the ratio is not known beforehand."""
        grid = PatchGrid(_LARGEST_SPACING)
        return grid.patch_px // 2 + grid.reach

    def update(self, views: Views) -> None:
        """Take one tile into account."""
        self._grid = PatchGrid.for_ratio(views.sampling.ratio)
        self._moments.update((views.ms_up, views.pan), views.core)
        self._gather_candidates(views)

    def finish(self) -> SrDSharpener:
        """The fitted method; InputError when no pixel of the scene is valid."""
        moments = self._moments.nonempty()
        deviation = torch.where(moments.flat, 0.0, moments.cov.diagonal().sqrt())
        matching = deviation[:-1] / deviation[-1] if deviation[-1] > 0 else torch.zeros_like(deviation[:-1])
        return SrDSharpener(self._grid, tuple(matching.tolist()), *self._dictionary(matching))

    def _dictionary(self, matching: Tensor) -> tuple[Tensor, Tensor]:
        best = [candidate for _, candidate in sorted(self._candidates.items()) if candidate.complete(self._grid)]
        bands, patch = len(matching), self._grid.patch_px
        low, high = torch.zeros(0, bands, _PATCH, _PATCH), torch.zeros(0, bands, patch, patch)
        if best:
            low = torch.stack([candidate.low for candidate in best[:_RESERVOIR]])
            high = torch.stack([candidate.high for candidate in best[:_RESERVOIR]])
        scale = matching.to(low)[:, None, None]
        return (low * scale).flatten(2), (high * scale).flatten(2)

    def _gather_candidates(self, views: Views) -> None:
        """Keep the patches of smallest hash of all that any tile so far has touched, with their valid pixels counted.

        A tile knows which of its pixels are valid only in its core, so a patch is judged when all tiles were seen. The
        smallest hashes of the whole scene are the smallest of each tile that touches them, whence the result does not
        depend on the tiling.
        """
        rows, row_counts = _footprints(self._grid, views.pan_window.row, views.pan_window.height)
        cols, col_counts = _footprints(self._grid, views.pan_window.col, views.pan_window.width)
        valid = _sum_rectangles(views.core, row_counts, col_counts)
        hashes = _hash(rows, cols)
        touched = np.argwhere(valid > 0)
        order = np.argsort(hashes[tuple(touched.T)])[:_CANDIDATES]
        for i, j in touched[order]:
            candidate = self._candidates.setdefault(int(hashes[i, j]), _Candidate())
            candidate.valid += int(valid[i, j])
            candidate.take(views, self._grid, int(rows[i]), int(cols[j]))
        for surplus in sorted(self._candidates)[_CANDIDATES:]:
            del self._candidates[surplus]


@dataclass
class _Candidate:
    """A patch that may become an atom."""

    valid: int = 0  # valid pixels of the patch and the reach of the low-pass around it
    low: Tensor = field(default_factory=lambda: torch.zeros(0))
    high: Tensor = field(default_factory=lambda: torch.zeros(0))

    def complete(self, grid: PatchGrid) -> bool:
        """Whether all pixels are known to be valid and the patch itself was seen."""
        return self.valid == (grid.patch_px + 2 * grid.reach) ** 2 and self.low.numel() > 0

    def take(self, views: Views, grid: PatchGrid, i: int, j: int) -> None:
        """Take patch (i, j) out of the tile if its centre is in the core, where the halo reaches all of it."""
        size, window = grid.patch_px, views.pan_window
        row, col = i * grid.step_px - window.row, j * grid.step_px - window.col
        top, left, around = row - grid.reach, col - grid.reach, size + 2 * grid.reach
        if top < 0 or left < 0 or top + around > window.height or left + around > window.width:
            return
        if views.core[row + size // 2, col + size // 2]:
            low = views.pan_low[:, top : top + around, left : left + around]
            samples = grid.samples(0, _PATCH) + grid.reach
            self.low = grid.low_details(low, samples, samples).cpu()
            pan = views.pan[:, row : row + size, col : col + size]
            self.high = (pan - views.pan_low[:, row : row + size, col : col + size]).cpu()


def _footprints(grid: PatchGrid, start: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the patches near `start .. start + length`, and the part `[n, 2]` of it that each depends on."""
    first = (start - grid.patch_px - grid.reach) // grid.step_px
    last = (start + length + grid.reach) // grid.step_px
    indices = np.arange(first, last + 1)
    begin = indices * grid.step_px - grid.reach - start
    ends = np.stack([begin, begin + grid.patch_px + 2 * grid.reach], axis=1)
    return indices, np.clip(ends, 0, length)


def _sum_rectangles(mask: Tensor, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of True in `mask[rows[i, 0] : rows[i, 1], cols[j, 0] : cols[j, 1]]` for all i and j."""
    total = torch.zeros(mask.shape[0] + 1, mask.shape[1] + 1, dtype=torch.int32)
    total[1:, 1:] = mask.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
    corners = total.numpy()
    top, bottom, left, right = rows[:, 0], rows[:, 1], cols[:, 0], cols[:, 1]
    upper = corners[np.ix_(top, right)] - corners[np.ix_(top, left)]
    lower = corners[np.ix_(bottom, right)] - corners[np.ix_(bottom, left)]
    return (lower - upper).astype(np.int64)


def _hash(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for each patch (i, j), as good as random and never twice (the finaliser of SplitMix64 is one to one)."""
    low_word = np.uint64(0xFFFFFFFF)
    mixed = (rows.astype(np.uint64)[:, None] << np.uint64(32)) | (cols.astype(np.uint64)[None, :] & low_word)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@dataclass(frozen=True, eq=False)
class SrDSharpener:
    """SR-D with the scene's dictionary.

    Attributes:
        grid: where patches and samples lie.
        matching: std M_b / std P of each band; 0 where the band or PAN is constant, nothing is added there.
        low_atoms: `[A, C, 49]`, low-resolution PAN details, matched.
        high_atoms: `[A, C, patch_px ** 2]`, the same patches at the PAN scale.
    """

    grid: PatchGrid
    matching: tuple[float, ...]
    low_atoms: Tensor
    high_atoms: Tensor

    @property
    def halo(self) -> int:
        """All the patches that hold a pixel, and the reach of the low-pass around them."""
        return self.grid.patch_px - 1 + self.grid.reach

    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN; at the edge of the tile the image is continued beyond it."""
        if not any(self.matching):
            return views.ms_up.clone()
        rows = _Blocks.over(self.grid, views.pan_window.row, views.pan_window.height)
        cols = _Blocks.over(self.grid, views.pan_window.col, views.pan_window.width)
        detail = self._details(views, rows, cols)[:, rows.inside(), cols.inside()]
        detail.div_(rows.overlaps(views.pan.device)[:, None] * cols.overlaps(views.pan.device))
        return detail.add_(views.ms_up)

    def _details(self, views: Views, rows: _Blocks, cols: _Blocks) -> Tensor:
        """Sum of all patches over the blocks. Blocks are anchored to the scene, so every tile adds in the same order
        and multiplies matrices of the same shape: results agree to the last bit.
        """  # fmt: skip
        matching = views.pan.new_tensor(self.matching)[:, None, None]
        targets = self.grid.low_details(views.ms_up, rows.samples(), cols.samples())
        lows = self.grid.low_details(views.pan_low, rows.samples(), cols.samples()).mul_(matching)
        total = views.pan.new_zeros(len(targets), rows.extent, cols.extent)
        pursuit = _Pursuit.over(self.low_atoms.to(views.pan), self.high_atoms.to(views.pan))
        for row in range(rows.count):
            for col in range(cols.count):
                pixel_rows, pixel_cols = rows.pixels(row), cols.pixels(col)
                low = _take(_take(views.pan_low, pixel_rows, 1), pixel_cols, 2)
                high = (_take(_take(views.pan, pixel_rows, 1), pixel_cols, 2) - low).mul_(matching)
                at = (slice(None), rows.sample_slice(row), cols.sample_slice(col))
                patches = pursuit.rebuild(
                    _cut(targets[at], _PATCH, _STEP),
                    _cut(lows[at], _PATCH, _STEP),
                    _cut(high, self.grid.patch_px, self.grid.step_px),
                )
                total[:, rows.pixel_slice(row), cols.pixel_slice(col)] += _paste(patches, self.grid)
        return total


@dataclass(frozen=True)
class _Blocks:
    """Blocks of 8 patches along one axis, anchored to the scene, that cover one axis of a tile."""

    grid: PatchGrid
    start: int
    length: int
    first: int
    count: int

    @classmethod
    def over(cls, grid: PatchGrid, start: int, length: int) -> _Blocks:
        first_patch = -((grid.patch_px - 1 - start) // grid.step_px)
        last_patch = (start + length - 1) // grid.step_px
        first = first_patch // _BLOCK
        return cls(grid, start, length, first, last_patch // _BLOCK - first + 1)

    @property
    def extent(self) -> int:
        """PAN pixels from the first to the last of all blocks."""
        return ((self.count * _BLOCK - 1) * _STEP + _PATCH) * self.grid.spacing

    @property
    def _origin(self) -> int:
        return self.first * _BLOCK * self.grid.step_px - self.start

    def samples(self) -> Tensor:
        """Tile indices of the low-resolution samples of all blocks."""
        count = (self.count * _BLOCK - 1) * _STEP + _PATCH
        return self.grid.samples(self.first * _BLOCK * _STEP, count) - self.start

    def sample_slice(self, block: int) -> slice:
        """Those of one block, within all."""
        begin = block * _BLOCK * _STEP
        return slice(begin, begin + (_BLOCK - 1) * _STEP + _PATCH)

    def pixel_slice(self, block: int) -> slice:
        """PAN pixels of one block, within all."""
        samples = self.sample_slice(block)
        return slice(samples.start * self.grid.spacing, samples.stop * self.grid.spacing)

    def pixels(self, block: int) -> Tensor:
        """Tile indices of the PAN pixels of one block."""
        pixels = self.pixel_slice(block)
        return torch.arange(pixels.start, pixels.stop) + self._origin

    def inside(self) -> slice:
        """The tile within all blocks."""
        return slice(-self._origin, -self._origin + self.length)

    def overlaps(self, device: torch.device) -> Tensor:
        """How many patches hold each PAN pixel of the tile, along this axis."""
        pixel = torch.arange(self.start, self.start + self.length, device=device)
        before = torch.div(pixel - self.grid.patch_px, self.grid.step_px, rounding_mode="floor")
        return torch.div(pixel, self.grid.step_px, rounding_mode="floor") - before


def _cut(block: Tensor, size: int, step: int) -> Tensor:
    """The overlapping patches of `[C, H, W]`, row by row: `[64, C, size ** 2]`."""
    patches = block.unfold(1, size, step).unfold(2, size, step)
    return patches.permute(1, 2, 0, 3, 4).reshape(_BLOCK * _BLOCK, len(block), size * size)


def _paste(patches: Tensor, grid: PatchGrid) -> Tensor:
    """The block in which the patches `[64, C, size ** 2]` are added up, `[C, H, W]`."""
    side = (_BLOCK - 1) * grid.step_px + grid.patch_px
    columns = patches.permute(1, 2, 0).reshape(-1, _BLOCK * _BLOCK)
    return fold(columns, (side, side), kernel_size=grid.patch_px, stride=grid.step_px)


@dataclass(frozen=True)
class _Pursuit:
    """Orthogonal matching pursuit in a dictionary of low- and high-resolution atoms.

    Attributes:
        low: `[A, C, 49]`.
        high: `[A, C, patch_px ** 2]`.
        directions: the low-resolution atoms, all bands in one vector of norm 1, `[C 49, A]`.
    """

    low: Tensor
    high: Tensor
    directions: Tensor

    @classmethod
    def over(cls, low: Tensor, high: Tensor) -> _Pursuit:
        vectors = low.flatten(1)
        norms = vectors.norm(dim=1, keepdim=True)
        directions = torch.where(norms > 0, vectors / norms, 0.0)
        return cls(low, high, directions.T.contiguous())

    def rebuild(self, target: Tensor, own_low: Tensor, own_high: Tensor) -> Tensor:
        """High-resolution patches whose low-resolution atoms come closest to `target`, `[P, C, patch_px ** 2]`."""
        residual, fitted = target.clone(), _LeastSquares(target)
        fitted.add(own_low, residual)
        chosen = []
        for _ in range(_ATOMS - 1 if len(self.low) else 0):
            chosen.append((residual.flatten(1) @ self.directions).abs_().argmax(dim=1))
            fitted.add(self.low[chosen[-1]], residual)
        coefficients = fitted.solve()
        rebuilt = own_high * coefficients[0][..., None]
        for index, coefficient in zip(chosen, coefficients[1:], strict=True):
            rebuilt.add_(self.high[index].mul_(coefficient[..., None]))
        return rebuilt


class _LeastSquares:
    """Least squares of each band of each patch on atoms that come one by one (modified Gram-Schmidt)."""

    def __init__(self, target: Tensor) -> None:
        self._basis: list[Tensor] = []  # orthonormal, or zero where an atom brought nothing new
        self._upper: list[list[Tensor]] = []  # column j: atom j in terms of the basis 0 .. j
        self._projections: list[Tensor] = []  # of the target on the basis

    def add(self, atom: Tensor, residual: Tensor) -> None:
        """Add an atom `[P, C, n]` and take what it explains from the residual."""
        rest, column = atom.clone(), []
        for direction in self._basis:
            column.append((direction * rest).sum(dim=-1))
            rest.sub_(direction * column[-1][..., None])
        norm = rest.norm(dim=-1)
        is_new = norm > _NEW_SHARE * atom.norm(dim=-1)
        norm = torch.where(is_new, norm, 1.0)
        direction = (rest / norm[..., None]).mul_(is_new[..., None])
        projection = (direction * residual).sum(dim=-1)
        residual.sub_(direction * projection[..., None])
        self._basis.append(direction)
        self._upper.append([*column, norm])
        self._projections.append(projection)

    def solve(self) -> list[Tensor]:
        """The coefficient of every atom, each `[P, C]`; 0 where it brought nothing new."""
        coefficients = [p.clone() for p in self._projections]
        for j in reversed(range(len(coefficients))):
            coefficients[j].div_(self._upper[j][j])
            for i in range(j):
                coefficients[i].sub_(self._upper[j][i] * coefficients[j])
        return coefficients
