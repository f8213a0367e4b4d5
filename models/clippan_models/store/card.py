"""The model card of a trained network: what it learned from, how, how well, and which scenes it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NO_LICENCE = "not stated; mind the licence of the images that it learned from"


@dataclass(frozen=True)
class CardBand:
    """One MS band.

    Attributes:
        name: as the sensor or the file calls it; empty where neither does.
        wavelength_nm: lower and upper edge; None where they are not known.
    """

    name: str = ""
    wavelength_nm: tuple[float, float] | None = None


@dataclass(frozen=True)
class ModelCard:
    """How a network was trained, as its file of weights says.

    Attributes:
        sensor: key of the sensor.
        bands: MS bands, in their order.
        bits: significant bits of a pixel value; 0 for floating point.
        ratio: PAN pixels per MS pixel.
        shifts: PAN pixels (down, right) by which each band of the (first) scene was off.
        mtf_gains: amplitude gain of each band's blur at the MS Nyquist frequency.
        clip: the CLIP of the language terms, with the SHA-256 of its weights; empty without one.
        prompts: texts by type of image.
        scenes: names of the scenes that it learned from; no paths and no pixels.
        validation: the loss and its parts on held-out patches, "before" and "after".
        loss: weights of the terms of the loss.
        steps: optimiser steps done.
        best_step: the step that the weights are from.
        seed: of everything drawn at random.
        started_from: SHA-256 of the weights that training began with; empty for random ones.
        version: of clippan.
        licence: of the weights.
    """

    sensor: str
    bands: tuple[CardBand, ...]
    bits: int
    ratio: float
    shifts: tuple[tuple[float, float], ...] = ()
    mtf_gains: tuple[float, ...] = ()
    clip: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    scenes: tuple[str, ...] = ()
    validation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    loss: Mapping[str, float] = field(default_factory=dict)
    steps: int = 0
    best_step: int = 0
    seed: int = 0
    started_from: str = ""
    version: str = ""
    licence: str = NO_LICENCE


def mismatch(card: ModelCard, scene: ModelCard) -> str | None:
    """How a scene differs from those that a network learned from, in a clause; None where it does not.

    The means and deviations of the scenes may differ: a network sees every scene normalised by its own.
    """
    if len(card.bands) != len(scene.bands):
        return f"they are for {len(card.bands)} MS bands, but the scene has {len(scene.bands)}"
    if card.sensor != scene.sensor:
        return (
            f"they are for the sensor {card.sensor}, but the scene is taken for one of {scene.sensor} "
            f"(name the sensor {card.sensor} if it is not)"
        )
    theirs, ours = _names(card.bands), _names(scene.bands)
    if all(theirs) and all(ours) and theirs != ours:
        what = "in another order than" if sorted(theirs) == sorted(ours) else "other than"
        return f"their bands {', '.join(theirs)} are {what} those of the scene, {', '.join(ours)}"
    if card.bits != scene.bits:
        return f"they are for {_depth(card.bits)}, but the scene has {_depth(scene.bits)}"
    if abs(card.ratio / scene.ratio - 1) > _RATIO_TOLERANCE:
        return f"they are for {card.ratio:.3g} PAN pixels per MS pixel, but the scene has {scene.ratio:.3g}"
    return None


_RATIO_TOLERANCE = 0.05


def _names(bands: Sequence[CardBand]) -> list[str]:
    return [band.name.lower() for band in bands]


def _depth(bits: int) -> str:
    return f"values of {bits} bits" if bits else "floating-point values"
