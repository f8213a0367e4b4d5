"""What came of a training on an archive: the weights, how they were learned, and how good they are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clippan_cli.quality.result import MethodScores
from clippan_cli.running.warnings import RunWarning
from clippan_cli.scene.files import LeftOut
from clippan_models.adaptation.trainer import Adapted
from clippan_models.contracts import Window
from clippan_models.metrics.catalogue import best_of
from clippan_models.plain import plain
from clippan_models.store.card import ModelCard

SCHEMA = "clippan.adapt/1"
"""Name and version of the JSON."""

FULL = ("QNR", "HQNR", "D_rho")
"""Indices at full resolution, without a reference."""

REDUCED = ("ERGAS", "SAM", "Q2n")
"""Indices of Wald's protocol."""

ALL = (*FULL, *REDUCED)

LEARNED, BEFORE, SCRATCH = "learned", "before", "scratch"
CLASSICAL = ("exp", "gsa", "mtf-glp-hpm-r", "bdsd-pc")


@dataclass(frozen=True)
class SceneScores:
    """All methods on one scene.

    Attributes:
        name: of the scene.
        part: the PAN pixels that were measured; None: all of it.
        scores: the indices of `ALL` of each method, always in one order.
    """

    name: str
    part: Window | None
    scores: tuple[MethodScores, ...]


@dataclass(frozen=True)
class Validation:
    """All methods on all scenes that were measured.

    Attributes:
        scenes: one each.
        held_out: how many scenes were held out.
        unseen: nothing was learned from them; False where there is but one scene.
        scratch_steps: of the method `SCRATCH`; 0 where it was not asked for.
        left_out: scenes that could not be measured, and why.
    """

    scenes: tuple[SceneScores, ...]
    held_out: int
    unseen: bool
    scratch_steps: int = 0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def mean(self) -> tuple[MethodScores, ...]:
        """The mean of each index over the scenes where every method has it."""
        if not self.scenes:
            return ()
        found: list[dict[str, float]] = [{} for _ in self.scenes[0].scores]
        for index in ALL:
            rows = [[one.metrics[index] for one in scene.scores] for scene in self.scenes]
            known = [row for row in rows if all(map(math.isfinite, row))]
            for number, metrics in enumerate(found):
                metrics[index] = statistics.fmean(row[number] for row in known) if known else math.nan
        methods = (one.method for one in self.scenes[0].scores)
        return tuple(MethodScores(method, metrics) for method, metrics in zip(methods, found, strict=True))

    @property
    def best(self) -> dict[str, str]:
        """By index, the method with the best mean."""
        return best_methods(self.mean)

    @property
    def measured(self) -> str:
        """On what, in words."""
        if not self.scenes:
            return "nothing could be measured"
        if not self.unseen:
            what = "the only scene, which was learned from"
        elif len(self.scenes) == self.held_out:
            what = f"all {self.held_out} held-out scenes" if self.held_out > 1 else "the held-out scene"
        else:
            what = f"{len(self.scenes)} of {self.held_out} held-out scenes"
        parts = [scene.part for scene in self.scenes if scene.part is not None]
        if not parts:
            return what
        size = max(max(part.height, part.width) for part in parts)
        cut = "only" if len(parts) == len(self.scenes) else f"of {len(parts)} of them only"
        return f"{what}, {cut} a part with much detail, at most {size} PAN pixels a side"

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "measured": self.measured,
            "held_out": self.held_out,
            "unseen": self.unseen,
            "scratch_steps": self.scratch_steps,
            "scenes": [{**plain(scene), "best": best_methods(scene.scores)} for scene in self.scenes],
            "mean": plain(self.mean),
            "best": self.best,
            "left_out": plain(self.left_out),
        }

    def for_card(self) -> dict[str, dict[str, float]]:
        """The means before and after the training, as a model card keeps them."""
        named = {one.method: one.metrics for one in self.mean}
        return {f"quality {when}": named[m] for when, m in (("before", BEFORE), ("after", LEARNED)) if m in named}


def best_methods(scores: Sequence[MethodScores]) -> dict[str, str]:
    """By index, the method with the best value on a scene."""
    found = {}
    for index in ALL:
        best = best_of(index, [one.metrics[index] for one in scores])
        if best is not None:
            found[index] = scores[best].method
    return found


@dataclass(frozen=True)
class ArchiveResult:
    """What was learned.

    Attributes:
        output: the file of weights.
        card: the model card.
        learned_from: names of the scenes.
        held_out: loss of each held-out scene, before and after; None for those that did not choose the step.
        left_out: files that nothing was learned from, and why.
        adapted: how it went.
        patches: how many, of all scenes.
        resumed_at: the step of the checkpoint that it continued from; 0 without.
        validation: the weights on the held-out scenes, beside other methods, where it was asked for.
        warnings: what is doubtful about the scenes.
    """

    output: Path
    card: ModelCard
    learned_from: tuple[str, ...]
    held_out: dict[str, tuple[float, float] | None]
    left_out: tuple[LeftOut, ...]
    adapted: Adapted
    patches: int
    resumed_at: int
    validation: Validation | None = None
    warnings: tuple[RunWarning, ...] = ()

    @property
    def losses(self) -> dict[str, tuple[float, float]]:
        """The loss, before and after, of each scene that chose the step."""
        return {name: found for name, found in self.held_out.items() if found is not None}

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        return {
            "schema": SCHEMA,
            "output": str(self.output),
            "card": plain(self.card),
            "learned_from": list(self.learned_from),
            "held_out": {
                name: found and {"before": found[0], "after": found[1]} for name, found in self.held_out.items()
            },
            "left_out": plain(self.left_out),
            "patches": self.patches,
            "steps": self.adapted.steps,
            "best_step": self.adapted.best_step,
            "stopped": self.adapted.stopped,
            "seconds": round(self.adapted.seconds, 1),
            "resumed_at": self.resumed_at,
            "curve": [{"step": p.step, "total": p.total, **p.parts} for p in self.adapted.curve],
            "validation": self.validation.as_json() if self.validation else None,
            "warnings": plain(self.warnings),
        }
