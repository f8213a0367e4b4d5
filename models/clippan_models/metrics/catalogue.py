"""The quality indices by name: what each asks, which value is ideal, which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Index:
    """A quality index.

    Attributes:
        name: as in results, options and files.
        ideal: its best value.
        unit: of the value, empty for a pure number.
        asks: the question it answers.
        family: "none" needs no reference, "reprojected" compares with MS, "reference" with the truth.
    """

    name: str
    ideal: float
    unit: str
    asks: str
    family: str

    @property
    def higher_is_better(self) -> bool:
        """Whether the ideal is the largest value."""
        return self.ideal > 0


INDICES: dict[str, Index] = {
    index.name: index
    for index in (
        Index("D_lambda", 0, "", "Do the bands relate to each other as those of MS do?", "none"),
        Index("D_s", 0, "", "Does each band relate to PAN as MS does to a coarse PAN?", "none"),
        Index("QNR", 1, "", "Both: (1 - D_lambda) (1 - D_s).", "none"),
        Index("D_lambda_K", 0, "", "Blurred by the MTF of MS, does the image agree with MS?", "none"),
        Index("HQNR", 1, "", "(1 - D_lambda_K) (1 - D_s).", "none"),
        Index("D_rho", 0, "", "Does the detail of each band follow PAN locally?", "none"),
        Index("D_sR", 0, "", "Which share of PAN can no mixture of the bands explain?", "none"),
        Index("RQNR", 1, "", "(1 - D_lambda_K) (1 - D_sR).", "none"),
        Index("R_Q2n", 1, "", "MTF-degraded, does it agree with MS in colour, contrast and detail?", "reprojected"),
        Index("R_SAM", 0, "°", "MTF-degraded, by which angle do its spectra differ from MS?", "reprojected"),
        Index("R_ERGAS", 0, "", "MTF-degraded, how large is its relative error?", "reprojected"),
        Index("Q2n", 1, "", "Does it agree with the truth in colour, contrast and detail?", "reference"),
        Index("SAM", 0, "°", "By which angle do its spectra differ from the truth?", "reference"),
        Index("ERGAS", 0, "", "How large is the relative error of all bands together?", "reference"),
        Index("PSNR", float("inf"), "dB", "How far is the error below the largest value, band by band?", "reference"),
        Index("PSNR_global", float("inf"), "dB", "The same of one error over all bands.", "reference"),
        Index("SSIM", 1, "", "Is the structure that of the truth?", "reference"),
        Index("SCC", 1, "", "Are the edges where the truth has them?", "reference"),
    )
}

HEADLINE = ("D_lambda", "D_s", "QNR", "D_lambda_K", "HQNR", "D_rho")
"""The indices for a single line."""


def best_of(name: str, values: list[float]) -> int | None:
    """Which of the values of an index is best; None where none is a number."""
    known = [(value, position) for position, value in enumerate(values) if value == value]
    if not known:
        return None
    return (max if INDICES[name].higher_is_better else min)(known, key=lambda pair: pair[0])[1]
