"""What an assessment finds: typed results, as JSON and CSV of a versioned schema, and gates for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from clippan_cli.running.warnings import RunWarning, codes_of
from clippan_cli.writing.cells import table_text
from clippan_models.errors import QualityGateError, UsageError
from clippan_models.metrics.catalogue import INDICES, best_of

SCHEMA = "clippan.assess/1"
"""Name and version of the JSON: the number grows when a key changes its meaning or goes."""

Role = Literal["given", "baseline"]


@dataclass(frozen=True)
class BandQuality:
    """One band of a fused image; DN.

    Attributes:
        band: counted from 1.
        name: of the sensor or the file, or empty.
        ms_mean: mean of MS.
        ms_std: standard deviation of MS.
        mean: of the MTF-degraded image.
        std: its standard deviation.
        bias: mean of the MTF-degraded image minus MS.
        rmse: root of their mean squared difference.
        correlation: of the two.
        minimum: of the image itself.
        maximum: of the image itself.
        at_limits: share of its pixels at the least or the largest value that the product can hold, 0 .. 1.
        reference: bias, rmse, correlation and psnr against the reference, or None.
    """

    band: int
    name: str
    ms_mean: float
    ms_std: float
    mean: float
    std: float
    bias: float
    rmse: float
    correlation: float
    minimum: float
    maximum: float
    at_limits: float
    reference: dict[str, float] | None = None


@dataclass(frozen=True)
class Assessment:
    """The quality of one fused image.

    Attributes:
        path: the image.
        metrics: every index by name, see `clippan_models.metrics.catalogue`.
        convention: "toolbox" where the grids allow the community's conventions exactly, "paper" for the original
            definition of QNR, else "georeferenced".
        sensor: whose MTF gains were used.
        valid_share: share of the pixels looked at that are valid.
        blocks: 32 x 32 blocks that counted.
        looked_at: share of the scene that was looked at.
        role: given by the user, or a baseline to compare with.
        bands: band by band.
        phases: PAN row and column, within an MS pixel, at which each band of MS was sampled, for the R indices.
        definition: every choice behind the numbers, by name.
        warnings: where a number misleads.
        reference_offset: PAN pixels that the reference lies down and to the right of the image, as it is; None without
            a reference, or where nothing tells.
        aligned: the image was moved there before it was compared with the reference.
    """

    path: str
    metrics: dict[str, float]
    convention: str
    sensor: str
    valid_share: float
    blocks: int
    looked_at: float
    role: Role = "given"
    bands: tuple[BandQuality, ...] = ()
    phases: tuple[tuple[float, float], ...] = ()
    definition: dict[str, str] = field(default_factory=dict)
    warnings: tuple[RunWarning, ...] = ()
    reference_offset: tuple[float, float] | None = None
    aligned: bool = False


@dataclass(frozen=True)
class MethodScores:
    """What a method comes to: indices by name, and where the reference lies (`Assessment`)."""

    method: str
    metrics: dict[str, float]
    reference_offset: tuple[float, float] | None = None
    aligned: bool = False


@dataclass(frozen=True)
class Gate:
    """A bound that every given image must keep.

    Attributes:
        index: a name in `INDICES`.
        value: the bound.
        at_least: a lower bound, else an upper one.
    """

    index: str
    value: float
    at_least: bool

    @classmethod
    def parse(cls, text: str, *, at_least: bool) -> Gate:
        """`METRIC=VALUE`.

        Raises:
            UsageError: no such index, or not a number.
        """
        option = "--min" if at_least else "--max"
        name, equals, number = text.partition("=")
        known = {key.lower(): key for key in INDICES}
        if not equals or name.strip().lower() not in known:
            raise UsageError(f"{option} {text}: must be METRIC=VALUE with one of {', '.join(INDICES)}")
        try:
            value = float(number)
        except ValueError as error:
            raise UsageError(f"{option} {text}: {number or 'nothing'} is not a number") from error
        if value != value:
            raise UsageError(f"{option} {text}: a bound must be a number")
        return cls(known[name.strip().lower()], value, at_least)

    def check(self, image: Assessment) -> None:
        """Compare one image with the bound.

        Raises:
            QualityGateError: it is broken.
            UsageError: the index was not measured.
        """
        if self.index not in image.metrics:
            needs = "needs --reference" if INDICES[self.index].family == "reference" else "was not measured"
            raise UsageError(f"--{'min' if self.at_least else 'max'} {self.index}={self.value:g}: {self.index} {needs}")
        value = image.metrics[self.index]
        kept = value >= self.value if self.at_least else value <= self.value
        if not kept:  # nor is it kept by what is no number
            side = "below" if self.at_least else "above"
            raise QualityGateError(f"{image.path}: {self.index} {value:.4f} is {side} {self.value:g}")


@dataclass(frozen=True)
class AssessReport:
    """All images assessed against one pair.

    Attributes:
        images: those given, then the baselines.
        seconds: wall time.
        gates: bounds that the given images must keep.
        wald: methods at reduced resolution.
        warnings: of the pair, and of the given images by their names.
        files: what was written besides.
    """

    images: tuple[Assessment, ...]
    seconds: float
    gates: tuple[Gate, ...] = ()
    wald: tuple[MethodScores, ...] = ()
    warnings: tuple[RunWarning, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def given(self) -> tuple[Assessment, ...]:
        """The images that the user asked about."""
        return tuple(image for image in self.images if image.role == "given")

    @property
    def names(self) -> tuple[str, ...]:
        """The indices that any image has, in the order of the catalogue."""
        return tuple(name for name in INDICES if any(name in image.metrics for image in self.images))

    def best(self) -> dict[str, int]:
        """By index, which image has the best value."""
        nan = float("nan")
        found = {name: best_of(name, [image.metrics.get(name, nan) for image in self.images]) for name in self.names}
        return {name: place for name, place in found.items() if place is not None}

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        return {
            "schema": SCHEMA,
            "images": [asdict(image) for image in self.images],
            "best": {name: self.images[place].path for name, place in self.best().items()},
            "wald": [asdict(score) for score in self.wald],
            "warnings": [asdict(warning) for warning in self.warnings],
            "min_qnr": next((g.value for g in self.gates if g.index == "QNR" and g.at_least), None),
            "gates": [{"index": g.index, "value": g.value, "at_least": g.at_least} for g in self.gates],
            "files": list(self.files),
            "seconds": self.seconds,
        }

    def as_csv(self) -> str:
        """The rows as CSV."""
        return table_text(self.rows())

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """A header, one row per image and index, and per image, band and figure.

        A row of scope `pair` joins the codes of all warnings by spaces.
        """
        yield "schema", "image", "role", "scope", "band", "name", "value"
        for image in self.images:
            start = (SCHEMA, image.path, image.role)
            yield from ((*start, "scene", "", name, repr(value)) for name, value in image.metrics.items())
            if image.reference_offset is not None:
                places = zip(("down", "right"), image.reference_offset, strict=True)
                yield from ((*start, "reference", "", f"offset_{where}", repr(value)) for where, value in places)
            for band in image.bands:
                yield from ((*start, "band", band.band, name, repr(value)) for name, value in _figures(band).items())
        for score in self.wald:
            yield from ((SCHEMA, score.method, "wald", "scene", "", n, repr(v)) for n, v in score.metrics.items())
        yield SCHEMA, "", "", "pair", "", "warnings", " ".join(codes_of(self.warnings))

    def check_gate(self) -> None:
        """Compare the given images with the bounds.

        Raises:
            QualityGateError: one is broken.
            UsageError: an index was not measured.
        """
        for gate in self.gates:
            for image in self.given:
                gate.check(image)


def short_names(paths: Sequence[str]) -> list[str]:
    """The names of files without their folders, where that still tells them apart."""
    short = [Path(path).name for path in paths]
    return short if len(set(short)) == len(set(paths)) else list(paths)


def _figures(band: BandQuality) -> Mapping[str, float]:
    plain = {k: v for k, v in asdict(band).items() if k not in ("band", "name", "reference")}
    return plain | {f"reference_{k}": v for k, v in (band.reference or {}).items()}
