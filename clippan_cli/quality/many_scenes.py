"""What an assessment of many scenes finds: typed results, as JSON and CSV of a versioned schema, and outliers."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clippan_cli.quality.result import Assessment, AssessReport, short_names
from clippan_cli.scene.files import SceneFiles
from clippan_cli.writing.cells import table_text
from clippan_models.errors import InputError
from clippan_models.metrics.catalogue import INDICES

SCHEMA = "clippan.assess-index/2"
"""Name and version of the JSON of many scenes."""

_FAR = 3.5  # robust standard deviations from the median, of many scenes
_FEW = 2.4
"""Among few scenes, whose median deviation is uncertain, a value must lie further away: with this, an index of normal
values has an outlier by chance in about one of 20 runs, whether of 5 scenes or of 50."""

_NOTICEABLE = 0.05  # share of the median below which no difference is worth a mark, however alike the others are
_FEWEST = 5  # scenes among which one can stand out
_MOST_NAMES = 4


@dataclass(frozen=True)
class SceneOutcome:
    """The result of one scene: a report, or the reason why there is none.

    Attributes:
        entry: the scene.
        report: None where it failed.
        error: None where it did not.
        page: of the scene, or None.
        outliers: of each of its images, names of the indices in which it stands out among those of the other scenes;
            empty where none is compared.
    """

    entry: SceneFiles
    report: AssessReport | None
    error: str | None
    page: Path | None
    outliers: tuple[tuple[str, ...], ...] = ()

    @property
    def labels(self) -> list[str]:
        """What to call its images, so that the same method has the same name in every scene."""
        if self.report is None:
            return []
        names = [Path(name).stem for name in short_names([image.path for image in self.report.images])]
        scene = re.escape(Path(self.entry.ms[0]).stem.lower().removesuffix("ms").rstrip("_-. "))
        own = re.compile(rf"(?:{scene}|{re.escape(self.entry.id.lower())})(?:[_\-. ]+|$)", re.IGNORECASE)
        return [own.sub("", name, count=1) or "result" if own.match(name) else name for name in names]

    @property
    def images(self) -> list[tuple[str, Assessment, tuple[str, ...]]]:
        """Each of its images with its label, and the indices in which it stands out."""
        images = self.report.images if self.report is not None else ()
        outliers = self.outliers or ((),) * len(images)
        return list(zip(self.labels, images, outliers, strict=True))


def in_short(names: Sequence[str]) -> str:
    """The first few names of indices, and how many more there are."""
    shown, more = ", ".join(names[:_MOST_NAMES]), len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


@dataclass(frozen=True)
class IndexReport:
    """All scenes."""

    outcomes: tuple[SceneOutcome, ...]

    @property
    def failed(self) -> tuple[SceneOutcome, ...]:
        """The scenes without a report."""
        return tuple(outcome for outcome in self.outcomes if outcome.report is None)

    def summary(self) -> tuple[tuple[str, dict[str, tuple[float, float]], int], ...]:
        """Mean and standard deviation (N - 1) of each index, for images that have one name in several scenes."""
        values: dict[str, dict[str, list[float]]] = {}
        for outcome in self.outcomes:
            for label, image, _ in outcome.images:
                for name, value in image.metrics.items():
                    values.setdefault(label, {}).setdefault(name, []).append(value)
        found = []
        for label, indices in values.items():
            count = max(len(v) for v in indices.values())
            if count > 1:
                spread = {n: (statistics.fmean(v), statistics.stdev(v)) for n, v in indices.items() if len(v) > 1}
                found.append((label, spread, count))
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        return {
            "schema": SCHEMA,
            "scenes": [
                {
                    "name": o.entry.id,
                    "error": o.error,
                    "page": str(o.page) if o.page else None,
                    "outliers": [{"image": label, "indices": list(names)} for label, _, names in o.images if names],
                    "report": o.report.as_json() if o.report else None,
                }
                for o in self.outcomes
            ],
            "summary": [
                {"image": label, "scenes": count, "mean": {n: m for n, (m, _) in v.items()}}
                | {"std": {n: s for n, (_, s) in v.items()}}
                for label, v, count in self.summary()
            ],
        }

    def as_csv(self) -> str:
        """The CSV of each scene with its name in front; scenes that failed are left out."""
        tables = [(o.entry.id, list(o.report.rows())) for o in self.outcomes if o.report is not None]
        header = [["name_of_scene", *rows[0]] for _, rows in tables[:1]]
        return table_text([*header, *([name, *row] for name, rows in tables for row in rows[1:])])

    def check(self) -> None:
        """Raise the error of scenes that failed or of a bound that is broken, once everything is written.

        Raises:
            InputError: scenes failed.
            QualityGateError: a bound is broken.
        """
        for outcome in self.outcomes:
            if outcome.report is not None:
                outcome.report.check_gate()
        if self.failed:
            first = self.failed[0]
            raise InputError(
                f"{len(self.failed)} of {len(self.outcomes)} scenes could not be assessed, first {first.entry.id}: "
                f"{first.error}"
            )


def with_outliers(outcomes: Sequence[SceneOutcome]) -> tuple[SceneOutcome, ...]:
    """Find the images that stand out in an index among those of one name in other scenes.

    The only images of their scenes are compared whatever their names.
    """
    only = all(sum(image.role == "given" for _, image, _ in o.images) == 1 for o in outcomes if o.report is not None)
    found: list[list[tuple[str, ...]]] = [[()] * len(outcome.images) for outcome in outcomes]
    alike: dict[str, list[tuple[int, int]]] = {}
    for number, outcome in enumerate(outcomes):
        for place, (label, image, _) in enumerate(outcome.images):
            alike.setdefault("" if only and image.role == "given" else label, []).append((number, place))
    for places in alike.values():
        metrics = [outcomes[number].images[place][1].metrics for number, place in places]
        for name in INDICES:
            for each in _far_from_others([values.get(name, np.nan) for values in metrics]):
                number, place = places[each]
                found[number][place] += (name,)
    return tuple(replace(o, outliers=tuple(names)) for o, names in zip(outcomes, found, strict=True))


def _far_from_others(numbers: Sequence[float]) -> Iterator[int]:
    """Which of some numbers lie far from most, by the median absolute deviation; what is not finite does not count."""
    values = np.array(numbers)
    known = values[np.isfinite(values)]
    if len(known) < _FEWEST:
        return
    middle = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - middle)) + 1e-9
    far = _FAR * (1 + _FEW / (len(known) - 3))
    apart = np.abs(np.where(np.isfinite(values), values, middle) - middle)
    yield from np.flatnonzero(apart > max(far * spread, _NOTICEABLE * abs(middle))).tolist()
