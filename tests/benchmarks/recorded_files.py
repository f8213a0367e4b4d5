"""What is in a file that clippan has written, in plain data, for `recorded_runs.py`."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio


def describe(path: Path) -> Any:
    """What is in a file, in plain data."""
    match path.suffix:
        case ".tif" | ".png":
            return _raster(path)
        case ".safetensors":
            return _tensors(path)
        case ".html":
            return _page(path)
        case ".json" | ".csv" | ".geojson":
            return as_document(path.read_text(encoding="utf-8"))
        case _:
            return "exists"  # snapshots, which depend on the moment


def _raster(path: Path) -> dict[str, Any]:
    # of pictures without georeferencing, and of means of nothing but NaN
    with warnings.catch_warnings(action="ignore"), rasterio.open(path) as file:
        pixels = file.read()
        spaces = [None, *(name for name in file.tag_namespaces() if name != "DERIVED_SUBDATASETS")]
        return {
            "size": [file.width, file.height, file.count],
            "driver": file.driver,
            "dtypes": file.dtypes,
            "nodata": [None if value is None else str(value) for value in file.nodatavals],
            "crs": file.crs.to_wkt() if file.crs else None,
            "transform": list(file.transform),
            "blocks": file.block_shapes,
            "overviews": {
                step: _hash(
                    file.read(out_shape=(file.count, -(-file.height // step), -(-file.width // step))).tobytes()
                )
                for step in file.overviews(1)
            },
            "descriptions": file.descriptions,
            "colours": [colour.name for colour in file.colorinterp],
            "scales": [file.scales, file.offsets, file.units],
            "tags": {str(name): file.tags(ns=name) for name in spaces},
            "band tags": [
                {str(name): file.tags(band, ns=name) for name in (None, *file.tag_namespaces(band))}
                for band in file.indexes
            ],
            "means": [float(np.nanmean(band)) for band in pixels.astype("float64")],
            "pixels": _hash(pixels.tobytes()),
            "masks": _hash(file.read_masks().tobytes()),
        }


def _tensors(path: Path) -> dict[str, Any]:
    """By the format itself: the length of a header in JSON, the header, the bytes of all tensors."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    about = header.pop("__metadata__", {})
    for tensor in header.values():
        begin, end = tensor.pop("data_offsets")
        tensor["bytes"] = _hash(data[start + begin : start + end])
    return {"metadata": about, "tensors": header}


def _page(path: Path) -> dict[str, Any]:
    """The text of a page, what it draws, and the document that it carries."""
    page = path.read_text(encoding="utf-8")
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    images = re.findall(r"data:image/\w+;base64,([\w+/=]+)", page)
    visible = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    lines = html.unescape(re.sub(r"<[^>]*>", "\n", visible)).splitlines()
    return {
        "text": [line.strip() for line in lines if line.strip()],
        "documents": [as_document(text) for kind, text in scripts if "json" in kind],
        "scripts and styles": [
            *(_hash(text.encode()) for kind, text in scripts if "json" not in kind),
            *(_hash(text.encode()) for text in re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL)),
        ],
        "drawings": [_hash(text.encode()) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)],
        "images": [_hash(base64.b64decode(image)) for image in images],
        "elements": {tag: len(re.findall(f"<{tag}\\b", page)) for tag in ("table", "tr", "section", "figure", "img")},
    }


def as_document(text: str) -> Any:
    """The JSON that a text is; else its lines, or the one line."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text.splitlines() if "\n" in text else text


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
