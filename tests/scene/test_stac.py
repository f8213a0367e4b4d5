"""Are the right assets of STAC items taken for MS and PAN?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from clippan_cli.scene.files import PairTable
from clippan_cli.scene.pairs import find_pairs
from clippan_models.errors import InputError


def asset(href: str, *bands: str, **more: Any) -> dict[str, Any]:
    return {"href": href, "eo:bands": [{"name": f"B{i}", "common_name": name} for i, name in enumerate(bands)], **more}


def item(name: str, **assets: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": name, "assets": assets}


def table(path: Path, document: Any) -> PairTable:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return find_pairs(path, Trust(), Control())


WHOLE = item(
    "whole",
    analytic=asset("./ms.tif", "blue", "green", "red", "nir"),
    pan=asset("./pan.tif", "pan"),
    preview=asset("./preview.png", "red", "green", "blue", roles=["thumbnail"]),
)
LANDSAT = item(
    "LC08",
    swir16=asset("B6.tif", "swir16"),
    red=asset("B4.tif", "red"),
    nir08=asset("B5.tif", "nir08"),
    blue=asset("B2.tif", "blue"),
    green=asset("B3.tif", "green"),
    pan={"href": "https://example.org/B8.tif", "bands": [{"name": "B8", "eo:common_name": "pan"}]},
)


def test_items_name_their_pairs(tmp_path: Path) -> None:
    found = table(tmp_path / "items.json", {"type": "FeatureCollection", "features": [WHOLE, LANDSAT, item("empty")]})
    whole, landsat = found.pairs
    assert (whole.id, whole.ms, whole.pan) == ("whole", (str(tmp_path / "ms.tif"),), str(tmp_path / "pan.tif"))
    assert [Path(name).name for name in landsat.ms] == ["B2.tif", "B3.tif", "B4.tif", "B5.tif"]
    assert landsat.pan == "https://example.org/B8.tif"
    assert [(left.path, left.reason[:1]) for left in found.left_out] == [("empty", "0")]
    (tmp_path / "pairs.csv").write_text(found.as_csv())
    again = find_pairs(tmp_path / "pairs.csv", Trust(), Control())
    assert [(p.id, p.ms, p.pan) for p in again.pairs] == [(p.id, p.ms, p.pan) for p in found.pairs]


def test_catalogues_lead_to_items(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "item.json").write_text(json.dumps(WHOLE))
    links = [{"rel": "item", "href": "./one/item.json"}, {"rel": "self", "href": "https://example.org/catalog.json"}]
    (pair,) = table(tmp_path / "catalog.json", {"type": "Catalog", "links": links}).pairs
    assert pair.ms == (str(tmp_path / "one" / "ms.tif"),)


def test_links_of_files_are_followed_and_addresses_are_not(tmp_path: Path) -> None:
    one = item("one", ms=asset((tmp_path / "m s.tif").as_uri(), *"rgb"), pan=asset("pan.tif", "pan"))
    (tmp_path / "item.json").write_text(json.dumps(one))
    hrefs = [(tmp_path / "item.json").as_uri(), "https://example.org/item.json"]
    links = [{"rel": "item", "href": href} for href in hrefs] + [{"rel": "item"}]
    (pair,) = table(tmp_path / "catalog.json", {"type": "Catalog", "links": links}).pairs
    assert pair.ms == (str(tmp_path / "m s.tif"),) and pair.pan == str(tmp_path / "pan.tif")


def test_assets_of_old_items_number_their_bands(tmp_path: Path) -> None:
    old = item(
        "old",
        pan={"href": "pan.tif", "eo:bands": [3]},
        ms={"href": "ms.tif", "eo:bands": [0, 1, 2]},
        lost={"href": "lost.tif", "eo:bands": [9]},
    )
    names = ("blue", "green", "red", "pan")
    old["properties"] = {"eo:bands": [{"name": name, "common_name": name} for name in names]}
    (pair,) = table(tmp_path / "item.json", old).pairs
    assert (Path(pair.ms[0]).name, Path(pair.pan).name) == ("ms.tif", "pan.tif")


@pytest.mark.parametrize(
    ("platform", "band", "masks", "used", "unused"),
    [
        ("landsat-8", "B{}", ("qa_pixel", "qa_radsat"), ["qa_pixel", "qa_radsat"], ""),
        ("LANDSAT_8", "OLI_B{}", ("QA_PIXEL", "udm2"), ["QA_PIXEL"], "udm2"),
        ("landsat-8", "{}th", ("qa_pixel",), [], "qa_pixel"),
        ("skysat", "B{}", ("udm2", "shadow"), [], "udm2, shadow"),
        ("", "B{}", ("qa_pixel",), [], "qa_pixel"),
    ],
)
def test_masks_are_used_where_their_values_are_known_and_named_where_not(
    platform: str, band: str, masks: tuple[str, ...], used: list[str], unused: str, tmp_path: Path
) -> None:
    assets: dict[str, Any] = {name: {"href": f"{name}.tif", "roles": ["cloud-shadow"]} for name in masks}
    for number, name in {2: "blue", 3: "green", 4: "red", 8: "pan"}.items():
        assets[name] = {"href": f"{number}.tif", "eo:bands": [{"name": band.format(number), "common_name": name}]}
    (pair,) = table(tmp_path / "item.json", item("x", **assets) | {"properties": {"platform": platform}}).pairs
    assert [Path(each).stem for each in pair.quality] == used
    assert [pair.ms_declared.nodata, pair.pan_declared.nodata] == [0 if used else None] * 2
    assert pair.notes == ((f"x: these assets are not used as masks: {unused}",) if unused else ())
    bits = [each.bits for each in pair.ms_declared.quality]
    assert bits == [(1, 1, 1), (2, 4, 8)][: len(used)]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "not a STAC"),
        ({"type": "Topology"}, "not a STAC"),
        (item("x", ms=asset("a", "red", "green", "blue")), "0 of its assets are panchromatic"),
        (item("x", pan=asset("p", "pan"), red=asset("r", "red")), "none of its assets holds many bands"),
        (
            item("x", pan=asset("p", "pan"), a=asset("a", *"rgb"), b=asset("b", *"rgb")),
            "several of its assets hold many bands: a, b",
        ),
        ({"type": "Catalog", "links": [{"rel": "child", "href": "stac.json"}]}, "no pair"),
    ],
)
def test_what_is_no_pair_is_said(document: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        table(tmp_path / "stac.json", document)
