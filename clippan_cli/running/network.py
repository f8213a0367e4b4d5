"""Keep GDAL from the network in a process that is clippan's own."""

from __future__ import annotations

import os

_DRIVERS_THAT_FETCH = (
    *("WMS", "WMTS", "WCS", "HTTP", "PLMOSAIC", "EEDA", "EEDAI", "DAAS", "NGW", "OGCAPI", "STACTA", "STACIT"),
    *("WFS", "OAPIF", "CSW", "Elasticsearch", "AmigoCloud", "CARTO", "PLSCENES", "DODS", "GTI", "MRF", "netCDF"),
)


def keep_gdal_off_the_network() -> None:
    """Leave out the drivers of GDAL that fetch what a file tells them to, here and in processes started from here.

    GDAL has all its drivers for good once it has opened a raster; so this has to be called before.
    """
    users = os.environ.get("GDAL_SKIP", "").replace(",", " ").split()
    os.environ["GDAL_SKIP"] = " ".join(dict.fromkeys([*users, *_DRIVERS_THAT_FETCH]))
