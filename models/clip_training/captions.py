"""Captions of images for the training of the embedded CLIP, and how far a caption fits another image.

The prompts used at run time, those of CLIPPan and of its Table 5, are among the captions word by word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clippan_models.guidance.prompts import PROMPTS

MS_PROMPT, PAN_PROMPT, WALD_PROMPT = PROMPTS["wald"].texts()
FUSION_PROMPTS = (PROMPTS["i"].hrms, PROMPTS["ii"].hrms)
"""Descriptions I and II of Table 5: true of every fused product, the good as well as the poor."""

STRENGTHS = ("slight", "moderate", "strong")
"""How far a fault goes; its caption says so by an adverb."""

CONTENTS = ("vegetation", "water", "buildings", "bare soil", "clouds")
"""What a crop mostly shows, judged by its spectral indices."""

DEGRADATION_PROMPTS = {
    "blur": "a blurred image",
    "band-blur": "an image in which single bands are blurred",
    "bleeding": "an image with colours that bleed over edges",
    "colours": "an image with wrong colours, spectrally inconsistent with the original data",
    "cast": "an image with a colour cast",
    "misregistration": "an image with misregistered bands",
    "ghosts": "an image with ghosting and double edges",
    "noise": "a noisy image",
    "aliasing": "an image with aliasing and staircase edges",
    "halos": "an over-sharpened image with halos",
    "seams": "an image with visible tile seams",
    "substitution": "a component-substitution fusion with spectral distortion",
}
"""One plain caption a fault; by these the held-out report asks which fault it sees."""

_PHRASES = {
    "ms": (
        MS_PROMPT,
        MS_PROMPT,
        "a low-resolution multispectral image",
        "an upsampled multispectral image",
        "a multispectral image interpolated to the panchromatic grid",
        "an LRMS image, spectrally faithful but not sharp",
        "the EXP image",
    ),
    "pan": (
        PAN_PROMPT,
        PAN_PROMPT,
        "a PAN image",
        "a grayscale panchromatic image of high resolution",
        "a single-band image, sharp and without colour",
    ),
    "hrms": (
        WALD_PROMPT,
        WALD_PROMPT,
        WALD_PROMPT,
        WALD_PROMPT,
        PROMPTS["khan"].hrms,
        "a sharp pansharpened image with true colours",
        "a high-resolution multispectral image",
        "an HRMS image, spectrally consistent and spatially sharp",
        "the reference image: sharp and with the original colours",
        *FUSION_PROMPTS,
    ),
    "fused": (
        *FUSION_PROMPTS,
        "a pansharpened image",
        "a classical fusion of the MS and PAN images",
        "a multiresolution fusion, rather sharp and with almost true colours",
    ),
    "independent": (
        PROMPTS["noise"].hrms,
        "an image that has nothing to do with the scene",
        "random noise, not a scene",
    ),
    "blur": (DEGRADATION_PROMPTS["blur"], "a {} blurred image", "a {} unsharp pansharpened image"),
    "band-blur": (
        DEGRADATION_PROMPTS["band-blur"],
        "a pansharpened image with {} blurred bands beside sharp ones",
        "an image, some bands of which are {} unsharp",
    ),
    "bleeding": (
        DEGRADATION_PROMPTS["bleeding"],
        "a sharp image with {} smeared colours",
        "a pansharpened image, its colours {} bleeding into each other",
    ),
    "colours": (
        DEGRADATION_PROMPTS["colours"],
        "an image with {} wrong colours",
        "a fused image with {} distorted colours",
        "a {} spectrally inconsistent image",
    ),
    "cast": (DEGRADATION_PROMPTS["cast"], "a {} tinted image", "an image with a colour cast, {} unbalanced bands"),
    "misregistration": (
        DEGRADATION_PROMPTS["misregistration"],
        "an image with {} misregistered bands",
        "colour fringes along edges: bands {} shifted against each other",
    ),
    "ghosts": (
        DEGRADATION_PROMPTS["ghosts"],
        "an image with {} visible ghosts",
        "a fusion with {} shifted detail and double edges",
    ),
    "noise": (DEGRADATION_PROMPTS["noise"], "a {} noisy image", "a fused image with {} amplified noise"),
    "aliasing": (
        DEGRADATION_PROMPTS["aliasing"],
        "a {} aliased image",
        "a {} blocky image with staircase edges",
    ),
    "halos": (
        DEGRADATION_PROMPTS["halos"],
        "a {} over-sharpened image",
        "an image with {} exaggerated edges and ringing halos",
    ),
    "seams": (
        DEGRADATION_PROMPTS["seams"],
        "a mosaic with {} visible tile seams",
        "an image with a step in brightness along a line, {} visible",
    ),
    "substitution": (
        DEGRADATION_PROMPTS["substitution"],
        "a Brovey or IHS fusion, sharp, its colours {} distorted",
        "a component-substitution fusion with {} changed colours",
    ),
}
_ADVERBS = (("slightly", "a little"), ("moderately", "clearly"), ("strongly", "heavily"))
_PLACES = ("{} of {}", "{}, showing {}", "{} over {}")
_SENSORS = ("{} from a satellite", "{}, GaoFen-2", "{}, WorldView", "{}, QuickBird", "{} at 0.5 m", "{} at 2 m")

# How far the caption of one kind fits an image of another. Written once for each pair.
_RELATED = {("blur/strong", "ms"): 0.4, ("blur/moderate", "ms"): 0.2, ("fused", "hrms"): 0.3}
_FITS_SLIGHT = 0.15  # a slight fault is still nearly a reference image
_FITS_ADJACENT, _FITS_FAR = 0.4, 0.15  # the same fault, one or two steps stronger
_OTHER_CONTENT = 0.25  # the caption names what the crop does not mostly show


@dataclass(frozen=True)
class Caption:
    """A text with what it claims.

    Attributes:
        text: what the tokenizer gets.
        key: the attribute: "ms", "pan", "hrms", "fused", "independent", or a fault and its strength, "blur/strong".
        content: what it says the image shows, one of `CONTENTS`, or nothing.
    """

    text: str
    key: str
    content: str | None = None


def kinds() -> tuple[str, ...]:
    """All families of images."""
    return tuple(_PHRASES)


def describe(key: str, content: str | None, rng: np.random.Generator) -> Caption:
    """Draw a caption for an image with this attribute key that mostly shows `content` (None: unknown)."""
    family, _, strength = key.partition("/")
    phrase = _PHRASES[family][rng.integers(len(_PHRASES[family]))]
    if strength:
        adverbs = _ADVERBS[STRENGTHS.index(strength)]
        phrase = phrase.format(adverbs[rng.integers(2)])
    # The paper's long prompts stay as they are: they are what run time asks, and would not fit the context otherwise.
    if len(phrase) > 80 or rng.random() < 0.55:
        return Caption(phrase, key)
    if content is None or rng.random() < 0.25:
        return Caption(_SENSORS[rng.integers(len(_SENSORS))].format(phrase), key)
    return Caption(_PLACES[rng.integers(len(_PLACES))].format(phrase, content), key, content)


def dominant_content(reflectance: Tensor) -> str:
    """What a crop mostly shows, from its mean NDWI, NDVI and brightness.

    Args:
        reflectance: `[4, H, W]` of B, G, R, NIR in any linear unit, the same for all bands, zero meaning dark.
    """
    blue, green, red, nir = (float(v) for v in reflectance.mean((1, 2)).clamp(min=1e-6))
    ndvi, ndwi = (nir - red) / (nir + red), (green - nir) / (green + nir)
    brightness = (blue + green + red) / 3
    if ndwi > 0.2:
        return "water"
    if ndvi > 0.4:
        return "vegetation"
    if brightness > 0.8 * max(nir, red) and blue > 0.9 * red and float(reflectance.std()) < 0.25 * brightness:
        return "clouds"
    return "bare soil" if red > 1.35 * blue and nir > red else "buildings"


def affinity(image_keys: list[str], image_contents: list[str | None], captions: list[Caption]) -> Tensor:
    """How far each caption fits each image, `[images, captions]`, 0 .. 1.

    An equal key fits fully, which makes repeated captions each other's positives. Neighbouring strengths, a strong
    blur and an interpolated MS, a good fusion and the reference fit in part.
    """
    table = {(a, b): _fit(a, b) for a in set(image_keys) for b in {c.key for c in captions}}
    rows = [
        [
            table[key, caption.key] * (1.0 if content is None or caption.content in (None, content) else _OTHER_CONTENT)
            for caption in captions
        ]
        for key, content in zip(image_keys, image_contents, strict=True)
    ]
    return torch.tensor(rows)


def _fit(one: str, other: str) -> float:
    if one == other:
        return 1.0
    family, _, strength = one.partition("/")
    other_family, _, other_strength = other.partition("/")
    if family == other_family:
        steps = abs(STRENGTHS.index(strength) - STRENGTHS.index(other_strength))
        return _FITS_ADJACENT if steps == 1 else _FITS_FAR
    if {one, other} >= {"hrms"} and "slight" in (strength, other_strength):
        return _FITS_SLIGHT
    return _RELATED.get((one, other), _RELATED.get((other, one), 0.0))
