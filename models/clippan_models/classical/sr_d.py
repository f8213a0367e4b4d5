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
  grow with the square of the scene. The patch's own atom, always the first, does most of the work. The others are
  chosen where several fit nearly as well: the least change of an atom changes single pixels wherever it was chosen.
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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clippan_models.classical.patches import LARGEST_SPACING, PATCH, STEP, PatchBlocks, PatchGrid, cut, paste, take
from clippan_models.classical.pursuit import Pursuit
from clippan_models.contracts import Views
from clippan_models.ops.moments import Moments

_ATOMS = 10  # default number of atoms of a patch
_RESERVOIR = 1000  # patches of the scene offered as atoms
_VALID = 0.99  # share of what a patch depends on: one wild pixel, without detail there, must not take 30 atoms away


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
        self._grid = PatchGrid(LARGEST_SPACING)
        self._sample: dict[int, tuple[Tensor, Tensor]] = {}  # by hash of the patch

    @property
    def halo(self) -> int:
        """Half of what a patch depends on, at the largest spacing: the ratio is not known beforehand."""
        return PatchGrid(LARGEST_SPACING).footprint_px // 2

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
        # A patch belongs to the tile that has its centre in the core; what it depends on must be valid.
        centre = grid.patch_px // 2
        usable = views.core.cpu().numpy()[np.ix_(row + centre, col + centre)]
        usable &= _mostly_valid(views.valid.all(dim=0), row - grid.reach, col - grid.reach, grid.footprint_px)
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
            return torch.zeros(0, bands, PATCH**2), torch.zeros(0, bands, self._grid.patch_px**2)
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
    top, left, samples = row - grid.reach, col - grid.reach, grid.samples(0, PATCH) + grid.reach
    around = views.pan_low[:, top : top + grid.footprint_px, left : left + grid.footprint_px]
    patch = (slice(None), slice(row, row + grid.patch_px), slice(col, col + grid.patch_px))
    high = torch.where(views.valid[patch].all(0), views.pan[patch] - views.pan_low[patch], 0.0)
    return grid.low_details(around, samples, samples).cpu(), high.cpu()


def _mostly_valid(valid: Tensor, rows: NDArray[np.int64], cols: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Whether nearly all of `valid[row : row + size, col : col + size]` is True, for all rows and columns given."""
    total = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), dtype=np.int32)
    total[1:, 1:] = valid.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32).cpu().numpy()
    above = total[np.ix_(rows, cols + size)] - total[np.ix_(rows, cols)]
    below = total[np.ix_(rows + size, cols + size)] - total[np.ix_(rows + size, cols)]
    mostly: NDArray[np.bool_] = below - above >= _VALID * size**2
    return mostly


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
        rows = PatchBlocks.over(self.grid, views.pan_window.row, views.pan_window.height)
        cols = PatchBlocks.over(self.grid, views.pan_window.col, views.pan_window.width)
        detail = self._details(views, rows, cols)[:, rows.inside(), cols.inside()]
        detail.div_(rows.overlaps(views.pan.device)[:, None] * cols.overlaps(views.pan.device))
        return detail.add_(views.ms_up)

    def _details(self, views: Views, rows: PatchBlocks, cols: PatchBlocks) -> Tensor:
        """Sum of all patches over the blocks, `[C, rows.extent, cols.extent]`.

        Blocks are anchored to the scene: every tile adds the patches of a pixel in the same order and multiplies
        matrices of the same shape, so results agree to the last bit.
        """
        matching = views.pan.new_tensor(self.matching)[:, None, None]
        targets = self.grid.low_details(views.ms_up, rows.samples(), cols.samples())
        lows = self.grid.low_details(views.pan_low, rows.samples(), cols.samples()).mul_(matching)
        total = views.pan.new_zeros(len(targets), rows.extent, cols.extent)
        pursuit = Pursuit.over(self.low_atoms.to(views.pan), self.high_atoms.to(views.pan), self.atoms)
        for row in range(rows.count):
            for col in range(cols.count):
                pixel_rows, pixel_cols = rows.pixels(row), cols.pixels(col)
                low = take(take(views.pan_low, pixel_rows, 1), pixel_cols, 2)
                high = (take(take(views.pan, pixel_rows, 1), pixel_cols, 2) - low).mul_(matching)
                at = (slice(None), rows.sample_slice(row), cols.sample_slice(col))
                patches = pursuit.rebuild(
                    cut(targets[at], PATCH, STEP),
                    cut(lows[at], PATCH, STEP),
                    cut(high, self.grid.patch_px, self.grid.step_px),
                )
                total[:, rows.pixel_slice(row), cols.pixel_slice(col)] += paste(patches, self.grid)
        return total
