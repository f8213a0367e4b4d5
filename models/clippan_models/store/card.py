"""The model card of a trained network: what it learned from, how, how well, and which scenes it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

NO_LICENCE = "not stated; mind the licence of the images that it learned from"


Finite = Annotated[float, Meta(ge=-1e30, le=1e30)]
Wavelength = Annotated[float, Meta(gt=0, le=1e6)]
Count = Annotated[int, Meta(ge=0, le=10**9)]


@dataclass(frozen=True)
class CardBand:
    """One MS band.

    Attributes:
        name: as the sensor or the file calls it; empty where neither does.
        wavelength_nm: lower and upper edge; None where they are not known.
    """

    name: str = ""
    wavelength_nm: tuple[Wavelength, Wavelength] | None = None


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
    bits: Annotated[int, Meta(ge=0, le=64)]
    ratio: Annotated[float, Meta(gt=0, le=1e3)]
    shifts: tuple[tuple[Finite, Finite], ...] = ()
    mtf_gains: tuple[Annotated[float, Meta(ge=0, le=1)], ...] = ()
    clip: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    scenes: tuple[str, ...] = ()
    validation: Mapping[str, Mapping[str, Finite]] = field(default_factory=dict)
    loss: Mapping[str, Finite] = field(default_factory=dict)
    steps: Count = 0
    best_step: Count = 0
    seed: int = 0
    started_from: str = ""
    version: str = ""
    licence: str = NO_LICENCE


def flaw(card: ModelCard, bands: int) -> str | None:
    """What contradicts something else in the card of a network for so many bands, in a clause; None: nothing does."""
    per_band = {"bands": card.bands, "shifts": card.shifts or card.bands, "MTF gains": card.mtf_gains or card.bands}
    for what, values in per_band.items():
        if len(values) != bands:
            return f"its card has {len(values)} {what}, its network {bands} bands"
    if card.best_step > card.steps:
        return f"its card says that the weights are of step {card.best_step} of {card.steps}"
    if any(band.wavelength_nm and band.wavelength_nm[0] > band.wavelength_nm[1] for band in card.bands):
        return "its card has a band that ends before it begins"
    return None


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
