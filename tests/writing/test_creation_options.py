"""Are options for the file obeyed, or refused before the work?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from clippan_cli.writing import grid as output_grid
from clippan_cli.writing import rehearsal
from clippan_cli.writing.grid import needs_bigtiff
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_cli.writing.rehearsal import available_compressions, check_encoding
from clippan_cli.writing.writer import SafeWriter
from clippan_models.errors import UsageError
from tests.writing.images import DRIVERS, fill, grid_of, half_valid, names_in, pixels_of, save


def test_every_compression_that_gdal_offers_works(tmp_path: Path) -> None:
    assert {"none", "deflate", "lzw"} <= set(available_compressions())
    for name in available_compressions():
        options = OutputOptions("gtiff", compress=name.upper(), overwrite=True)
        data, _ = save(tmp_path / "out.tif", grid_of(300, 200, dtype="uint8"), options)
        with rasterio.open(tmp_path / "out.tif") as dataset:
            found = dataset.compression.name if dataset.compression else "none"
            assert found == name
            assert name in ("jpeg", "webp", "jxl") or np.array_equal(dataset.read(), data)


@pytest.mark.parametrize(("name", "said"), [("zstd", "this GDAL cannot write compression 'zstd'"), ("zst", "unknown")])
def test_a_compression_that_gdal_lacks_is_told_from_one_that_nobody_knows(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "_gdal_can_write", lambda compression: compression.lower() in ("none", "deflate"))
    with pytest.raises(UsageError, match=f"{said}.*; GDAL offers here: none, deflate$"):
        check_encoding(grid_of(), OutputOptions(compress=name))


@pytest.mark.parametrize(
    ("driver", "compress", "level"),
    [
        ("gtiff", "deflate", "ZLEVEL"),
        ("gtiff", "zstd", "ZSTD_LEVEL"),
        ("cog", "deflate", "LEVEL"),
        ("cog", "zstd", "LEVEL"),
    ],
)
def test_files_are_compressed_at_the_fast_level_unless_the_user_wants_another(
    tmp_path: Path, driver: Driver, compress: str, level: str
) -> None:
    if compress not in available_compressions():
        pytest.skip(f"this GDAL has no {compress}")
    grid = grid_of(dtype="uint8")
    data = pixels_of(grid) // 32
    sizes = []
    for creation in ((), ((level, "1"),), ((level, "9"),)):
        options = OutputOptions(driver, compress, creation, overwrite=True)
        with SafeWriter(tmp_path / "out.tif", grid, options) as writer:
            fill(writer, grid, data)
            sizes.append(writer.commit())
    assert sizes[0] == sizes[1] != sizes[2]


@pytest.mark.parametrize("co", [("COMPRESS", "JPEG"), ("QUALITY", "60"), ("MAX_Z_ERROR", "5")])
def test_lossy_cog_is_read_back_without_comparing_pixels(tmp_path: Path, co: tuple[str, str]) -> None:
    compress = {"MAX_Z_ERROR": "lerc", "QUALITY": "webp"}.get(co[0], "deflate")
    if compress not in available_compressions():
        pytest.skip(f"this GDAL has no {compress}")
    grid = grid_of(dtype="uint8", mask=True)
    data, _ = save(tmp_path / "out.tif", grid, OutputOptions("cog", compress, (co,)), half_valid(grid))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert not np.array_equal(dataset.read(), data)
        assert np.array_equal(dataset.dataset_mask() > 0, half_valid(grid))


@pytest.mark.parametrize("driver", DRIVERS)
def test_creation_options_of_the_user_win(tmp_path: Path, driver: Driver) -> None:
    extras = {"gtiff": (("blockxsize", "256"), ("BLOCKYSIZE", "256")), "cog": (("BLOCKSIZE", "256"),)}[driver]
    save(tmp_path / "out.tif", grid_of(), OutputOptions(driver, "deflate", (*extras, ("compress", "lzw"))))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.compression.name == "lzw"
        assert dataset.block_shapes[0] == (256, 256)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"compress": "zip"}, "GDAL offers here: none, deflate"),
        ({"compress": "jpeg"}, "uint16"),
        ({"creation_options": (("COMPRES", "LZW"),)}, "COMPRES"),
        ({"creation_options": (("PREDICTOR", "7"),)}, "7"),
        ({"creation_options": (("BIGTIFF", "PERHAPS"),)}, "PERHAPS"),
        ({"creation_options": (("COMPRESS", "zip"),)}, "(?i)zip"),
    ],
)
def test_options_that_gdal_does_not_know_are_refused_before_the_work(
    tmp_path: Path, driver: Driver, options: dict[str, Any], named: str
) -> None:
    with (
        pytest.raises(UsageError, match=named),
        SafeWriter(tmp_path / "o.tif", grid_of(), OutputOptions(driver, **options)),
    ):
        pass
    assert names_in(tmp_path) == []
    with pytest.raises(UsageError, match=named):
        check_encoding(grid_of(), OutputOptions(driver, **options))


def test_options_that_change_the_grid_are_refused(tmp_path: Path) -> None:
    options = OutputOptions("cog", creation_options=(("TILING_SCHEME", "GoogleMapsCompatible"),))
    with pytest.raises(UsageError, match="TILING_SCHEME"), SafeWriter(tmp_path / "o.tif", grid_of(), options):
        pass


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"nodata": -9999.0}, "-9999"),
        ({"nodata": 0.5}, "0.5"),
        ({"nodata": float("nan")}, "nan"),
        ({"nbits": 17}, "17"),
        ({"nbits": 11, "nodata": 4000.0}, "4000"),
        ({"dtype": "float32", "nbits": 11}, "float32"),
        ({"dtype": "complex64"}, "complex64"),
        ({"width": 0}, "empty"),
    ],
)
def test_impossible_grids_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        grid_of(**changes)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UsageError, match="png"):
        OutputOptions("png")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 threads"):
        OutputOptions(threads=0)


def test_bigtiff_is_chosen_by_the_uncompressed_size_with_overviews() -> None:
    assert not needs_bigtiff(grid_of(10_000, 10_000, 4, "uint8"))
    assert needs_bigtiff(grid_of(10_000, 10_000, 8, "uint16"))
    assert not needs_bigtiff(grid_of(13_600, 13_600, 4, "uint16"))  # 1.97 GB with overviews
    assert needs_bigtiff(grid_of(13_800, 13_800, 4, "uint16"))  # 1.5 GB without, 2.03 GB with them


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("limit", "version"), [(0, 43), (10**12, 42)])
def test_bigtiff_reaches_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: Driver, limit: int, version: int
) -> None:
    monkeypatch.setattr(output_grid, "_BIGTIFF_ABOVE_BYTES", limit)
    save(tmp_path / "out.tif", grid_of(), OutputOptions(driver))
    assert (tmp_path / "out.tif").read_bytes()[2] == version
