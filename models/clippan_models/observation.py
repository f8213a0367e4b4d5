"""How the two images of a scene were made: blur, per-band shift and spectral response, estimated from the pair itself.

For a candidate blur and shift, PAN is brought to the MS grid and regressed on the MS bands; where the candidate is
right, the bands explain nearly all of it (R2 of .99 and more on real scenes). The shift of each band follows from its
own local correlation with PAN; where the bands lie apart, all are then moved together to where they explain PAN best.
Where there is nothing to correlate the answer is the nominal model and a shift of zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from clippan_models.contracts import MIN_PAN_R2, Observation, Sampling, Tile
from clippan_models.ops.descent import Look, descend
from clippan_models.ops.regression import highpass, regress, unexplained_by, unexplained_in_windows
from clippan_models.ops.views import bands_at_reference, project_to_ms

MAX_SHIFT_MS = 1.0
"""Shifts beyond this many MS pixels are not looked for here: `ops.displacement` finds the whole pixels of those."""

MIN_LOCAL_R2 = 0.2
"""Mean local squared correlation below which a band says nothing about its position (independent noise gives .05)."""

BANDS_DIFFER = 0.9
"""The bands get shifts of their own where that cuts what PAN leaves unexplained of some band below this share of what
the common shift leaves; otherwise they share the common one, which is far better determined."""

GAIN_RANGE = (0.05, 0.85)
"""Blur gains at MS Nyquist that a real product can have."""

_LITTLE = 0.05  # what slopes are measured by
_NO_GAIN = 10.0  # logit: no blur has such a gain, towards which the search drifts where nothing matches
_AT_LIMIT = 0.02  # PAN pixels: a shift this close to the limit is one that ran into it

_CLOSE = 0.05  # PAN pixels: what the shift left in a tile need not be known more exactly than
_FEWEST_TILES = 5  # with one left out, as many as tell a plane from noise

_REFINEMENTS = 12  # Gauss-Newton steps
_HOLD = 0.15  # how hard a band is held to the position it found alone, against what all bands leave unexplained of PAN


@dataclass(frozen=True)
class Registration:
    """What `estimate_observation` found about the position of the bands.

    Attributes:
        shift_y: PAN pixels by which each band lies further down than its georeferencing says.
        shift_x: the same to the right.
        correlation: local squared correlation of each band with PAN at that shift, 0 .. 1.
        shift_at_limit: the shift of each band is the largest that is believed, so the true one may be larger.
        gain_at_limit: the gain of each band is an end of `GAIN_RANGE`, so the true one may lie beyond.
        blur_estimated: the gains come from the pair (True) or from the sensor's nominal MTF (False).
    """

    shift_y: tuple[float, ...]
    shift_x: tuple[float, ...]
    correlation: tuple[float, ...]
    shift_at_limit: tuple[bool, ...]
    gain_at_limit: tuple[bool, ...]
    blur_estimated: bool

    @property
    def shifts(self) -> tuple[tuple[float, float], ...]:
        """PAN pixels (down, right) by which each band is off."""
        return tuple(zip(self.shift_y, self.shift_x, strict=True))

    def moved(self, down: float, right: float) -> Registration:
        """The same bands, told from a place so many PAN pixels further up and to the left."""
        return replace(
            self, shift_y=tuple(y + down for y in self.shift_y), shift_x=tuple(x + right for x in self.shift_x)
        )

    @property
    def largest(self) -> float:
        """The length of the largest shift, PAN pixels."""
        return max(math.hypot(*shift) for shift in self.shifts)


def estimate_observation(
    tiles: Sequence[Tile], nominal: Observation, *, coregister: bool = True
) -> tuple[Observation, Registration]:
    """Estimate the observation model of a scene from a few of its tiles.

    Args:
        tiles: pieces of the scene (tens of thousands of MS pixels in all are plenty); only valid pixels are used.
        nominal: what georeferencing and sensor say.
        coregister: estimate the shifts; otherwise they stay zero.

    Returns:
        The model, and how its shifts were found.
    """
    bands = nominal.sampling.bands
    common = _fit_common(tiles, nominal, coregister=coregister)
    shifts, correlation = [(0.0, 0.0)] * bands, [0.0] * bands
    if coregister:
        found = _fit_bands(tiles, nominal, common)
        shifts, correlation = _common_or_own(found, common[1:])
        if len(set(shifts)) > 1:
            shifts = _refine(tiles, nominal, found, shifts, common)
    sampling = nominal.sampling.shifted([s[0] for s in shifts], [s[1] for s in shifts])
    observation = _fit_response(tiles, replace(nominal, sampling=sampling), common[0])
    limit = MAX_SHIFT_MS * nominal.sampling.ratio - _AT_LIMIT
    blur_estimated = observation.ms_gain != nominal.ms_gain
    registration = Registration(
        shift_y=tuple(s[0] for s in shifts),
        shift_x=tuple(s[1] for s in shifts),
        correlation=tuple(correlation),
        shift_at_limit=tuple(max(abs(y), abs(x)) > limit for y, x in shifts),
        gain_at_limit=tuple(
            blur_estimated and any(math.isclose(gain, end, rel_tol=1e-6) for end in GAIN_RANGE)
            for gain in observation.ms_gain
        ),
        blur_estimated=blur_estimated,
    )
    return observation, registration


def shift_drift(tiles: Sequence[Tile], model: Observation) -> float:
    """How much the shift of MS varies over a scene: what rotation or scale leaves, whatever the shift of the bands.

    A plane is fitted to what is left of the shift in each tile. Terrain, or a cloud that moves, can displace a single
    tile: so each in turn is left out, and the least is told.

    Args:
        tiles: from all over the scene; those in which PAN does not follow from the bands do not count.
        model: of the scene.

    Returns:
        The largest distance between the shifts of two tiles on that plane, PAN pixels; 0 where fewer than five tell.
    """
    found = [(_centre(tile), shift) for tile in tiles if (shift := _shift_left(tile, model)) is not None]
    if len(found) < _FEWEST_TILES:
        return 0.0
    places, shifts = (np.array(each) for each in zip(*found, strict=True))
    design = np.column_stack([places - places.mean(0), np.ones(len(places))])
    spans: list[float] = []
    for kept in ~np.eye(len(places), dtype=bool):
        plane = np.linalg.lstsq(design[kept], shifts[kept], rcond=None)[0]
        on_plane = design @ plane
        spans.append(float(np.linalg.norm(on_plane[:, None] - on_plane, axis=2).max()))
    return min(spans)


def _centre(tile: Tile) -> tuple[float, float]:
    return tile.core.row + tile.core.height / 2, tile.core.col + tile.core.width / 2


def _shift_left(tile: Tile, model: Observation) -> tuple[float, float] | None:
    """PAN pixels by which all bands of a tile lie further down and right than the model says; None: nothing tells."""
    reference, gain = model.sampling.select([0]), float(np.mean(model.ms_gain))

    def place(point: np.ndarray) -> tuple[Sampling, float]:
        return reference.shifted([float(point[0])], [float(point[1])]), gain

    look = _look_at_pan(place, [tile], [_bands_at(tile, model.sampling, reference)])
    shift, unexplained, _ = descend(look, (0.0, 0.0), MAX_SHIFT_MS * reference.ratio, close=_CLOSE)
    return (float(shift[0]), float(shift[1])) if 1 - unexplained >= MIN_PAN_R2 else None


def _pan_at(tile: Tile, sampling: Sampling, gain: float) -> tuple[Tensor, Tensor]:
    """PAN at the MS samples `[h, w]` for one candidate, and where its support is valid."""
    values, share = project_to_ms(tile.pan, tile.pan_valid, tile.pan_window, tile.ms_window, sampling, (gain,))
    return values[0].double(), share[0] > 0.95


def _look_at_pan(
    place: Callable[[np.ndarray], tuple[Sampling, float]], tiles: Sequence[Tile], bands: Sequence[tuple[Tensor, Tensor]]
) -> Callable[[np.ndarray], Look]:
    """How much of PAN, sampled and blurred as `place` says, the bands and a constant leave unexplained."""

    def look(point: np.ndarray) -> Look:
        found = [_pan_at(tile, *place(point)) for tile in tiles]
        use = [seen & valid for (_, seen), (_, valid) in zip(found, bands, strict=True)]
        target = torch.cat([values[u] for (values, _), u in zip(found, use, strict=True)])
        moved = [
            torch.cat([_pan_at(tile, *place(beside))[0][u] for tile, u in zip(tiles, use, strict=True)])
            for beside in point + _LITTLE * np.eye(len(point))
        ]
        design = torch.cat([values[:, u] for (values, _), u in zip(bands, use, strict=True)], 1)
        slopes = [(other - target) / _LITTLE for other in moved]
        return unexplained_by(torch.cat([design, torch.ones_like(design[:1])]), torch.stack([target, *slopes]))

    return look


def _fit_common(tiles: Sequence[Tile], nominal: Observation, *, coregister: bool) -> tuple[float, float, float]:
    """(gain, dy, dx) common to all bands with the largest R2 of PAN regressed on them."""
    pan_sampling = nominal.sampling.select([0])
    gain0 = float(np.mean(nominal.ms_gain))
    if not coregister:
        return gain0, 0.0, 0.0
    bands = [(s.ms.double(), s.ms_valid.all(0)) for s in tiles]

    def place(point: np.ndarray) -> tuple[Sampling, float]:
        gain = _sigmoid(np.clip(point[0], -_NO_GAIN, _NO_GAIN))
        return pan_sampling.shifted([float(point[1])], [float(point[2])]), gain

    # the best of a coarse grid is in the basin of the answer; one descent from there is enough
    guesses = [(_logit(gain0), dy, dx) for dy in (0.0, 1.5, -1.5) for dx in (0.0, 1.5, -1.5)]
    start = max(guesses, key=lambda point: regress([_pan_at(s, *place(np.array(point))) for s in tiles], bands)[1])
    limit = 1.5 * MAX_SHIFT_MS * nominal.sampling.ratio
    best, unexplained, _ = descend(_look_at_pan(place, tiles, bands), start, limit)
    if 1.0 - unexplained < MIN_LOCAL_R2:
        return gain0, 0.0, 0.0
    return _sigmoid(best[0]), float(best[1]), float(best[2])


@dataclass(frozen=True)
class _BandFit:
    """Position of one band: its own best shift, its local squared correlation with PAN there and at the common one."""

    shift: tuple[float, float]
    own: float
    common: float

    @property
    def believable(self) -> bool:
        return self.own >= MIN_LOCAL_R2


def _fit_bands(tiles: Sequence[Tile], nominal: Observation, common: tuple[float, float, float]) -> list[_BandFit]:
    """Shift of each band against PAN, searched around the common shift."""
    gain, *start = common
    valid = [tile.ms_valid.all(0) for tile in tiles]

    @lru_cache(maxsize=64)  # bands mostly lie on one grid, and begin at one place
    def pan_at(phase_y: float, phase_x: float) -> list[tuple[Tensor, Tensor]]:
        place = replace(nominal.sampling.select([0]), phase_y=(phase_y,), phase_x=(phase_x,))
        found = [_pan_at(tile, place, gain) for tile in tiles]
        return [(highpass(pan, seen & v), seen & v) for (pan, seen), v in zip(found, valid, strict=True)]

    def fit(band: int) -> _BandFit:
        one = nominal.sampling.select([band])
        details = [highpass(tile.ms[band].double(), v) for tile, v in zip(tiles, valid, strict=True)]

        def look(point: np.ndarray) -> Look:
            moved = [one.shifted([float(y)], [float(x)]) for y, x in (point, *(point + _LITTLE * np.eye(2)))]
            seen = [pan_at(place.phase_y[0], place.phase_x[0]) for place in moved]
            pieces = []
            for detail, (pan, use), (down, _), (right, _) in zip(details, *seen, strict=True):
                slopes = torch.stack([down - pan, right - pan]) / _LITTLE
                pieces.append((detail * use, torch.cat([pan[None], slopes * use])))
            return unexplained_in_windows(pieces)

        shift, own, common_one = descend(look, start, MAX_SHIFT_MS * nominal.sampling.ratio)
        return _BandFit((float(shift[0]), float(shift[1])), 1.0 - own, 1.0 - common_one)

    return [fit(band) for band in range(nominal.sampling.bands)]


def _common_or_own(
    found: Sequence[_BandFit], common: tuple[float, float]
) -> tuple[list[tuple[float, float]], list[float]]:
    """Shift and correlation of each band: own shifts where the bands evidently differ, else the common one."""
    differ = any(f.believable and 1 - f.own < BANDS_DIFFER * (1 - f.common) for f in found)
    related = any(f.believable for f in found)
    shifts = [f.shift if differ and f.believable else common if related else (0.0, 0.0) for f in found]
    return shifts, [f.own if differ else f.common for f in found]


def _refine(
    tiles: Sequence[Tile],
    nominal: Observation,
    found: Sequence[_BandFit],
    shifts: Sequence[tuple[float, float]],
    common: tuple[float, float, float],
) -> list[tuple[float, float]]:
    """The shifts of bands that lie apart, taken to where the bands together explain PAN best (Gauss-Newton).

    Alone, a band is drawn to what PAN shows of the others; together they leave PAN next to nothing to show. As they
    can stand in for one another, each is held to the position it found alone, the more the better it matched there.
    """
    gain, dy, dx = common
    reference = nominal.sampling.select([0]).shifted([dy], [dx])
    point = np.array(shifts)
    held = np.array([max(f.own, 1e-3) / max(1 - f.own, 1e-3) for f in found]).repeat(2)
    together = _Together(
        tiles, [_pan_at(tile, reference, gain) for tile in tiles], nominal.sampling, reference, point, held
    )
    limit = MAX_SHIFT_MS * nominal.sampling.ratio
    for _ in range(_REFINEMENTS):
        step, r2 = together.improve(point)
        if r2 < MIN_PAN_R2:
            return list(shifts)
        point = np.clip(point + np.clip(step, -0.5, 0.5), -limit, limit)
        if np.abs(step).max() < 0.01:
            break
    return [(float(y), float(x)) for y, x in point]


@dataclass(frozen=True)
class _Together:
    """The regression of PAN on all bands, each at a shift of its own.

    Attributes:
        tiles: of the scene.
        pan: at the samples of the reference, and where it is valid, for each tile.
        sampling: of the bands by the georeferencing.
        reference: where PAN and bands are compared.
        alone: shift of each band that it found alone, `[C, 2]`, PAN pixels.
        held: how hard each coordinate is held there, `[2 C]`.
    """

    tiles: Sequence[Tile]
    pan: Sequence[tuple[Tensor, Tensor]]
    sampling: Sampling
    reference: Sampling
    alone: np.ndarray
    held: np.ndarray

    def improve(self, shifts: np.ndarray) -> tuple[np.ndarray, float]:
        """One Gauss-Newton step `[C, 2]` of the shifts `[C, 2]`, in PAN pixels, and the R2 of PAN before it."""
        use = [seen & tile.ms_valid.all(0) for (_, seen), tile in zip(self.pan, self.tiles, strict=True)]

        def bands_at(y: float, x: float) -> Tensor:
            moved = self.sampling.shifted((shifts[:, 0] + y).tolist(), (shifts[:, 1] + x).tolist())
            pieces = (_bands_at(tile, moved, self.reference)[0] for tile in self.tiles)
            return torch.cat([piece[:, u] for piece, u in zip(pieces, use, strict=True)], 1)

        target = torch.cat([values[u] for (values, _), u in zip(self.pan, use, strict=True)])
        bands, little = bands_at(0, 0), 0.25
        count = len(bands)
        down = (bands_at(little, 0) - bands_at(-little, 0)) / (2 * little)
        right = (bands_at(0, little) - bands_at(0, -little)) / (2 * little)
        everywhere = torch.ones_like(target, dtype=torch.bool)
        weights, r2 = regress([(target, everywhere)], [(bands, everywhere)])
        left = target - weights[:-1] @ bands - weights[-1]
        share = weights[:-1, None]
        slopes = torch.stack([share * down, share * right], 1).flatten(0, 1)
        design = torch.cat([slopes, bands, torch.ones_like(bands[:1])])
        gram = design @ design.T
        # a band that PAN does not see has no slope: whatever else is zero, the matrix is not singular
        gram += torch.diag(1e-9 * gram.diagonal() + 1e-15 * gram.diagonal().max())
        pull = _HOLD * float((left**2).sum()) * self.held
        gram[: 2 * count, : 2 * count] += torch.diag(torch.from_numpy(pull))
        right_side = design @ left
        right_side[: 2 * count] += torch.from_numpy(pull * (self.alone - shifts).ravel())
        step = torch.linalg.solve(gram, right_side)[: 2 * count]
        return step.reshape(count, 2).numpy(), r2


def _fit_response(tiles: Sequence[Tile], model: Observation, begin: float) -> Observation:
    """Blur, searched from the gain `begin`, and weights of PAN on the bands, once every band is where it belongs."""
    nominal_gain = float(np.mean(model.ms_gain))
    reference = model.sampling.select([0])
    bands = [_bands_at(s, model.sampling, reference) for s in tiles]

    def fit(gain: float) -> tuple[Tensor, float]:
        return regress([_pan_at(s, reference, gain) for s in tiles], bands)

    look = _look_at_pan(lambda point: (reference, _sigmoid(point[0])), tiles, bands)
    found, _, _ = descend(look, [_logit(begin)], _logit(0.98))
    best = float(np.clip(_sigmoid(found[0]), *GAIN_RANGE))
    model = replace(model, pan_r2=fit(best)[1])
    certainty = model.certainty
    # what PAN shows and the bands do not is fine detail: the more of it, the more blur seems to explain
    gain = math.exp(certainty * math.log(best) + (1 - certainty) * math.log(nominal_gain))
    weights, _ = fit(gain)
    related = model.pan_r2 >= MIN_PAN_R2
    return replace(
        model,
        # one blur is identified, the differences between bands are the sensor's
        ms_gain=tuple(_scaled_gain(g, nominal_gain, gain) for g in model.ms_gain) if certainty else model.ms_gain,
        # the estimate is relative to PAN: MTF-degraded to MS, PAN loses exactly this
        pan_gain=gain if certainty else model.pan_gain,
        pan_weights=tuple(float(w) for w in weights[:-1]) if related else None,
        pan_offset=float(weights[-1]) if related else 0.0,
    )


def _scaled_gain(gain: float, mean: float, estimated: float) -> float:
    """The band's gain when the mean of the bands is `estimated` instead of `mean`: widths scale, so logarithms do."""
    return float(np.clip(math.exp(math.log(gain) * math.log(estimated) / math.log(mean)), *GAIN_RANGE))


def _bands_at(tile: Tile, sampling: Sampling, reference: Sampling) -> tuple[Tensor, Tensor]:
    """The bands at the samples of the reference band, `[C, h, w]`, and where all are valid."""
    already = sampling == reference.select([0] * sampling.bands)
    bands = tile.ms if already else bands_at_reference(tile, sampling, reference)
    return bands.double(), tile.ms_valid.all(0)


def _sigmoid(point: float) -> float:
    return 1.0 / (1.0 + math.exp(-float(point)))


def _logit(gain: float) -> float:
    return math.log(gain / (1.0 - gain))
