"""Every choice behind the numbers, in words: a value without its definition cannot be compared."""

from __future__ import annotations

from clippan_cli.scene.scene import Scene
from clippan_models.measuring.reference import ReferenceScores
from clippan_models.metrics.d_rho import half_width
from clippan_models.ops.toolbox import mtf_kernels


def define(
    scene: Scene,
    convention: str,
    phase: str,
    truth: ReferenceScores | None,
    looked_at: float,
) -> dict[str, str]:
    """What was used, by name, one sentence each.

    Args:
        scene: the pair.
        convention: "toolbox", "paper" or "georeferenced".
        phase: where MS was sampled, in words.
        truth: the comparison with the reference, or None.
        looked_at: share of the scene.
    """
    ratio = scene.nominal.sampling.ratio
    gains = ", ".join(f"{gain:g}" for gain in scene.nominal.ms_gain)
    side = 2 * half_width(ratio)
    exact = convention != "georeferenced"
    made = {
        "convention": _CONVENTIONS[convention],
        "blocks": "32 x 32 PAN pixels, side by side; one counts where half of it is valid, and then its valid pixels",
        "MTF": f"gains {gains} at the MS Nyquist frequency, of {scene.sensor.name}: {scene.sensor.source}",
        "blur": _kernel(scene) if exact else "Gaussian of unit sum",
        "EXP": "23-tap polynomial kernel, circular border, samples at ratio / 2"
        if exact
        else "Lanczos of three lobes, samples where the georeferencing says",
        "low PAN": "bicubic reduction by the ratio (antialiased), then the kernel of EXP"
        if exact
        else "blurred by the mean MTF, sampled at MS, then interpolated as EXP",
        "exponents": "p = q = alpha = beta = 1",
        "D_rho": f"windows of {side} x {side} PAN pixels, residuals of their moving mean, all bands and pixels alike",
        "D_sR": "least squares without intercept over all valid pixels",
        "phase": phase,
        "crop": "none: up to the border",
        "looked at": f"{looked_at:.0%} of the scene",
    }
    if convention == "paper":
        made |= {"blocks of MS": f"{32 / ratio:g} x {32 / ratio:g} MS pixels: the same ground"}
    if truth is not None:
        made |= {
            "peak": f"{truth.peak:g}, for PSNR and SSIM",
            "SSIM": "Gaussian window of 11 x 11, sigma 1.5, population variance, where the window fits",
            "SCC": "Sobel magnitudes, one cosine over all bands",
            "Q2n": "blocks of 32 x 32, values rounded to whole DN, borders mirrored",
            "PSNR": "mean of the bands; PSNR_global of one error over all",
        }
    return made


_CONVENTIONS = {
    "toolbox": "those of the community's toolbox, to the digit: EXP and an interpolated low PAN as references of QNR",
    "paper": "the original paper of QNR: MS and a reduced PAN as references; everything else as in the toolbox",
    "georeferenced": "by the georeferencing, since the grids do not divide: near to published values, not comparable "
    "digit by digit",
}


def _kernel(scene: Scene) -> str:
    ratio = round(scene.nominal.sampling.ratio)
    sums = mtf_kernels(scene.nominal.ms_gain, ratio).sum(dim=(1, 2))
    return f"the toolbox's 41 x 41 kernel, whose sum is {float(sums.min()):.4f} to {float(sums.max()):.4f}"
