"""What clippan can do, by name: the sharpening methods."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from clippan_models.classical.bdsd_pc import BdsdPcFitter
from clippan_models.classical.brovey import BroveyFitter
from clippan_models.classical.exp import ExpFitter
from clippan_models.classical.gsa import GsaFitter
from clippan_models.classical.mtf_glp import MtfGlpFsFitter, MtfGlpHpmRFitter
from clippan_models.classical.sr_d import SrDFitter
from clippan_models.contracts import Fitter
from clippan_models.errors import UsageError


@dataclass(frozen=True)
class MethodSpec:
    """What the tiler and the user must know of a method.

    Attributes:
        fitter: makes the object that gathers scene statistics; None for the network, which adapts instead.
        looks_around: its result at a pixel depends on PAN beyond the pixel (a low-pass PAN, patches, convolutions).
        gathers: needs a pass over the scene before it can sharpen.
        planes: float32 images of the size of a tile that it holds at once, per band (memory plan).
        language: a CLIP judges the image while the network adapts.
    """

    fitter: Callable[[], Fitter] | None
    looks_around: bool
    gathers: bool = True
    planes: int = 6
    language: bool = False


METHODS: dict[str, MethodSpec] = {
    "exp": MethodSpec(ExpFitter, looks_around=False, gathers=False, planes=4),
    "brovey": MethodSpec(BroveyFitter, looks_around=False),
    "gsa": MethodSpec(GsaFitter, looks_around=False),
    "mtf-glp-fs": MethodSpec(MtfGlpFsFitter, looks_around=True, planes=8),
    "mtf-glp-hpm-r": MethodSpec(MtfGlpHpmRFitter, looks_around=True, planes=9),
    "bdsd-pc": MethodSpec(BdsdPcFitter, looks_around=False),
    "sr-d": MethodSpec(SrDFitter, looks_around=True, planes=40),
    "network": MethodSpec(None, looks_around=True, planes=20),
    "clippan": MethodSpec(None, looks_around=True, planes=20, language=True),
}


def find_method(name: str) -> MethodSpec:
    """The method of a name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"{name}: {hint}the methods are {', '.join(METHODS)}", "method")
