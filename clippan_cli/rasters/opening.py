"""Open a raster with the drivers allowed, and only where all that it leads to may be read as well.

GDAL opens what lies beside a raster (its mask, its overviews) and behind it (the image of a DIMAP product) with any
driver that it has. So these files are checked first, each like a raster that the user has named.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from clippan_cli.rasters.array_names import image_in_file
from clippan_cli.rasters.bounds import DEEPEST, MOST_FILES, check_beside, check_content
from clippan_cli.rasters.dimap import files_of_product
from clippan_cli.rasters.gdal_errors import reason_of
from clippan_cli.rasters.in_memory import ArrayDataset, open_array
from clippan_cli.rasters.links import check_links
from clippan_cli.rasters.names import check_local_path, is_remote, s3_endpoint
from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.til import check_corner, tiles_of
from clippan_cli.rasters.vrt import looks_like_vrt, sources_of
from clippan_cli.rasters.zipped import DRIVERS as DRIVERS_IN_ZIP
from clippan_cli.rasters.zipped import archive_of, members_of
from clippan_models.errors import InputError

DRIVERS = (
    "GTiff",
    "COG",
    "JP2OpenJPEG",
    "JP2ECW",
    "JP2KAK",
    "NITF",
    "DIMAP",
    "TIL",
    "ENVI",
    "HFA",
    "PCIDSK",
    "EHdr",
    "PNG",
)
"""GDAL drivers that read pixels from the file named, or from others in its folder."""

_RASTERS_BESIDE = (".msk", ".ovr")
_NO_NETWORK = {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none"}
_PATIENCE = {"GDAL_HTTP_CONNECTTIMEOUT": "20", "GDAL_HTTP_TIMEOUT": "120", "GDAL_HTTP_MAX_RETRY": "3"}


def options_of_gdal(trust: Trust) -> dict[str, str]:
    """Keep GDAL from the network, whatever a file refers to; or from waiting for it for ever."""
    if not trust.remote:
        return _NO_NETWORK
    return {key: value for key, value in (_PATIENCE | _endpoint_of_gdal()).items() if key not in os.environ}


def _endpoint_of_gdal() -> dict[str, str]:
    """The S3 server as GDAL calls it; one that is not Amazon's has the bucket in the path."""
    scheme, found, place = s3_endpoint().partition("://")
    if not found:
        return {}
    https = "NO" if scheme == "http" else "YES"
    return {"AWS_S3_ENDPOINT": place.rstrip("/"), "AWS_HTTPS": https, "AWS_VIRTUAL_HOSTING": "FALSE"}


def open_dataset(name: str, trust: Trust) -> Any:
    """Open a raster for reading.

    Args:
        name: its path or, where allowed, its remote address.
        trust: what may be opened besides local files.

    Raises:
        InputError: it cannot be opened, or it leads to a file that must not be read.
    """
    if not is_remote(name):
        check_local_path(name)
        if image_in_file(name):
            return open_array(name)
        if archive_of(name):
            return _opened_in_zip(name, trust.largest_block)
        return _Opening(trust, _folders_of(name)).open(name)
    if not trust.remote:
        raise InputError(f"{name} is remote; add --allow-remote to read it over the network")
    is_vrt = name.lower().endswith(".vrt")
    if is_vrt and not trust.vrt:
        raise _untrusted_vrt(name)
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):  # a remote folder is not to be listed
        dataset = _opened(name, _drivers(is_vrt))
        try:
            check_content(name, dataset, trust.largest_block)
        except BaseException:
            dataset.close()
            raise
        return dataset


def _drivers(is_vrt: bool) -> tuple[str, ...]:
    return (*DRIVERS, "VRT") if is_vrt else DRIVERS


def _opened_in_zip(name: str, largest_block: int) -> Any:
    """Open a raster in an archive, of which it can lead to text files, and to the images of DIMAP, alone.

    Raises:
        InputError: it cannot be opened, or it leads to a file that must not be read.
    """
    archive, member = archive_of(name) or (Path(name), "")
    beside = [f"{member}{ending}" for suffix in (*_RASTERS_BESIDE, ".aux.xml") for ending in (suffix, suffix.upper())]
    if found := sorted(members_of(archive).keys() & set(beside)):
        raise InputError(f"{name} has {found[0]} beside it, which is not read inside an archive; unpack it")
    check_beside(name)
    product = files_of_product(name)
    for file in (*product.documents, *product.images):
        if (place := archive_of(file)) is None or place[0] != archive:
            raise InputError(f"{name} leads to {file}, which lies outside its archive; unpack it, or remove that")
    for image in product.images:
        try:
            _opened_in_zip(image, largest_block).close()
        except InputError as error:
            raise _leads_astray(name, error) from error
    drivers = (*DRIVERS_IN_ZIP, "DIMAP") if product.images else DRIVERS_IN_ZIP
    dataset = _opened(name, drivers)
    try:
        check_content(name, dataset, largest_block)
        if dataset.driver not in drivers or dataset.tags(ns="OVERVIEWS"):
            raise InputError(f"{name} is a {dataset.driver} that may lead to other files; unpack it")
        for file in files_of(name, dataset):
            if (place := archive_of(file)) is None or place[0] != archive:
                raise InputError(f"{name} leads to {file}, which lies outside its archive; unpack it, or remove that")
    except BaseException:
        dataset.close()
        raise
    return dataset


@dataclass(frozen=True)
class _Opening:
    """How a local raster is opened, and all that it leads to.

    Attributes:
        trust: what may be opened besides local files.
        folders: the real paths of the folders in which all that it leads to must lie.
        above: real paths of the files that have led here.
        checked: what GDAL reads for a raster that was checked before, by its real path and the folders.
    """

    trust: Trust
    folders: frozenset[str]
    above: tuple[str, ...] = ()
    checked: dict[tuple[str, frozenset[str]], list[str]] = field(default_factory=dict)

    def open(self, name: str) -> Any:
        """Open a raster after what it leads to."""
        is_vrt = looks_like_vrt(name)
        if is_vrt and not self.trust.vrt:
            raise _untrusted_vrt(name)
        inside = _Opening(self.trust, self.folders, (*self.above, os.path.realpath(name)), self.checked)
        if is_vrt and not self.trust.remote:
            for source in sources_of(name):
                _Opening(self.trust, _folders_of(source), inside.above, self.checked)._follow(source, name)
        product = files_of_product(name)
        for document in product.documents:
            self._check_place(document, name)
        tiles = tiles_of(name)
        images = (*product.images, *(tile.path for tile in tiles))
        seen = {file for image in images for file in inside._check(image, name)}
        check_beside(name)
        check_links(name)
        dataset = _opened(name, _drivers(is_vrt))
        try:
            check_content(name, dataset, self.trust.largest_block)
            for tile in tiles[:1]:
                with inside.open(tile.path) as first:
                    check_corner(name, dataset, tile, first)
            inside._check_beside(name, dataset, seen)
            if not is_vrt:
                inside._check_files(name, dataset, seen)
        except BaseException:
            dataset.close()
            raise
        return dataset

    def _check_beside(self, name: str, dataset: Any, seen: set[str]) -> None:
        """Check the mask and the overviews before GDAL looks for them."""
        beside = [name + ending for suffix in _RASTERS_BESIDE for ending in (suffix, suffix.upper())]
        if dataset.driver == "NITF":
            beside += _reduced_images_of(name)
        for file in filter(os.path.lexists, beside):
            seen.update(self._check(file, name))
        if overviews := dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE"):
            base, found, rest = overviews.partition(":::BASE:::")
            place = os.path.join(os.path.dirname(name), rest) if found and not base else overviews
            seen.update(self._check(place, name))

    def _check_files(self, name: str, dataset: Any, seen: set[str]) -> None:
        """Check the files that GDAL reads for a raster, all but itself and those seen before."""
        for file in sorted(set(files_of(name, dataset)) - seen - {name}):
            self._check_place(file, name)
            check_links(file)
            if Path(file).suffix.lower() in _RASTERS_BESIDE or looks_like_vrt(file):
                self._check(file, name)

    def _check(self, file: str, name: str) -> list[str]:
        """Check a raster that another one leads to; the files that GDAL reads for it."""
        if is_remote(file) and self.trust.remote:
            return [file]
        self._check_place(file, name)
        return self._follow(file, name)

    def _check_place(self, file: str, name: str) -> None:
        """Refuse what is not a regular file in the folder of the input."""
        try:
            check_local_path(file)
        except InputError as error:
            raise _leads_astray(name, error) from error
        if not any(Path(os.path.realpath(file)).is_relative_to(folder) for folder in self.folders):
            raise InputError(f"{name} leads to {file}, which lies outside its folder; copy it there, or remove it")

    def _follow(self, file: str, name: str) -> list[str]:
        if os.path.realpath(file) in self.above:
            raise InputError(f"{name} reads itself through {file}")
        if len(self.above) > DEEPEST or len(self.checked) >= MOST_FILES:
            raise InputError(f"{name} leads to more than {MOST_FILES:,} files, or through more than {DEEPEST} in a row")
        known = os.path.realpath(file), self.folders
        if known in self.checked:
            return self.checked[known]
        try:
            check_local_path(file)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # masks and overviews rarely are
                dataset = self.open(file)
            with dataset:
                self.checked[known] = [file, *files_of(file, dataset)]
                return self.checked[known]
        except InputError as error:
            raise _leads_astray(name, error) from error


def files_of(name: str, dataset: Any) -> list[str]:
    """The files that GDAL reads for an open raster, none for one in memory; it looks for mask and overviews now.

    Raises:
        InputError: one of them cannot be read.
    """
    if isinstance(dataset, ArrayDataset):
        return []
    try:
        return [str(file) for file in dataset.files]
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{name} leads to a file that cannot be read: {reason_of(error)}") from error


def _opened(name: str, drivers: Sequence[str]) -> Any:
    try:
        # rasterio.open takes one driver only before 1.5; the class behind it takes the list that keeps others out
        return DatasetReader(name, driver=list(drivers))
    except (RasterioError, CPLE_BaseError) as error:
        words = reason_of(error)
        if is_remote(name):
            raise InputError(f"{name} cannot be read: {words}") from error
        if "not recognized" in words:
            raise InputError(f"{name} is not in a format that clippan reads ({', '.join(DRIVERS)})") from error
        raise InputError(f"{name} cannot be opened: {words}; is it damaged or incomplete?") from error


def _folders_of(name: str) -> frozenset[str]:
    """The folder that a name is in and, where it is a link, that of the file."""
    return frozenset({os.path.realpath(os.path.dirname(name) or "."), os.path.dirname(os.path.realpath(name))})


def _reduced_images_of(name: str) -> list[str]:
    """The files that GDAL takes for the overviews of a NITF file: A.r1 of A.r0, A.ntf.r1 of A.ntf."""
    stem = name[:-1] if name.lower().endswith(".r0") else f"{name}.r"
    return [f"{stem}{level}" for level in range(1, 6)]


def _untrusted_vrt(name: str) -> InputError:
    return InputError(f"{name} is a VRT, which can read any other file; add --allow-vrt if you trust it")


def _leads_astray(name: str, error: InputError) -> InputError:
    return InputError(f"{name} reads a file that cannot be used: {reason_of(error)}")
