"""What is known of the pixel values of a scene."""

from __future__ import annotations

from clippan_cli.rasters.metadata import read_metadata
from clippan_cli.scene.scene import Scene


def significant_bits(scene: Scene) -> int | None:
    """Significant bits of an MS value, by the file, else by the sensor; None where neither tells."""
    ms = scene.pair.ms
    dataset, index = ms.bands[0]
    by_file = read_metadata(ms.datasets[dataset], [index]).nbits
    return by_file or (scene.sensor.bits if scene.sensor.bands else None)
