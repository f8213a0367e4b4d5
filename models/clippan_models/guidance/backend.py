"""Imports open_clip, also beside a torchvision whose compiled operators cannot be loaded.

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
from functools import cache
from pathlib import Path
from types import ModuleType

import torch


@cache
def import_open_clip() -> ModuleType:
    """The package open_clip (about two seconds the first time)."""
    _declare_missing_operators()
    return importlib.import_module("open_clip")


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
