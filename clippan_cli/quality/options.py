"""How to assess; free of torch and numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from clippan_cli.quality.result import Gate
from clippan_cli.running.options import ComputeOptions
from clippan_models.errors import UsageError
from clippan_models.metrics.catalogue import INDICES

Convention = Literal["toolbox", "paper"]


@dataclass(frozen=True)
class AssessOptions:
    """How to assess.

    Attributes:
        compute: device and threads.
        sampled: look at evenly spread windows only, where the scene is large.
        convention: of QNR: the toolbox's, whose references are interpolated, or that of the original paper.
        reference: raster of the truth on the PAN grid, or None.
        peak: largest possible DN, for PSNR and SSIM; None: from the sensor, or from the values.
        border: PAN pixels along the edge that the comparison with the reference leaves out.
        align: move the image to where the reference lies, by less than a pixel, before they are compared.
        baselines: compare with EXP and a classical method.
        baseline_method: the classical method.
        wald: methods to measure at reduced resolution.
        gates: bounds that the given images must keep.
    """

    compute: ComputeOptions = ComputeOptions()
    sampled: bool = False
    convention: Convention = "toolbox"
    reference: str | None = None
    peak: float | None = None
    border: int = 0
    align: bool = False
    baselines: bool = False
    baseline_method: str = "gsa"
    wald: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()

    def __post_init__(self) -> None:
        if self.peak is not None and not 0 < self.peak < math.inf:
            raise UsageError(f"{self.peak:g}: the largest possible value must be above 0", "peak")
        for gate in self.gates:
            if self.reference is None and INDICES[gate.index].family == "reference":
                raise UsageError(f"a bound on {gate.index} needs --reference")
