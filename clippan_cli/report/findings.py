"""What an assessment found, as the parts of its page need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from clippan_cli.quality.measure import Measured
from clippan_cli.quality.result import AssessReport, short_names
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
    """

    scene: Scene
    measured: Sequence[Measured]
    report: AssessReport
    points: Sequence[NamedPoint] = ()
    estimate: Estimate | None = None

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
