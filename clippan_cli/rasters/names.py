"""The names of rasters: whether they can be those of local files at all; free of GDAL."""

from __future__ import annotations

import os
import platform
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from clippan_cli.rasters.array_names import image_in_file
from clippan_cli.rasters.zipped import archive_of, check_member
from clippan_models.errors import InputError, UsageError, shown

_OBJECT = re.compile(r"(?:(s3|gs|az):/+|/vsi(s3|gs|az)/)(.*)")


def is_remote(name: str) -> bool:
    """Whether GDAL would fetch what has this name."""
    remote = ("http://", "https://", "s3://", "gs://", "az://", "/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "ftp://")
    return name.lower().startswith(remote)


def address_of(name: str | Path) -> str | None:
    """The address scheme://bucket/key of an object on a store; None for a local file, and for other addresses.

    A `Path` shortens an address to s3:/bucket/key.
    """
    found = _OBJECT.fullmatch(name.as_posix() if isinstance(name, Path) else name)
    return f"{found[1] or found[2]}://{found[3]}" if found else None


def public_name(name: str) -> str:
    """A name without what may be a secret: the user, password and query of an address, such as a signature."""
    return re.sub(r"(?<=://)[^/@]*@|[?#].*", "", name) if is_remote(name) else name


def s3_endpoint() -> str:
    """The address of the S3 server, where it is not that of Amazon: AWS_ENDPOINT_URL, as all AWS tools read it.

    Raises:
        UsageError: it is no address.
    """
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if address and not re.fullmatch(r"https?://[^\s/]+/?", address):
        raise UsageError(f"AWS_ENDPOINT_URL={address} is no address; write it as https://HOST or http://HOST:PORT")
    return address


def windows_path_here(name: str) -> str | None:
    """Why a path of Windows means nothing on another system, where a name is one; None where it is none."""
    drive = re.match(r"([A-Za-z]):|\\\\", name)
    if os.name == "nt" or drive is None or os.path.exists(name):
        return None
    place = f"/mnt/{drive[1].lower()}/..." if drive[1] else "the folder where that share is mounted"
    return f"{name} is a path of Windows, but this is {platform.system()}; give the path as it is here, e.g. {place}"


def check_names(names: Iterable[str]) -> None:
    """Refuse names of which one cannot be that of a raster; remote ones are not looked at.

    Raises:
        InputError: see `check_local_path`.
    """
    for name in names:
        if not is_remote(name):
            check_local_path(name)


def check_local_path(name: str) -> None:
    """Refuse what cannot be a raster on this machine.

    Raises:
        InputError: it is remote, not there, not readable, or no file that holds anything.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(f"{name!a} is not a UTF-8 name; rename the file")
    if "\0" in name:
        raise InputError(f"{name!a} cannot be the name of a file")
    if is_remote(name):
        raise InputError(f"{name} is remote; add --allow-remote to read it over the network")
    if reason := windows_path_here(name):
        raise InputError(reason)
    if image := image_in_file(name):
        check_local_path(str(image.file))
        return
    if archive_of(name) is not None:
        check_member(name)
        return
    if name.startswith("/vsi") or (":" in name.split(os.sep)[0] and not Path(name).exists()):
        raise InputError(f"{name} is not a path of a local file; unpack it, or use --allow-remote for /vsicurl and s3")
    try:
        mode = os.stat(name).st_mode
    except OSError as error:
        raise InputError(f"{shown(name)} cannot be read: {error.strerror or error}") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{shown(name)} is a folder; name the raster file inside it")
    if not stat.S_ISREG(mode):
        raise InputError(f"{shown(name)} is not a regular file")
    if not os.access(name, os.R_OK):
        raise InputError(f"{shown(name)} cannot be read: permission denied")
    if os.path.getsize(name) == 0:
        raise InputError(f"{shown(name)} is empty (0 bytes)")
