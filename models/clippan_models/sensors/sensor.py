"""What clippan knows of a camera: its bands, its grid and the blur of its optics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from clippan_models.errors import UsageError


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One MS band.

    Attributes:
        name: lower case, unique in its sensor: `blue`, `nir1`.
        wavelength_nm: lower and upper edge.
        gain: amplitude gain of the optics at the MS Nyquist frequency, in (0, 1).
        aliases: what files call it besides: `B2`; the case does not matter.

    Raises:
        UsageError: a value that cannot be; names the band and the field.
    """

    name: str
    wavelength_nm: tuple[float, float]
    gain: float
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UsageError("bands: a name is empty")
        lower, upper = self.wavelength_nm
        if not 0 < lower < upper < math.inf:
            raise UsageError(
                f"band {self.name}: wavelength_nm = [{lower:g}, {upper:g}] must be two positive finite numbers in "
                "ascending order"
            )
        _check_gain(f"band {self.name}: gain", self.gain)


class Sensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A camera with a PAN and an MS side.

    A sensor without `bands` stands for any number of bands, all with `default_gain`.

    Attributes:
        key: what a user types, and the name of its file: `worldview-2`.
        name: what a person reads: `WorldView-2`.
        bits: significant bits of the pixel values in the delivered files, 8 .. 16.
        ratio: MS pixel size over PAN pixel size, above 1.
        pan_gain: gain of PAN's own MTF at the MS Nyquist frequency, in (0, 1).
        bands: MS bands in the order of the files.
        subsets: bands of products that hold some of them, or all in another order, by name; the most usual first.
        default_gain: gain of every band where no bands are listed, else None.
        aliases: spellings seen in metadata and file names. `-` also stands for a blank or nothing, `_` for a hyphen, a
            blank or nothing, `#` for a number; the case does not matter.
        source: where the gains come from.

    Raises:
        UsageError: a value that cannot be; names the field.
    """

    key: str
    name: str
    bits: int
    ratio: float
    pan_gain: float
    bands: tuple[Band, ...] = ()
    subsets: tuple[tuple[str, ...], ...] = ()
    default_gain: float | None = None
    aliases: tuple[str, ...] = ()
    source: str = "not stated"

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UsageError("name is empty")
        if not 8 <= self.bits <= 16:
            raise UsageError(f"bits = {self.bits} must lie in 8 .. 16")
        if not 1 < self.ratio < math.inf:
            raise UsageError(f"ratio = {self.ratio:g} must be a finite number above 1")
        _check_gain("pan_gain", self.pan_gain)
        self._check_bands()
        for alias in self.aliases:
            if sum(letter.isalnum() for letter in alias) < 2:  # a single letter would be found in every file name
                raise UsageError(f"aliases holds {alias!r}, which is too short to be told from other words")

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
        for subset in self.subsets:
            for name in subset:
                self._band(name, "subsets")

    def with_bands(self, names: Sequence[str]) -> Sensor:
        """The sensor with some of its bands, in the order of an image.

        Args:
            names: of the bands; aliases are understood too.

        Raises:
            UsageError: it has no such band, or one is named twice.
        """
        return replace(self, bands=tuple(self._band(name, f"sensor {self.key}") for name in names), subsets=())

    def _band(self, name: str, where: str) -> Band:
        wanted = name.strip().lower()
        for band in self.bands:
            if wanted in (band.name.lower(), *(alias.lower() for alias in band.aliases)):
                return band
        known = ", ".join(band.name for band in self.bands) or "any number of bands without names"
        raise UsageError(f"{where}: no band is called {name!r}; it has {known}")

    def ms_gains(self, bands: int) -> tuple[float, ...]:
        """The MTF gain of each band of an image.

        Args:
            bands: number of bands of the image.

        Raises:
            UsageError: the sensor has another number of bands.
        """
        if self.default_gain is not None:
            return (self.default_gain,) * bands
        if len(self.bands) != bands:
            which = f"name these bands with --sensor-bands ({', '.join(band.name for band in self.bands)}), "
            raise UsageError(
                f"the sensor {self.key} has {len(self.bands)} bands, the image {bands}: "
                f"{which if bands < len(self.bands) else ''}"
                "use the sensor generic, or describe these bands in a .toml file of your own"
            )
        return tuple(band.gain for band in self.bands)


def _check_gain(field: str, gain: float) -> None:
    if not 0 < gain < 1:
        raise UsageError(f"{field} = {gain:g} must lie between 0 and 1")
