"""What is found out about a run, told to its user as soon as it is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clippan_cli.rasters.source import RasterSource
from clippan_cli.running.control import Control
from clippan_cli.scene.scene import Scene

if TYPE_CHECKING:
    from clippan_cli.scene.estimation import Estimate
    from clippan_cli.sharpening.plan import Plan
    from clippan_models.adaptation.scene import Guide


def tell_of_scene(scene: Scene, control: Control) -> None:
    """Which files, of what size, and of which sensor."""
    pair = scene.pair
    control.on_fact("MS", [*_described(pair.ms), f"ratio {pair.sampling.ratio:.4g}"])
    control.on_fact("PAN", _described(pair.pan))
    control.on_fact("sensor", [f"{scene.sensor.key} ({scene.sensor_reason})"])


def tell_of_guide(guide: Guide, control: Control) -> None:
    """Which CLIP judges the image, and by which words."""
    identity = guide.encoder.identity
    control.on_fact("CLIP", [f"{identity.name} ({identity.source}): {guide.prompts.hrms}"])


def tell_of_estimate(estimate: Estimate, provenance: Mapping[str, str], control: Control) -> None:
    """Blur and shifts."""
    control.on_fact("MTF gains", [f"{provenance['MTF_GAINS']} from {provenance['MTF_GAINS_FROM']}"])
    shifts = [f"{y:+.2f},{x:+.2f}" for y, x in estimate.registration.shifts]
    control.on_fact("shifts", [*shifts, "(PAN px down,right per band)"])


def tell_of_plan(plan: Plan, control: Control) -> None:
    """Size and tiles."""
    tiles = f"{plan.tiles} tile{'s' * (plan.tiles > 1)} of {plan.tile}, halo {plan.halo}"
    control.on_fact("grid", [f"{plan.width}x{plan.height}, {plan.bands} bands of {plan.dtype}", tiles])


def _described(source: RasterSource) -> list[str]:
    names = [Path(name).name for name in source.names]
    named = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more files"
    bands = f", {source.count} bands" * (source.count > 1)
    return [named, f"{source.width}x{source.height}{bands} of {source.dtype}"]
