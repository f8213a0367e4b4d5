"""Imports open_clip, also beside a torchvision whose compiled operators cannot be loaded, and without what it need not.

open_clip imports transformers, where it is installed, and timm: up to half of the time of a first run, for text and
image towers that clippan refuses (`encoder`). Here it does without them. This open_clip is clippan's own: who else
imports it in this process gets a complete one.

open_clip imports torchvision for its transforms. A build of torchvision that does not match that of torch (one for CUDA
beside a CPU torch, the usual accident) fails on import, because it describes operators that its library should have
defined: "operator torchvision::nms does not exist". CLIP uses none of them. So where the library cannot be loaded,
their names are declared without an implementation; calling one raises an error that says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

_UNUSED = ("transformers", "timm")


@cache
def import_open_clip() -> ModuleType:
    """The package open_clip (about a second the first time); what somebody has imported before is taken as it is."""
    if (complete := sys.modules.get("open_clip")) is not None:
        return complete
    _declare_missing_operators()
    with _hidden(_UNUSED):
        package = importlib.import_module("open_clip")
    for name in [name for name in sys.modules if name.partition(".")[0] == "open_clip"]:
        del sys.modules[name]
    return package


@contextmanager
def _hidden(names: Iterable[str]) -> Iterator[None]:
    """Within the block, packages that are not yet imported cannot be."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: as if it were not there
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


_DECLARED: list[torch.library.Library] = []  # declarations live as long as these objects


def _declare_missing_operators() -> None:
    spec = importlib.util.find_spec("torchvision")
    if "torchvision" in sys.modules or spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent
    libraries = [*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]
    if any(_loads(path) for path in libraries):
        return
    described = folder / "_meta_registrations.py"
    names = re.findall(r'register_fake\("torchvision::(\w+)"\)', described.read_text()) if described.exists() else []
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in names:
        library.define(f"{name}(Tensor a) -> Tensor")  # type: ignore[no-untyped-call]
    _DECLARED.append(library)


def _loads(path: Path) -> bool:
    try:
        torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return True
