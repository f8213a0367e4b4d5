"""How a method of a suite makes an image: the one place that knows what stands behind its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clippan_cli.batch.record import Job, with_key
from clippan_cli.options.scene import read_options
from clippan_cli.options.sharpen import sharpen_options
from clippan_cli.running.control import Control
from clippan_cli.scene.files import SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.sharpen import sharpen
from clippan_cli.writing.options import OutputOptions
from clippan_models.methods.registry import find_method


def draws_at_random(method: str) -> bool:
    """Whether results differ from seed to seed.

    Raises:
        UsageError: there is no such method.
    """
    return find_method(method).learns


def key_of(files: SceneFiles, options: Mapping[str, Any]) -> str:
    """A hash of all that the image of a method follows from: files, options, version.

    Raises:
        ClippanError: the options are not possible.
    """
    return with_key(Job(files, read_options(options), _sharpening(Path("fused.tif"), options))).key


def make(files: SceneFiles, options: Mapping[str, Any], image: Path, control: Control) -> None:
    """Write the image of a method.

    Args:
        files: of the scene.
        options: of `sharpen`, by their names in Python.
        image: to write, or to replace.
        control: progress and the request to stop.

    Raises:
        ClippanError: the method failed; the image is then as it was before.
    """
    sharpen(files, read_options(options), _sharpening(image, options), control)


def _sharpening(image: Path, options: Mapping[str, Any]) -> SharpenOptions:
    return replace(
        sharpen_options(image, options), encoding=OutputOptions(driver="gtiff", overwrite=True), assess=False
    )
