"""Where an index misleads: what to tell a person before they trust a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from clippan_cli.quality.result import Assessment
from clippan_cli.running.warnings import (
    CLIPPED,
    FEW_BLOCKS,
    FEW_VALID,
    GEOREFERENCED,
    LITTLE_DETAIL,
    QNR_MISLEADS,
    QUALITY_OF_PART,
    SHIFTED_PAIR,
    SMALL_VALUES,
    VALID_DIFFER,
    RunWarning,
)
from clippan_cli.scene.doubts import LEAST_LARGE
from clippan_cli.scene.estimation import Estimate
from clippan_cli.scene.scene import Scene

_BLURRED = 0.9  # of the D_rho of the interpolated MS: such an image has hardly any detail of PAN
_BLURRED_ALONE = 0.6  # a D_rho above which an image has little detail of PAN, where EXP was not measured
_FEW_BLOCKS = 16
_MANY_AT_LIMITS = 1e-3
_FAR = 0.5  # PAN pixels: a larger shift of MS changes the indices noticeably


def with_warnings(image: Assessment) -> Assessment:
    """The assessment with what can be said of it alone."""
    return replace(image, warnings=(*image.warnings, *_of_image(image)))


def told_of_image(image: Assessment) -> tuple[RunWarning, ...]:
    """The warnings of an image as a run tells them, with its name."""
    return tuple(warning.about(image.path) for warning in image.warnings)


def warn_of_pair(scene: Scene, images: Sequence[Assessment], estimate: Estimate | None) -> tuple[RunWarning, ...]:
    """What is to be said of the indices of a pair, and of the images side by side."""
    exp = next((image for image in images if image.path == "EXP"), None)
    given = [image for image in images if image.role == "given"]
    shifted = [*_of_phases(scene, images[0])] or _of_shift(scene, estimate)
    found = [*_of_convention(images[0]), *shifted]
    if exp is not None:
        found += _of_unsharpened(exp, given)
    if len({image.valid_share for image in given}) > 1:
        found.append(VALID_DIFFER.says("the images have different valid pixels: their values are not of one extent"))
    return tuple(found)


def _of_image(image: Assessment) -> Iterator[RunWarning]:
    if image.metrics["D_rho"] > _BLURRED_ALONE and image.path != "EXP":
        yield LITTLE_DETAIL.says(f"D_rho is {image.metrics['D_rho']:.2f}: this image has little of PAN's detail")
    worst = max(image.bands, key=lambda band: band.at_limits)
    if worst.at_limits > _MANY_AT_LIMITS:
        yield CLIPPED.says(
            f"{worst.at_limits:.1%} of {worst.name or f'band {worst.band}'} has the lowest or highest value that a "
            "pixel can hold: clipped or saturated"
        )
    if image.blocks < _FEW_BLOCKS:
        yield FEW_BLOCKS.says(f"only {image.blocks} blocks of 32 x 32 pixels were measured: the second digit is random")
    if image.valid_share < 0.5:
        yield FEW_VALID.says(f"only {image.valid_share:.0%} of the pixels are valid")
    if max(band.maximum for band in image.bands) < LEAST_LARGE:
        yield SMALL_VALUES.says(f"all values are below {LEAST_LARGE:g}")
    if image.looked_at < 1:
        yield QUALITY_OF_PART.says(f"the indices are those of {image.looked_at:.0%} of the scene")


def _of_convention(image: Assessment) -> Iterator[RunWarning]:
    if image.convention == "georeferenced":
        yield GEOREFERENCED.says(
            "the MS grid does not fit the PAN grid, or the image covers only a part of PAN: the indices are computed "
            "by the georeferencing, and only close to published values"
        )


def _of_phases(scene: Scene, image: Assessment) -> Iterator[RunWarning]:
    """Misregistration, as far as whole PAN pixels show it."""
    if image.convention == "georeferenced" or not image.phases:
        return
    middle = (scene.nominal.sampling.ratio - 1) / 2
    off = [max(abs(row - middle), abs(col - middle)) for row, col in image.phases]
    moved = [band.name or str(band.band) for band, far in zip(image.bands, off, strict=True) if far > 1]
    if moved:
        yield SHIFTED_PAIR.says(
            f"MS is shifted against PAN, in {', '.join(moved)} by more than a PAN pixel: D_s and QNR prefer images "
            "that keep this shift"
        )


def _of_shift(scene: Scene, estimate: Estimate | None) -> Iterator[RunWarning]:
    """Misregistration, as the observation model shows it, beyond what the indices know of."""
    if estimate is None:
        return
    down, right = scene.pair.shift
    left = estimate.registration.moved(-down, -right).largest
    moved = ", corrected by whole MS pixels" if scene.pair.shift != (0, 0) else ""
    if left > _FAR:
        yield SHIFTED_PAIR.says(
            f"MS is shifted by {left:.2f} PAN pixels from the position that its georeferencing gives{moved}: images "
            "that keep this get a better D_s, QNR and HQNR than those that correct it"
        )


def _of_unsharpened(exp: Assessment, given: Sequence[Assessment]) -> list[RunWarning]:
    found, preferred = [], []
    for image in given:
        if image.metrics["D_rho"] > _BLURRED * exp.metrics["D_rho"]:
            found.append(
                LITTLE_DETAIL.says(
                    f"{image.path} follows PAN hardly better than the unsharpened MS does (D_rho "
                    f"{image.metrics['D_rho']:.3f}, EXP {exp.metrics['D_rho']:.3f}): it is not sharp, whatever QNR says"
                )
            )
        elif exp.metrics["QNR"] >= image.metrics["QNR"]:
            preferred.append(f"{image.path} ({image.metrics['QNR']:.3f}, D_rho {image.metrics['D_rho']:.3f})")
    if preferred:
        found.append(
            QNR_MISLEADS.says(
                f"QNR prefers the unsharpened MS ({exp.metrics['QNR']:.3f}, D_rho {exp.metrics['D_rho']:.3f}) to "
                f"{' and '.join(preferred)}: on this scene QNR is misleading"
            )
        )
    return found
