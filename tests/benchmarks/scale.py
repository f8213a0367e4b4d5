"""A scene as large as wanted, made by repeating a small one: cost should grow with pixels only, memory not at all.

The large pair is a VRT, which takes no disk. The result does: 4 GB for 32768 x 32768 pixels and 4 bands, deflated.

--methods names methods, of which those that learn do so for three steps, and "fast", which is the preset.

Usage: python tests/benchmarks/scale.py --sides 8192,16384,32768 --methods brovey,gsa,fast --folder DISK
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import rasterio
from measure import CLIPPAN, measure, show, write_pair

REPEATED = 4096  # PAN pixels of the small scene


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", default="8192,16384,32768", help=f"multiples of {REPEATED}")
    parser.add_argument("--methods", default="brovey,gsa")
    parser.add_argument("--compress", default="deflate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where there is room for the results")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary)
        small = write_pair(folder, REPEATED)
        for side in map(int, arguments.sides.split(",")):
            ms, pan = (repeated(path, side // REPEATED) for path in small)
            for method in arguments.methods.split(","):
                out = folder / "out.tif"
                command = [
                    *(*CLIPPAN, "sharpen", str(ms), str(pan), "-o", str(out), "-q", "--no-quality", "--allow-vrt"),
                    *(("--preset", method) if method == "fast" else ("--method", method, "--steps", "3")),
                    *("--threads", str(arguments.threads)),
                    *("--of", "gtiff", "--compress", arguments.compress),
                ]
                figure = measure(command)
                out.unlink()
                rows.append(
                    {
                        "side": side,
                        "method": method,
                        "seconds": figure.seconds,
                        "CPU s": figure.cpu_seconds,
                        "CPU ns / pixel": 1e9 * figure.cpu_seconds / side**2,
                        "peak MB": figure.peak_mb,
                    }
                )
    show(f"a repeated scene, 4 bands uint16, {arguments.compress}", rows, as_json=arguments.json)


def repeated(path: Path, times: int) -> Path:
    """A VRT in which an image lies so many times side by side and below each other."""
    with rasterio.open(path) as image:
        side, bands, crs, transform = image.width, image.count, image.crs, image.transform.to_gdal()
    places = [(row * side, col * side) for row in range(times) for col in range(times)]
    vrt = path.with_name(f"{path.stem}_{times}.vrt")
    vrt.write_text(
        f'<VRTDataset rasterXSize="{side * times}" rasterYSize="{side * times}"><SRS>{crs.to_string()}</SRS>'
        f"<GeoTransform>{', '.join(map(repr, transform))}</GeoTransform>"
        + "".join(_band(path.name, band, side, places) for band in range(1, bands + 1))
        + "</VRTDataset>"
    )
    return vrt


def _band(name: str, band: int, side: int, places: list[tuple[int, int]]) -> str:
    whole = f'xSize="{side}" ySize="{side}"'
    sources = (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" {whole}/><DstRect xOff="{col}" yOff="{row}" {whole}/></SimpleSource>'
        for row, col in places
    )
    return f'<VRTRasterBand dataType="UInt16" band="{band}">{"".join(sources)}</VRTRasterBand>'


if __name__ == "__main__":
    main()
