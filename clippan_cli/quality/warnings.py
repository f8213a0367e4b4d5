"""Where an index misleads: what to tell a person before they trust a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clippan_cli.quality.result import Assessment
from clippan_cli.scene.scene import Scene
from clippan_models.contracts import Window

_BLURRED = 0.9  # of the D_rho of the interpolated MS: such an image has hardly any detail of PAN
_BLURRED_ALONE = 0.6  # a D_rho above which an image has little detail of PAN, where EXP was not measured
_FEW_BLOCKS = 16
_MANY_AT_LIMITS = 1e-3
_SMALL_VALUES = 16.0


def warn_of_image(image: Assessment, scene: Scene, place: Window) -> Assessment:
    """The assessment with what can be said of it alone."""
    found = []
    if image.metrics["D_rho"] > _BLURRED_ALONE and image.path != "EXP":
        found.append(
            f"D_rho is {image.metrics['D_rho']:.2f}: this image has little of PAN's detail, so a good D_lambda means "
            "nothing"
        )
    worst = max(image.bands, key=lambda band: band.at_limits)
    if worst.at_limits > _MANY_AT_LIMITS:
        found.append(
            f"{worst.at_limits:.1%} of {worst.name} has the lowest or highest value that a pixel can hold: "
            "clipped or saturated"
        )
    if image.blocks < _FEW_BLOCKS:
        found.append(f"only {image.blocks} blocks of 32 x 32 pixels were measured: the second digit is random")
    if image.valid_share < 0.5:
        found.append(f"only {image.valid_share:.0%} of the pixels are valid")
    if max(band.maximum for band in image.bands) < _SMALL_VALUES:
        found.append(
            "all values are below 16: Q2n and D_lambda_K round to whole numbers, so store DN or scaled reflectance"
        )
    return replace(image, warnings=(*image.warnings, *found))


def warn_of_pair(scene: Scene, images: Sequence[Assessment]) -> tuple[str, ...]:
    """What is to be said of the pair, and of the images side by side."""
    first = images[0]
    found = [*_of_convention(first), *_of_sensor(scene), *_of_phases(scene, first)]
    exp = next((image for image in images if image.path == "EXP"), None)
    given = [image for image in images if image.role == "given"]
    if exp is not None:
        found += _of_unsharpened(exp, given)
    if len({image.valid_share for image in given}) > 1:
        found.append("the images have different valid pixels: their values are not of the same extent")
    return tuple(found)


def _of_convention(image: Assessment) -> list[str]:
    if image.convention != "georeferenced":
        return []
    return [
        "the MS grid does not fit the PAN grid, or the image covers only a part of PAN: the indices are computed by "
        "the georeferencing; they are close to published values but not comparable with them digit by digit"
    ]


def _of_sensor(scene: Scene) -> list[str]:
    if scene.sensor.bands:
        return []
    return [
        f"the MTF is that of {scene.sensor.name} (gain {scene.nominal.ms_gain[0]:g} in every band): D_lambda_K, HQNR, "
        "RQNR and the R indices depend on it; name the camera with --sensor"
    ]


def _of_phases(scene: Scene, image: Assessment) -> list[str]:
    """Misregistration, as far as whole PAN pixels show it."""
    if image.convention == "georeferenced" or not image.phases:
        return []
    middle = (scene.nominal.sampling.ratio - 1) / 2
    off = [max(abs(row - middle), abs(col - middle)) for row, col in image.phases]
    moved = [band.name or str(band.band) for band, far in zip(image.bands, off, strict=True) if far > 1]
    if not moved:
        return []
    return [
        f"MS is shifted against PAN, in {', '.join(moved)} by more than a PAN pixel: D_s and QNR prefer images that "
        "keep this shift, so compare by the R indices, which take the phase into account"
    ]


def _of_unsharpened(exp: Assessment, given: Sequence[Assessment]) -> list[str]:
    found, preferred = [], []
    for image in given:
        if image.metrics["D_rho"] > _BLURRED * exp.metrics["D_rho"]:
            found.append(
                f"{image.path} follows PAN hardly better than the unsharpened MS does (D_rho "
                f"{image.metrics['D_rho']:.3f}, EXP {exp.metrics['D_rho']:.3f}): it is not sharp, whatever QNR says"
            )
        elif exp.metrics["QNR"] >= image.metrics["QNR"]:
            preferred.append(f"{image.path} ({image.metrics['QNR']:.3f}, D_rho {image.metrics['D_rho']:.3f})")
    if preferred:
        found.append(
            f"QNR prefers the unsharpened MS ({exp.metrics['QNR']:.3f}, D_rho {exp.metrics['D_rho']:.3f}) to "
            f"{' and '.join(preferred)}: on this scene QNR is misleading; use D_rho and the R indices"
        )
    return found
