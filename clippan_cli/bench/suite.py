"""A suite: which scenes, which methods with which options and seeds, and which indices; read from a TOML file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from clippan_cli.bench.patterns import scenes_of
from clippan_cli.options.compute import ComputeFlags
from clippan_cli.options.flags import options_of
from clippan_cli.options.learning import MethodFlags
from clippan_cli.options.scene import ReadFlags, trust
from clippan_cli.options.sharpen import LearningFlags
from clippan_cli.products.finding import find_scenes
from clippan_cli.running.control import Control
from clippan_cli.scene.files import SceneFiles
from clippan_models.errors import ClippanError, UsageError, shown, unknown_name
from clippan_models.metrics.catalogue import INDICES
from clippan_models.outside import read_toml

Entry = TypeVar("Entry")

DEFAULT_INDICES = ("Q2n", "SAM", "ERGAS", "PSNR", "SSIM", "SCC", "D_lambda_K", "D_s", "HQNR", "QNR")
_FILE_OPTIONS = ("weights", "prompts", "clip", "sensor")
"""Options that can name a file, which is looked for beside the suite."""
_NAME = re.compile(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]*")
"""A name that a folder can have."""


EXTERNAL = "external:"
"""Begins the name of a program of others."""


def is_external(method: str) -> bool:
    """Whether a program of others stands behind a name; its options are its own."""
    return method.startswith(EXTERNAL)


class MethodOptions(MethodFlags, LearningFlags, ReadFlags, ComputeFlags, total=False):
    """The options of `sharpen` that a method of a suite can have."""


@dataclass(frozen=True)
class Scene:
    """A scene of a suite: a pair of files or of an archive, an image of which a pair is simulated, or a generated one.

    Attributes:
        name: unique.
        ms: rasters of MS.
        pan: the raster of PAN.
        truth: the raster of the truth, or None.
        archive: a folder, a product or a table whose scenes are taken, each as one, or None.
        image: a sharp image that becomes the truth of a simulated pair, or None.
        synthetic: the seed of a generated scene, or None.
        ratio: PAN pixels per MS pixel of a simulated pair.
        side: PAN pixels along an edge of a generated scene.
        options: of reading, by their names in Python.
        files: that were found in the archive.
    """

    name: str
    ms: tuple[str, ...] = ()
    pan: str = ""
    truth: str | None = None
    archive: str | None = None
    image: str | None = None
    synthetic: int | None = None
    ratio: int = 4
    side: int = 256
    options: dict[str, Any] = field(default_factory=dict)
    files: SceneFiles | None = None

    def __post_init__(self) -> None:
        others = (self.archive, self.image, self.synthetic)
        if bool(self.ms and self.pan) + sum(other is not None for other in others) != 1:
            raise UsageError("give ms and pan, or archive, or image, or synthetic")
        if self.synthetic is not None and self.ratio != 4:
            raise UsageError("a generated scene has the ratio 4")
        if not 2 <= self.ratio <= 16:
            raise UsageError(f"ratio {self.ratio} is not from 2 to 16")

    @property
    def has_truth(self) -> bool:
        """Whether the truth is known."""
        named = self.truth if self.files is None else self.files.reference
        return named is not None or self.image is not None or self.synthetic is not None


@dataclass(frozen=True)
class Method:
    """A method of a suite.

    Attributes:
        name: in the tables; unique.
        method: of `sharpen`; the name, if not given.
        seeds: a run for each.
        options: of `sharpen`, by their names in Python.
    """

    name: str
    method: str = ""
    seeds: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """An image that other code has made of a scene."""

    method: str
    scene: str
    file: str


@dataclass(frozen=True)
class Metrics:
    """What is compared.

    Attributes:
        names: of the indices, in the order of the tables.
        border: PAN pixels along the edge that scores against the truth leave out.
        peak: largest possible DN, for PSNR and SSIM; None: as `assess` finds it.
        align: move the image to where the truth lies, by less than a pixel, before they are compared.
    """

    names: tuple[str, ...] = DEFAULT_INDICES
    border: int = 0
    peak: float | None = None
    align: bool = False

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in INDICES:
                raise unknown_name("index", name, tuple(INDICES))
        if self.border < 0:
            raise UsageError(f"border {self.border} is below 0")


@dataclass(frozen=True)
class Suite:
    """All of a suite.

    Attributes:
        title: of the tables and the page.
        scenes: in the order of the file.
        methods: the first one is compared with each other.
        results: images of other code.
        metrics: what is compared.
        error_maps: scenes with truth of which the page shows where each method is wrong.
    """

    title: str
    scenes: tuple[Scene, ...]
    methods: tuple[Method, ...]
    results: tuple[Result, ...] = ()
    metrics: Metrics = Metrics()
    error_maps: tuple[str, ...] = ()


def read_suite(path: Path, results: Path | None = None, control: Control | None = None) -> Suite:
    """Read a suite.

    Args:
        path: the TOML file.
        results: a folder with images of other code, named SCENE_METHOD.tif, or None.
        control: progress and the request to stop, while archives are searched.

    Raises:
        UsageError: it is not a suite; names the entry.
        InputError: no file fits a pattern, or an archive holds no pair.
        Interrupted: a signal asked to stop.
    """
    table = read_toml(path, "suite")
    try:
        return _suite(table, path.absolute(), results, control or Control())
    except UsageError as error:
        raise UsageError(f"suite {shown(path)}: {error}") from error


def _suite(table: dict[str, Any], path: Path, results: Path | None, control: Control) -> Suite:
    folder = path.parent
    known = ("title", "seeds", "scene", "method", "result", "metrics", "error_maps")
    for key in table:
        if key not in known:
            raise unknown_name("key", key, known)
    entries = [each for one in _tables(table, "scene") for each in scenes_of(one, folder)]
    scenes = tuple(scene for each in entries for scene in _scenes(each, folder, control))
    seeds = table.get("seeds", [0])
    methods = tuple(
        _entry(Method, "method", {"method": each.get("name"), "seeds": seeds, **each}, MethodOptions, folder)
        for each in _tables(table, "method")
    )
    named = [{**each, "file": str(folder / str(each.get("file")))} for each in _tables(table, "result")]
    images = [_entry(Result, "result", each) for each in named]
    if results is not None:
        images += _found(results, [scene.name for scene in scenes])
    suite = Suite(
        str(table.get("title", path.stem)),
        scenes,
        methods,
        tuple(images),
        _entry(Metrics, "metrics", table.get("metrics", {})),
        _error_maps(table, scenes),
    )
    _check(suite)
    return suite


def _error_maps(table: dict[str, Any], scenes: Sequence[Scene]) -> tuple[str, ...]:
    """The scenes whose error maps are wanted; the first one with truth where the suite does not say."""
    usual = [scene.name for scene in scenes if scene.has_truth][:1]
    try:
        return msgspec.convert(table.get("error_maps", usual), tuple[str, ...])
    except msgspec.ValidationError as error:
        raise UsageError(f"error_maps names scenes: {error}") from error


def _scenes(table: dict[str, Any], folder: Path, control: Control) -> list[Scene]:
    """The scene of a table, or those of the archive that it names."""
    scene = _entry(Scene, "scene", {"name": "", **table} if "archive" in table else table, ReadFlags, folder)
    if scene.archive is None:
        return [scene]
    pairs = find_scenes(Path(scene.archive), trust(scene.options), control).checked(Path(scene.archive)).pairs
    if len(pairs) == 1 and scene.name:
        return [replace(scene, files=pairs[0])]
    return [replace(scene, name=f"{scene.name} {pair.id}".strip(), files=pair) for pair in pairs]


def _check(suite: Suite) -> None:
    """Refuse what would fail or be mixed up later.

    Raises:
        UsageError: there is nothing to do, a name that is there twice or is none, or no such scene.
    """
    if not suite.scenes or not (suite.methods or suite.results):
        raise UsageError("it needs at least one [[scene]] and one [[method]] or result")
    names = [scene.name for scene in suite.scenes]
    methods = [method.name for method in suite.methods]
    pairs = [f"{result.scene}, {result.method}" for result in suite.results]
    for what, given in (("scene", names), ("method", methods), ("result", pairs)):
        for one in given:
            if given.count(one) > 1:
                raise UsageError(f"there are two {what}s called {one}")
    for name in (*names, *methods, *(result.method for result in suite.results)):
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a folder; choose a name without / and a dot in front")
    for name in (*suite.error_maps, *(result.scene for result in suite.results)):
        if name not in names:
            raise unknown_name("scene", name, names)
    for scene in suite.scenes:
        if scene.name in suite.error_maps and not scene.has_truth:
            raise UsageError(f"scene {scene.name} has no truth: take it out of error_maps")
    for result in suite.results:
        if result.method in methods:
            raise UsageError(f"{result.method} is the name of a method and of a result; rename one of them")


def _found(folder: Path, scenes: Sequence[str]) -> list[Result]:
    """The images of a folder named SCENE_METHOD.tif.

    Raises:
        UsageError: there is none.
    """
    found = []
    for file in sorted(each for each in folder.glob("*") if each.suffix.lower() in (".tif", ".tiff")):
        fitting = [name for name in scenes if file.stem.startswith(f"{name}_")]
        if fitting:
            scene = max(fitting, key=len)
            found.append(Result(file.stem.removeprefix(f"{scene}_"), scene, str(file.absolute())))
    if not found:
        raise UsageError(f"{shown(folder)} holds no file named SCENE_METHOD.tif; scenes are {', '.join(scenes)}")
    return found


def _tables(table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UsageError(f"{key} must be tables: [[{key}]]")
    return found


def _entry(
    kind: type[Entry],
    what: str,
    table: dict[str, Any],
    group: type[Mapping[str, Any]] | None = None,
    folder: Path | None = None,
) -> Entry:
    """A table as what it stands for; keys that are no attributes are options of a group."""
    own = {each.name for each in fields(kind)} - {"options", "files"}  # type: ignore[arg-type]
    options = {key: value for key, value in table.items() if key not in own}
    known = [each.name for each in options_of(group)] if group is not None else []
    label = f"{what} {table['name']}" if "name" in table else what
    try:
        for key in options:
            if key not in known and not is_external(str(table.get("method"))):
                raise unknown_name("option", key, [*sorted(own), *known])
        for key in _FILE_OPTIONS:
            if folder is not None and isinstance(options.get(key), str) and (folder / options[key]).is_file():
                options[key] = str(folder / options[key])
        made = {key: value for key, value in table.items() if key in own} | ({"options": options} if group else {})
        return msgspec.convert(made, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{label}: {error}") from error
    except ClippanError as error:
        raise UsageError(f"{label}: {error}") from error
