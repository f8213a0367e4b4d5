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
        title: its name and source.
        fitter: makes the object that gathers scene statistics; None for the network, which adapts instead.
        looks_around: its result at a pixel depends on PAN beyond the pixel (a low-pass PAN, patches, convolutions).
        gathers: needs a pass over the scene before it can sharpen.
        planes: float32 images of the size of a tile that it holds at once, per band (memory plan).
        language: a CLIP judges the image while the network adapts.
        overlap: PAN pixels by which tiles overlap to be blended; 0 where tiles agree exactly.
    """

    title: str
    fitter: Callable[[], Fitter] | None
    looks_around: bool
    gathers: bool = True
    planes: int = 6
    overlap: int = 0
    language: bool = False


METHODS: dict[str, MethodSpec] = {
    "exp": MethodSpec("MS interpolated to the PAN grid", ExpFitter, looks_around=False, gathers=False, planes=4),
    "brovey": MethodSpec("Brovey transform, PAN matched to the intensity", BroveyFitter, looks_around=False),
    "gsa": MethodSpec("Gram-Schmidt adaptive (Aiazzi et al. 2007)", GsaFitter, looks_around=False),
    "mtf-glp-fs": MethodSpec(
        "MTF-GLP, full-scale regression gains (Vivone et al. 2018)", MtfGlpFsFitter, looks_around=True, planes=8
    ),
    "mtf-glp-hpm-r": MethodSpec(
        "MTF-GLP, high-pass modulation by regression (Vivone et al. 2018)",
        MtfGlpHpmRFitter,
        looks_around=True,
        planes=9,
    ),
    "bdsd-pc": MethodSpec(
        "Band-dependent spatial detail, physically constrained (Vivone 2019)", BdsdPcFitter, looks_around=False
    ),
    "sr-d": MethodSpec(
        "Sparse representation of details (Vicinanza et al. 2015)", SrDFitter, looks_around=True, planes=40
    ),
    "network": MethodSpec(
        "A network adapted to the scene, consistent with MS and PAN", None, looks_around=True, planes=20
    ),
    "clippan": MethodSpec(
        "The same, guided by language: CLIPPan (Jian et al. 2026)", None, looks_around=True, planes=20, language=True
    ),
}

DEFAULT_METHOD = "clippan"


def find_method(name: str) -> MethodSpec:
    """The method of a name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"--method {name}: {hint}the methods are {', '.join(METHODS)}")
