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
- Low-resolution patches are sampled from the views every `round(ratio)` PAN pixels, on a grid anchored to the scene,
  not on the MS grid itself: ratios need not be integers, bands may be shifted against each other, tiles must agree.
- L is a Gaussian of nominal gain 0.3 at the MS Nyquist frequency for all bands (L_b is the views' own). It acts alike
  on target and atoms, so an error in it cancels; the toolbox's bicubic step, which moves its low-pass by half a PAN
  pixel, is not there.
- Atoms are compared after division by their norm, as matching pursuit has it; the toolbox favours large ones.
- An atom counts in a band only where more than 10 % of it is new there (its sine with the span of those before it). The
  toolbox asks det(D'D) > 0.1 instead, and drops all atoms otherwise: a threshold that depends on the unit of DN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import fold

from clippan_models.ops.moments import Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from clippan_models.contracts import Views

_PATCH = 7  # low-resolution samples across a patch
_STEP = 3  # samples from one patch to the next
_ATOMS = 10  # atoms a patch is made of, unless told
_RESERVOIR = 1000  # patches of the scene offered as atoms
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
    def footprint_px(self) -> int:
        """PAN pixels across all that a patch depends on."""
        return self.patch_px + 2 * self.reach

    @property
    def halo(self) -> int:
        """PAN pixels around a pixel that it depends on: all patches that hold it, and the reach of L around them."""
        return self.patch_px - 1 + self.reach

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
    """Gathers the deviations of PAN and bands, and the sample of patches that becomes the dictionary.

    Memory is bounded by the sample (25 MB for 8 bands at ratio 4), whatever the size of the scene.

    Args:
        atoms: atoms a patch is made of, its own PAN included. The default is the toolbox's; fewer are quicker, and do
            less harm where MS and PAN are misaligned.
    """

    def __init__(self, atoms: int = _ATOMS) -> None:
        self._atoms = atoms
        self._moments = Moments()
        self._grid = PatchGrid(_LARGEST_SPACING)
        self._sample: dict[int, tuple[Tensor, Tensor]] = {}  # by hash of the patch

    @property
    def halo(self) -> int:
        """Half of what a patch depends on, at the largest spacing: the ratio is not known beforehand."""
        return PatchGrid(_LARGEST_SPACING).footprint_px // 2

    def update(self, views: Views) -> None:
        """Take one tile into account."""
        self._grid = PatchGrid.for_ratio(views.sampling.ratio)
        self._moments.update((views.ms_up, views.pan), views.core)
        self._gather_patches(views)

    def finish(self) -> SrDSharpener:
        """The fitted method; InputError when no pixel of the scene is valid."""
        moments = self._moments.nonempty()
        deviation = torch.where(moments.flat, 0.0, moments.cov.diagonal().sqrt())
        matching = deviation[:-1] / deviation[-1] if deviation[-1] > 0 else torch.zeros_like(deviation[:-1])
        low, high = self._dictionary(matching)
        return SrDSharpener(self._grid, tuple(matching.tolist()), self._atoms, low, high)

    def _gather_patches(self, views: Views) -> None:
        """Keep the patches of smallest hash of all seen so far: a random sample that does not depend on the tiling."""
        grid, window = self._grid, views.pan_window
        rows, cols = _patches_inside(grid, window.row, window.height), _patches_inside(grid, window.col, window.width)
        if not (len(rows) and len(cols)):
            return
        row, col = rows * grid.step_px - window.row, cols * grid.step_px - window.col
        hashes = _hash(rows, cols)
        # A patch belongs to the tile that has its centre in the core; all it depends on must be valid.
        centre = grid.patch_px // 2
        usable = views.core.cpu().numpy()[np.ix_(row + centre, col + centre)]
        usable &= _all_valid(views.valid.all(dim=0), row - grid.reach, col - grid.reach, grid.footprint_px)
        if len(self._sample) == _RESERVOIR:
            usable &= hashes < np.uint64(max(self._sample))
        found = np.argwhere(usable)
        for i, j in found[np.argsort(hashes[usable])[:_RESERVOIR]]:
            self._sample[int(hashes[i, j])] = _patch_details(views, grid, int(row[i]), int(col[j]))
        for surplus in sorted(self._sample)[_RESERVOIR:]:
            del self._sample[surplus]

    def _dictionary(self, matching: Tensor) -> tuple[Tensor, Tensor]:
        found = [atom for _, atom in sorted(self._sample.items())]
        if not found:
            bands = len(matching)
            return torch.zeros(0, bands, _PATCH**2), torch.zeros(0, bands, self._grid.patch_px**2)
        low, high = (torch.stack(details).flatten(2) for details in zip(*found, strict=True))
        scale = matching.to(low)[:, None]
        return low * scale, high * scale


def _patches_inside(grid: PatchGrid, start: int, length: int) -> NDArray[np.int64]:
    """Indices of the patches that lie, with what they depend on, in `start .. start + length` of one axis."""
    first = math.ceil((start + grid.reach) / grid.step_px)
    last = (start + length - grid.patch_px - grid.reach) // grid.step_px
    return np.arange(first, last + 1)


def _patch_details(views: Views, grid: PatchGrid, row: int, col: int) -> tuple[Tensor, Tensor]:
    """Low- and high-resolution PAN details of the patch at a pixel of the tile, `[C, 7, 7]` and `[C, p, p]`."""
    top, left, samples = row - grid.reach, col - grid.reach, grid.samples(0, _PATCH) + grid.reach
    around = views.pan_low[:, top : top + grid.footprint_px, left : left + grid.footprint_px]
    patch = (slice(None), slice(row, row + grid.patch_px), slice(col, col + grid.patch_px))
    return grid.low_details(around, samples, samples).cpu(), (views.pan[patch] - views.pan_low[patch]).cpu()


def _all_valid(valid: Tensor, rows: NDArray[np.int64], cols: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Whether all of `valid[row : row + size, col : col + size]` is True, for all rows and columns given."""
    total = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), dtype=np.int32)
    total[1:, 1:] = valid.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32).cpu().numpy()
    above = total[np.ix_(rows, cols + size)] - total[np.ix_(rows, cols)]
    below = total[np.ix_(rows + size, cols + size)] - total[np.ix_(rows + size, cols)]
    full: NDArray[np.bool_] = below - above == size**2
    return full


def _hash(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for each patch (i, j), as good as random and never twice (the finaliser of SplitMix64 is one to one)."""
    low_word = np.uint64(0xFFFFFFFF)
    mixed = (rows.astype(np.uint64)[:, None] << np.uint64(32)) | (cols.astype(np.uint64)[None, :] & low_word)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result


@dataclass(frozen=True, eq=False)
class SrDSharpener:
    """SR-D with the scene's dictionary.

    Attributes:
        grid: where patches and samples lie.
        matching: std M_b / std P of each band; 0 where the band or PAN is constant, nothing is added there.
        atoms: atoms a patch is made of, its own included.
        low_atoms: `[A, C, 49]`, low-resolution PAN details, matched.
        high_atoms: `[A, C, patch_px ** 2]`, the same patches at the PAN scale.
    """

    grid: PatchGrid
    matching: tuple[float, ...]
    atoms: int
    low_atoms: Tensor
    high_atoms: Tensor

    @property
    def halo(self) -> int:
        """See `PatchGrid.halo`."""
        return self.grid.halo

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
        """Sum of all patches over the blocks, `[C, rows.extent, cols.extent]`.

        Blocks are anchored to the scene: every tile adds the patches of a pixel in the same order and multiplies
        matrices of the same shape, so results agree to the last bit.
        """
        matching = views.pan.new_tensor(self.matching)[:, None, None]
        targets = self.grid.low_details(views.ms_up, rows.samples(), cols.samples())
        lows = self.grid.low_details(views.pan_low, rows.samples(), cols.samples()).mul_(matching)
        total = views.pan.new_zeros(len(targets), rows.extent, cols.extent)
        pursuit = _Pursuit.over(self.low_atoms.to(views.pan), self.high_atoms.to(views.pan), self.atoms)
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
        atoms: atoms a patch is made of, its own included.
    """

    low: Tensor
    high: Tensor
    directions: Tensor
    atoms: int

    @classmethod
    def over(cls, low: Tensor, high: Tensor, atoms: int) -> _Pursuit:
        vectors = low.flatten(1)
        norms = vectors.norm(dim=1, keepdim=True)
        directions = torch.where(norms > 0, vectors / norms, 0.0)
        return cls(low, high, directions.T.contiguous(), atoms)

    def rebuild(self, target: Tensor, own_low: Tensor, own_high: Tensor) -> Tensor:
        """High-resolution patches whose low-resolution atoms come closest to `target`, `[P, C, patch_px ** 2]`."""
        residual, fitted = target.clone(), _LeastSquares(target)
        fitted.add(own_low, residual)
        chosen = []
        for _ in range(self.atoms - 1 if len(self.low) else 0):
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
