"""How a method of a suite makes an image: the one place that knows what stands behind its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from clippan_cli.batch.record import Job, with_key
from clippan_cli.bench.external import find_program, run_external
from clippan_cli.bench.suite import EXTERNAL, Method, is_external
from clippan_cli.options.scene import read_options
from clippan_cli.options.sharpen import sharpen_options
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.fingerprint import digest_of, pixels_of
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.packages import packages_of
from clippan_cli.tasks.sharpen import sharpen
from clippan_cli.writing.options import OutputOptions
from clippan_models.errors import ClippanError, InputError
from clippan_models.methods.registry import find_method


def absent(method: str) -> str | None:
    """Why a method cannot run on this machine, in a line; None where it can.

    Raises:
        UsageError: there is no such method.
    """
    if is_external(method):
        return find_program(method.removeprefix(EXTERNAL)).absent
    find_method(method)
    return None


def draws_at_random(method: str) -> bool:
    """Whether results differ from seed to seed.

    Raises:
        UsageError: there is no such method.
    """
    return not is_external(method) and find_method(method).learns


def sharpenings_of(methods: Iterable[Method], compute: Mapping[str, Any]) -> list[SharpenOptions]:
    """What methods make with `sharpen`; without those of others, and without those whose options are not possible."""
    found = []
    for method in methods:
        if not is_external(method.method):
            with suppress(ClippanError):  # its runs tell why
                found.append(_sharpening(Path("fused.tif"), {**compute, **method.options, "method": method.method}))
    return found


def key_of(files: SceneFiles, options: Mapping[str, Any]) -> str:
    """A hash of all that the image of a method follows from: files, options, version.

    Raises:
        ClippanError: the options are not possible.
    """
    method, own = _program(options)
    if method is not None:
        made = {"program": method, "version": find_program(method).version(), "options": own}
        return digest_of(made | {"pixels": pixels_of(files, ReadOptions())})
    return with_key(Job(files, read_options(options), _sharpening(Path("fused.tif"), options))).key


def packages_with(options: Mapping[str, Any]) -> dict[str, str]:
    """The packages of others that a method of a suite uses, with their versions."""
    return {} if is_external(str(options["method"])) else packages_of(_sharpening(Path("fused.tif"), options))


def make(files: SceneFiles, options: Mapping[str, Any], image: Path, control: Control) -> None:
    """Write the image of a method.

    Args:
        files: of the scene.
        options: of `sharpen`, by their names in Python; of a program of others, its own. The method is one of them.
        image: to write, or to replace.
        control: progress and the request to stop.

    Raises:
        ClippanError: the method failed; the image is then as it was before.
    """
    program, own = _program(options)
    if program is not None:
        if len(files.ms) > 1 or files.pan_tiles or not all(Path(name).is_file() for name in files.names):
            raise InputError(f"{program} needs MS in one file and PAN in one file; {', '.join(files.names)} are not")
        run_external(program, Path(files.ms[0]), Path(files.pan), image, own, control=control)
        return
    sharpen(files, read_options(options), _sharpening(image, options), control)


def _program(options: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The program of others that the method is, or None, and all options but the method."""
    method = str(options["method"])
    own = {name: value for name, value in options.items() if name != "method"}
    return (method.removeprefix(EXTERNAL) if is_external(method) else None), own


def _sharpening(image: Path, options: Mapping[str, Any]) -> SharpenOptions:
    return replace(
        sharpen_options(image, options), encoding=OutputOptions(driver="gtiff", overwrite=True), assess=False
    )
