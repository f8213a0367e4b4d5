"""Which bands of an image are red, green, blue and near infrared."""

from __future__ import annotations

from dataclasses import dataclass

from rasterio.enums import ColorInterp

from clippan_cli.rasters.source import RasterSource
from clippan_cli.scene.band_clues import colours_of
from clippan_models.sensors import Sensor

_RED_NM, _GREEN_NM, _BLUE_NM, _NIR_NM = 660, 550, 480, 840
_VISIBLE_BELOW_NM = 740

# By the number of bands, where neither the file nor the sensor tells: blue, green, red, near infrared; and the order
# of WorldView-2 for eight. One or two bands stand for several colours.
_CUSTOMARY_RGB = {1: (0, 0, 0), 2: (1, 0, 0), 3: (0, 1, 2), 4: (2, 1, 0), 8: (4, 2, 1)}
_CUSTOMARY_NIR = {4: 3, 8: 6}


@dataclass(frozen=True)
class BandRoles:
    """0-based bands of an image by their colour; `nir` is None where no band is known to be near infrared."""

    red: int
    green: int
    blue: int
    nir: int | None

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Natural colours."""
        return self.red, self.green, self.blue

    @property
    def false_colour(self) -> tuple[int, int, int] | None:
        """Near infrared, red and green, in which vegetation is red; None without near infrared."""
        return None if self.nir is None else (self.nir, self.red, self.green)


def band_roles(source: RasterSource, sensor: Sensor) -> BandRoles:
    """Find the roles by the colour interpretation of the file, else by wavelength, else by the number of bands.

    The near infrared comes from the wavelengths or the number of bands, unless the file says that this band is red,
    green or blue.
    """
    centres = band_centres(sensor)
    known = len(centres) == source.count
    rgb = _interpreted(source)
    if rgb is None and known:
        red, green, blue = (_nearest(centres, nm) for nm in (_RED_NM, _GREEN_NM, _BLUE_NM))
        rgb = (red, green, blue)
    if rgb is None:
        rgb = _CUSTOMARY_RGB.get(source.count, (2, 1, 0))
    nir = _infrared(centres) if known else _CUSTOMARY_NIR.get(source.count)
    return BandRoles(*rgb, nir=None if nir in rgb else nir)


def band_centres(sensor: Sensor) -> tuple[float, ...]:
    """The centre wavelength of each band of a sensor, nm; empty where it lists no bands."""
    return tuple(sum(band.wavelength_nm) / 2 for band in sensor.bands)


def _interpreted(source: RasterSource) -> tuple[int, int, int] | None:
    colours = colours_of(source)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if not all(colour in colours for colour in wanted):
        return None
    return colours.index(wanted[0]), colours.index(wanted[1]), colours.index(wanted[2])


def _infrared(centres: tuple[float, ...]) -> int | None:
    nearest = _nearest(centres, _NIR_NM)
    return nearest if centres[nearest] > _VISIBLE_BELOW_NM else None


def _nearest(centres: tuple[float, ...], wavelength_nm: float) -> int:
    return min(range(len(centres)), key=lambda band: abs(centres[band] - wavelength_nm))
