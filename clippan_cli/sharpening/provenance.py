"""The tags of a result: how it was made."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch

from clippan_cli import __version__
from clippan_cli.rasters.names import public_name
from clippan_cli.scene.estimation import Estimate
from clippan_cli.sharpening.packages import packages_of
from clippan_cli.sharpening.plan import Plan
from clippan_cli.sharpening.run import Run
from clippan_models.methods.method import Method


def describe_run(run: Run, method: Method, estimate: Estimate, plan: Plan) -> dict[str, str]:
    """The tags of a run that are known before its method is fitted."""
    scene, options, pair = run.scene, run.options, run.scene.pair
    observation, registration, sampling = estimate.observation, estimate.registration, scene.nominal.sampling
    return {
        "VERSION": __version__,
        "METHOD": options.method,
        "SENSOR": scene.sensor.key,
        "SENSOR_REASON": scene.sensor_reason,
        "DEVICE": str(run.device),
        "THREADS": str(options.compute.thread_count),
        "TORCH": torch.__version__,
        "PYTHON": platform.python_version(),
        "TILE": str(plan.tile),
        "MS": json.dumps([_name(n) for n in pair.ms.names]),
        "PAN": _name(scene.files.pan),
        **({"PAN_TILES": json.dumps([_name(n) for n in scene.files.pan_tiles])} if scene.files.pan_tiles else {}),
        "MS_SIZE": f"{pair.ms.width}x{pair.ms.height}x{pair.ms.count}",
        "PAN_SIZE": f"{pair.pan.width}x{pair.pan.height}",
        "RATIO": f"{sampling.ratio_y:.6g} x {sampling.ratio_x:.6g}",
        "COREGISTER": scene.options.coregister,
        "SHIFTS_PAN_PX_DOWN_RIGHT": json.dumps([[round(y, 3), round(x, 3)] for y, x in registration.shifts]),
        "SHIFT_CORRELATION": json.dumps([round(c, 3) for c in registration.correlation]),
        "MTF_GAINS": json.dumps([round(g, 3) for g in observation.ms_gain]),
        "MTF_GAINS_FROM": "the pair" if registration.blur_estimated else f"sensor {scene.sensor.key}",
        "PAN_R2": f"{observation.pan_r2:.4f}",
        "NOTES": json.dumps(list(pair.notes)),
        **method.tags(),
        **packages_of(options),
        **({"RESAMPLING": options.resampling} if options.resampling != "lanczos" else {}),
        **({"PAN_WEIGHTS": json.dumps(options.weights_pan)} if options.weights_pan else {}),
        **_describe_weights(run),
    }


def _name(name: str) -> str:
    return Path(public_name(name)).name


def _describe_weights(run: Run) -> dict[str, str]:
    """The weights that a network began with."""
    if run.initial is None or run.options.weights is None:
        return {}
    return {"WEIGHTS": run.options.weights.name, "WEIGHTS_SHA256": run.initial.sha256}
