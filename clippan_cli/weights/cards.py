"""Weights of a network in a file: what their card says, and whether they fit a scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clippan_cli import __version__
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import WEIGHTS_SENSOR
from clippan_cli.scene.estimation import Estimate
from clippan_cli.scene.scene import Scene
from clippan_cli.scene.values import significant_bits
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.scene import Guide
from clippan_models.adaptation.trainer import Adapted
from clippan_models.errors import OutputError, WeightsError, shown
from clippan_models.networks.registry import find_backbone
from clippan_models.sensors.guess import GENERIC
from clippan_models.store.card import CardBand, ModelCard, mismatch
from clippan_models.store.checkpoint import Checkpoint, Normalisation, load_checkpoint, save_checkpoint

_BITS = {"uint8": 8, "uint16": 16, "int16": 15}


@dataclass(frozen=True)
class WeightsInfo:
    """What is known of a file of weights.

    Attributes:
        path: the file.
        sha256: of its bytes.
        backbone: name of the network.
        version: of that backbone.
        bands: number of MS bands.
        parameters: number of weights that are learned.
        normalisation: means and deviations of what it learned from, or None.
        about: what else the file says.
        card: how it was trained and how well; None for weights from elsewhere.
    """

    path: Path
    sha256: str
    backbone: str
    version: int
    bands: int
    parameters: int
    normalisation: Normalisation | None
    about: dict[str, str]
    card: ModelCard | None

    def lines(self) -> list[tuple[str, str]]:
        """All of it for people: a heading and a text for each line."""
        lines = [
            ("parameters", f"{self.parameters:,}; version {self.version} of the backbone"),
            ("sha256", self.sha256),
            *((key.replace("_", " "), text) for key, text in self.about.items()),
        ]
        if self.normalisation is not None:
            n = self.normalisation
            each = " ".join(f"{m:.1f}±{s:.1f}" for m, s in zip(n.ms_mean, n.ms_std, strict=True))
            lines.append(("statistics", f"MS {each}, PAN {n.pan_mean:.1f}±{n.pan_std:.1f}"))
        return lines + (card_lines(self.card) if self.card else [("card", "none: how they were trained is not known")])


def show_weights(path: Path) -> WeightsInfo:
    """Read what a file of weights says.

    Raises:
        WeightsError: see `load_checkpoint`.
    """
    found = load_checkpoint(path)
    return WeightsInfo(
        path,
        found.sha256,
        found.backbone,
        find_backbone(found.backbone).version,
        found.bands,
        sum(parameter.numel() for parameter in found.network.parameters()),
        found.normalisation,
        found.about,
        found.card,
    )


def card_lines(card: ModelCard) -> list[tuple[str, str]]:
    """A card for people: a heading and a text for each line."""

    def named(numbers: Mapping[str, float]) -> str:
        return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())

    bands = ", ".join(
        (band.name or "?") + (" {:g}-{:g} nm".format(*band.wavelength_nm) if band.wavelength_nm else "")
        for band in card.bands
    )
    lines = [
        (
            "sensor",
            f"{card.sensor}, {card.bits or 'floating-point'}{' bits' * bool(card.bits)}, ratio {card.ratio:.4g}",
        ),
        ("bands", bands),
        ("MTF gains", ", ".join(f"{gain:g}" for gain in card.mtf_gains)),
        ("shifts", "  ".join(f"{y:+.2f},{x:+.2f}" for y, x in card.shifts)),
        ("CLIP", card.clip or "none"),
        *((f"prompt {kind}", text) for kind, text in card.prompts.items()),
        ("loss", named(card.loss)),
        ("steps", f"{card.steps}, weights of step {card.best_step}, seed {card.seed}"),
        *((when, named(parts)) for when, parts in card.validation.items()),
        ("scenes", "; ".join(card.scenes)),
        ("start from", card.started_from or "random weights"),
        ("clippan", card.version),
        ("licence", card.licence),
    ]
    return [(word, text) for word, text in lines if text]


def load_fitting(path: Path, scene: ModelCard, backbone: str, control: Control) -> Checkpoint:
    """The network of a file, if it fits scenes such as that of a card.

    Weights of a known sensor serve a scene that does not say of which sensor it is; a warning says so.

    Raises:
        WeightsError: the file cannot be read, or its network is for another backbone or for other scenes; says why.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.backbone != backbone:
        raise WeightsError(
            f"{path} holds the backbone {checkpoint.backbone}, not {backbone}; leave out --backbone to use it"
        )
    card = checkpoint.card
    if card is not None and card.sensor != scene.sensor == GENERIC:
        control.warn(
            WEIGHTS_SENSOR.says(
                f"the weights {shown(Path(path.name))} are for the sensor {card.sensor}; which one the scene is from "
                "is not known"
            )
        )
        scene = replace(scene, sensor=card.sensor)
    difference = None if card is None else mismatch(card, scene)
    if checkpoint.bands != len(scene.bands):
        difference = f"they are for {checkpoint.bands} MS bands, but the scene has {len(scene.bands)}"
    if difference is not None:
        raise WeightsError(f"the weights {path} do not fit: {difference}")
    return checkpoint


def scene_card(scene: Scene) -> ModelCard:
    """The card of a scene before training."""
    names = scene.files.names
    return ModelCard(
        sensor=scene.sensor.key,
        bands=_bands(scene),
        bits=_bits(scene),
        ratio=scene.nominal.sampling.ratio,
        scenes=(" + ".join(Path(name).name for name in names),),
        version=__version__,
    )


def learned_card(
    scene: Scene, estimate: Estimate, options: AdaptOptions, adapted: Adapted, guide: Guide | None, started_from: str
) -> ModelCard:
    """The card of a network that was trained on a scene."""
    registration = estimate.registration
    return replace(
        with_learning(scene_card(scene), options, adapted, guide, started_from),
        shifts=tuple(
            (round(y, 4), round(x, 4)) for y, x in zip(registration.shift_y, registration.shift_x, strict=True)
        ),
        mtf_gains=tuple(round(gain, 4) for gain in estimate.observation.ms_gain),
    )


def with_learning(
    card: ModelCard, options: AdaptOptions, adapted: Adapted, guide: Guide | None, started_from: str
) -> ModelCard:
    """A card that also says how the network was trained and how well."""
    best = [point for point in adapted.curve if point.step == adapted.best_step]
    return replace(
        card,
        clip=f"{guide.encoder.identity.name} {guide.encoder.identity.sha256}" if guide else "",
        prompts={"ms": guide.prompts.ms, "pan": guide.prompts.pan, "hrms": guide.prompts.hrms} if guide else {},
        validation={
            when: {"total": point.total, **point.parts}
            for when, point in zip(("before", "after"), (*adapted.curve[:1], *best), strict=False)
        },
        loss={term: weight for term, weight in asdict(options.loss).items() if weight},
        steps=adapted.steps,
        best_step=adapted.best_step,
        seed=options.seed,
        started_from=started_from,
    )


def write_weights(checkpoint: Checkpoint, path: Path) -> None:
    """Write a network with its card; the path holds the old file or the whole new one.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        save_checkpoint(checkpoint, path)
    except OSError as error:
        raise OutputError(f"cannot write {shown(path)}: {error.strerror or error}") from error


def _bands(scene: Scene) -> tuple[CardBand, ...]:
    """Bands of the sensor where they are known, else as the files call them."""
    ms, known = scene.pair.ms, scene.sensor.bands
    if len(known) == ms.count:
        return tuple(CardBand(band.name, band.wavelength_nm) for band in known)
    return tuple(CardBand(ms.datasets[d].descriptions[i - 1] or "") for d, i in ms.bands)


def _bits(scene: Scene) -> int:
    """Significant bits of the values, at most those of the type; 0 for floating point."""
    of_type = _BITS.get(scene.pair.ms.dtype, 0)
    known = significant_bits(scene)
    return of_type if known is None else min(known, of_type)
