"""Imports open_clip, also beside a torchvision whose compiled operators cannot be loaded, and without what it need not.

open_clip imports transformers, where it is installed, and timm, for text and image towers that clippan refuses
(`encoder`): more than half of the time of the import, up to 7 s. Here it does without them. This open_clip is clippan's
own: whoever imports it afterwards gets another, complete one, whose classes are not the same. So what clippan makes
with its own cannot be pickled.

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
import threading
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

import torch

_UNUSED = ("transformers", "timm")
_ONE_AT_A_TIME = threading.Lock()


def import_open_clip() -> ModuleType:
    """The package open_clip (one to five seconds the first time); what somebody has imported before is taken as it is.

    A thread that imports it at the same moment, by itself, shares clippan's.
    """
    with _ONE_AT_A_TIME:
        return _open_clip()


@cache
def _open_clip() -> ModuleType:
    if "open_clip" in sys.modules:
        return importlib.import_module("open_clip")  # which waits for a thread that has not finished
    _declare_missing_operators()
    absent = _AbsentHere()
    sys.meta_path.insert(0, absent)
    try:
        return importlib.import_module("open_clip")
    finally:
        sys.meta_path.remove(absent)
        for name in list(sys.modules):
            if name.partition(".")[0] == "open_clip":
                sys.modules.pop(name, None)


class _AbsentHere(MetaPathFinder):
    """To this thread, packages that clippan does without, and that nobody has imported yet, are not installed."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname in _UNUSED and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"clippan does without {fullname}", name=fullname)


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
