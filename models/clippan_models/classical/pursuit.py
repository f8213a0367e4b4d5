"""Orthogonal matching pursuit of many patches at once (SR-D)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_NEW_SHARE = 0.1  # sine of the angle below which an atom repeats those before it


@dataclass(frozen=True)
class Pursuit:
    """A dictionary of low- and high-resolution atoms.

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
    def over(cls, low: Tensor, high: Tensor, atoms: int) -> Pursuit:
        """Pursuit with these atoms, of which each patch is made of so many."""
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
