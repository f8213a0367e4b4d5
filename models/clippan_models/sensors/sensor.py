"""What clippan knows of a camera: its bands, its grid and the blur of its optics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from clippan_models.errors import UsageError


@dataclass(frozen=True)
class Band:
    """One MS band.

    Attributes:
        name: lower case, unique in its sensor: `blue`, `nir1`.
        wavelength_nm: lower and upper edge.
        gain: amplitude gain of the optics at the MS Nyquist frequency, in (0, 1).
        in_pan: whether PAN sees the band: at least 40 % of it lies between the edges of PAN.
    """

    name: str
    wavelength_nm: tuple[float, float]
    gain: float
    in_pan: bool

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UsageError("name is empty")
        _check_edges("wavelength_nm", self.wavelength_nm)
        _check_gain("gain", self.gain)


@dataclass(frozen=True)
class Sensor:
    """A camera with a PAN and an MS side.

    A sensor without `bands` stands for any number of bands, all with `default_gain`.

    Attributes:
        key: what a user types, and the name of its file: `worldview-2`.
        name: what a person reads: `WorldView-2`.
        bits: significant bits of the pixel values in the delivered files, 8 .. 16.
        ratio: MS pixel size over PAN pixel size, above 1.
        pan_gain: gain of PAN's own MTF at the MS Nyquist frequency, in (0, 1).
        bands: MS bands in the order of the files.
        default_gain: gain of every band where no bands are listed, else None.
        aliases: spellings seen in metadata and file names. `-` also stands for a blank or nothing, `_` for a hyphen, a
            blank or nothing; the case does not matter.
        gsd_pan_m: PAN pixel size at nadir, if known.
        gsd_ms_m: MS pixel size at nadir, if known.
        pan_wavelength_nm: lower and upper edge of PAN, if known.
        source: where the gains come from.
    """

    key: str
    name: str
    bits: int
    ratio: float
    pan_gain: float
    bands: tuple[Band, ...] = ()
    default_gain: float | None = None
    aliases: tuple[str, ...] = ()
    gsd_pan_m: float | None = None
    gsd_ms_m: float | None = None
    pan_wavelength_nm: tuple[float, float] | None = None
    source: str = "not stated"

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UsageError("name is empty")
        if not 8 <= self.bits <= 16:
            raise UsageError(f"bits = {self.bits} must lie in 8 .. 16")
        if not 1 < self.ratio < math.inf:
            raise UsageError(f"ratio = {self.ratio:g} must be above 1")
        _check_gain("pan_gain", self.pan_gain)
        self._check_bands()
        for alias in self.aliases:
            if sum(letter.isalnum() for letter in alias) < 2:  # a single letter would be found in every file name
                raise UsageError(f"aliases holds {alias!r}, which is too short to be told from other words")
        for field, gsd in (("gsd_pan_m", self.gsd_pan_m), ("gsd_ms_m", self.gsd_ms_m)):
            if gsd is not None and not 0 < gsd < math.inf:
                raise UsageError(f"{field} = {gsd:g} must be above 0")
        if self.pan_wavelength_nm is not None:
            _check_edges("pan_wavelength_nm", self.pan_wavelength_nm)

    def _check_bands(self) -> None:
        if self.default_gain is not None:
            if self.bands:
                raise UsageError("bands and default_gain exclude each other: bands have their own gains")
            _check_gain("default_gain", self.default_gain)
        elif not self.bands:
            raise UsageError("bands is missing: list the bands, or give default_gain for any number of bands")
        twice = [name for name, times in Counter(band.name for band in self.bands).items() if times > 1]
        if twice:
            raise UsageError(f"bands: the name {twice[0]!r} occurs more than once")

    def fits(self, bands: int) -> bool:
        """Whether an image of `bands` bands can be a whole MS file of this sensor."""
        return not self.bands or len(self.bands) == bands

    def ms_gains(self, bands: int, band_indexes: Sequence[int] | None = None) -> tuple[float, ...]:
        """The MTF gain of each band of an image.

        Args:
            bands: number of bands of the image.
            band_indexes: which bands of the sensor the image holds, in its order, counted from 0 in file order; None
                for all of them. A 4-band cut of a WorldView-2 file: `(1, 2, 4, 6)`.

        Raises:
            UsageError: the image does not have as many bands as the sensor, or as `band_indexes` names.
        """
        if band_indexes is not None and len(band_indexes) != bands:
            raise UsageError(f"{len(band_indexes)} band indexes were given for an image of {bands} bands")
        if self.default_gain is not None:
            return (self.default_gain,) * bands
        if band_indexes is None:
            if bands != len(self.bands):
                raise UsageError(
                    f"the sensor {self.key} has {len(self.bands)} bands, the image {bands}: "
                    "say which of the sensor's bands they are, or use the sensor generic"
                )
            band_indexes = range(bands)
        for index in band_indexes:
            if not 0 <= index < len(self.bands):
                raise UsageError(
                    f"band index {index}: the bands of the sensor {self.key} are 0 .. {len(self.bands) - 1}"
                )
        return tuple(self.bands[index].gain for index in band_indexes)


def _check_gain(field: str, gain: float) -> None:
    if not 0 < gain < 1:
        raise UsageError(f"{field} = {gain:g} must lie between 0 and 1")


def _check_edges(field: str, edges: tuple[float, float]) -> None:
    lower, upper = edges
    if not 0 < lower < upper < math.inf:
        raise UsageError(f"{field} = [{lower:g}, {upper:g}] must be two positive numbers in ascending order")
