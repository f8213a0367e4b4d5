"""What an assessment found, as the parts of its page need it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from clippan_cli.quality.measure import Measured
from clippan_cli.quality.result import Assessment, AssessReport, short_names
from clippan_cli.rasters.points import NamedPoint
from clippan_cli.scene.estimation import Estimate
from clippan_cli.scene.scene import Scene

_MOST_GIVEN = 4  # images of the user that are drawn


@dataclass(frozen=True)
class Findings:
    """The results of one assessment with the open scene that they come from.

    Attributes:
        scene: the pair.
        measured: every image with its assessment.
        report: the assessments and what applies to the pair.
        points: where the user wants spectra.
        estimate: how MS and PAN were made, or None where the pair does not tell.
        repeated: baselines that are left out, by the image of the user that has the same values.
    """

    scene: Scene
    measured: Sequence[Measured]
    report: AssessReport
    points: Sequence[NamedPoint] = ()
    estimate: Estimate | None = None
    repeated: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def drawn(self) -> tuple[Measured, ...]:
        """The images that the page draws: the first ones of the user, and the baselines."""
        given = [m for m in self.measured if m.subject.role == "given"]
        return (*given[:_MOST_GIVEN], *(m for m in self.measured if m.subject.role == "baseline"))

    @cached_property
    def names(self) -> list[str]:
        """What to call the images drawn."""
        return short_names([m.assessment.path for m in self.drawn])

    @property
    def first(self) -> Measured:
        """The first image of the user, whose pixels most parts of the page look at."""
        return self.drawn[0]

    def without_repeated_baselines(self) -> Findings:
        """Without baselines that an image of the user repeats: the same method, made twice."""
        repeated: dict[str, str] = {}
        for baseline in (i for i in self.report.images if i.role == "baseline"):
            for image in self.report.given:
                if _same(image.metrics, baseline.metrics):
                    repeated.setdefault(image.path, baseline.path)
        left_out = set(repeated.values())

        def stays(image: Assessment) -> bool:
            return image.role == "given" or image.path not in left_out

        return replace(
            self,
            measured=[m for m in self.measured if stays(m.assessment)],
            report=replace(self.report, images=tuple(i for i in self.report.images if stays(i))),
            repeated=repeated,
        )


def _same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one.keys() == other.keys() and all(
        math.isclose(one[n], other[n], rel_tol=1e-5, abs_tol=1e-6) or one[n] != one[n] for n in one
    )
