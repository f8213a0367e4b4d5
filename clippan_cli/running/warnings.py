"""Warnings: doubts about a run, each of a kind with a stable code.

A decision that was made for the user is a note. A doubt is a warning: the result may not be what the user wants. A new
kind is one more line below, and `control.warn(KIND.says("what was found"))` where it is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RunWarning:
    """A doubt about a run.

    Attributes:
        code: of its kind; stays the same from version to version.
        message: what was found, and what to do next.
    """

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    def about(self, name: str) -> RunWarning:
        """The same, with the name of the scene or image that it is about in front."""
        return RunWarning(self.code, f"{name}: {self.message}")

    def naming(self, names: Mapping[str, str]) -> RunWarning:
        """The same, with other names for files."""
        message = self.message
        for name, other in names.items():
            message = message.replace(name, other)
        return RunWarning(self.code, message)


def codes_of(warnings: Iterable[RunWarning]) -> tuple[str, ...]:
    """The codes of warnings, each once."""
    return tuple(dict.fromkeys(warning.code for warning in warnings))


@dataclass(frozen=True)
class WarningKind:
    """A kind of doubt.

    Attributes:
        code: lower case, with hyphens.
        meaning: when it is raised, for the docs.
        advice: what to do next; ends every message.
    """

    code: str
    meaning: str
    advice: str

    def says(self, found: str) -> RunWarning:
        """A warning of this kind about what was found."""
        return RunWarning(self.code, f"{found}; {self.advice}")


KINDS: list[WarningKind] = []
"""All kinds, in the order of the docs."""


def _kind(code: str, meaning: str, advice: str) -> WarningKind:
    KINDS.append(WarningKind(code, meaning, advice))
    return KINDS[-1]


PAIR_MISMATCH = _kind(
    "pair-mismatch",
    "The bands explain less than 80 % of PAN's low-pass, or none of them has detail in common with PAN.",
    "check that MS and PAN show the same place at the same time, and their georeferencing",
)
SHIFT_AT_LIMIT = _kind(
    "shift-at-limit",
    "The estimated shift of a band is the largest that is looked for, one MS pixel beyond what all bands share.",
    "the true shift may be larger: correct the georeferencing of MS, or register MS to PAN first",
)
LARGE_SHIFT = _kind(
    "large-shift",
    "MS lies more than one MS pixel from where its georeferencing puts it. The result follows PAN.",
    "check the georeferencing of both files",
)
SHIFT_VARIES = _kind(
    "shift-varies",
    "The shift of MS against PAN varies over the scene by more than half a PAN pixel.",
    "orthorectify both images with one terrain model, or register MS to PAN with a tool that warps",
)
BLUR_AT_LIMIT = _kind(
    "blur-at-limit",
    "The estimated MTF gain of a band is the least or largest that a camera can have.",
    "look at the edges in the result; if MS was resampled or filtered before, use the original product",
)
ROUNDED_CORNERS = _kind(
    "rounded-corners",
    "The corners of a NITF are rounded by more than a pixel, to whole seconds of arc for example, and nothing better "
    "relates MS and PAN.",
    "if both begin at the same upper left corner, add --assume-aligned; otherwise use files that have RPCs, or give "
    "copies of both their true corners with gdal_translate -a_ullr",
)
RATIOS_DIFFER = _kind(
    "ratios-differ",
    "The ratios of the pixel sizes of MS and PAN down and right differ by more than 1 %.",
    "check the geotransforms of both files",
)
UNDECLARED_FILL = _kind(
    "undeclared-fill",
    "Whole blocks of pixels have the lowest value in all bands, or the highest one beside pixels that are not bright, "
    "or many values are one far from all others, and it is not declared as nodata.",
    "if they are no data, name the value with --nodata, or with --ms-nodata or --pan-nodata for that image alone",
)
SMALL_VALUES = _kind(
    "small-values",
    "All values of a float image are below 16.",
    "store DN or scaled reflectance: Q2n and D_lambda_K round to whole numbers",
)
SATURATED = _kind(
    "saturated",
    "Many pixels of MS or PAN have the very highest value.",
    "do not trust the detail and colours of these pixels; use a product with more bits if there is one",
)
OUTLIERS = _kind(
    "outliers",
    "A few values of MS or PAN lie far outside the range of the rest.",
    "they are sharpened like all others, but nothing is learned from them and indices leave out their surroundings; if "
    "they are no data, declare the value with gdal_edit.py -a_nodata",
)
GENERIC_SENSOR = _kind(
    "generic-sensor",
    "The files do not say which sensor they are from, and --sensor is not given. D_lambda_K, HQNR, RQNR and the R "
    "indices depend on its MTF.",
    "name the camera with --sensor",
)
WEIGHTS_SENSOR = _kind(
    "weights-sensor",
    "The weights are for one sensor, and the files do not say which sensor they are from.",
    "name the camera with --sensor",
)
LANGUAGE_SILENT = _kind(
    "language-silent",
    "The network of a method that uses CLIP learns, but its loss has no term that CLIP judges.",
    "use --method network if no language is wanted, or add d to --loss",
)
FALLBACK = _kind(
    "fallback",
    "The network corrects nothing, because PAN does not follow from the bands: the result is the initial fusion.",
    "check the pair, or use another --backbone or --method",
)
QUALITY_OF_PART = _kind(
    "quality-of-part",
    "The indices of a result are those of a part of the scene.",
    "clippan assess measures all of it",
)
NOT_MEASURED = _kind(
    "quality-not-measured",
    "The quality of a result could not be measured.",
    "use --no-quality if it is not wanted",
)
LITTLE_DETAIL = _kind(
    "little-detail",
    "The image has little of PAN's detail.",
    "do not trust a good D_lambda or QNR of it",
)
QNR_MISLEADS = _kind(
    "qnr-misleads",
    "QNR prefers the unsharpened MS to an image.",
    "use D_rho and the R indices",
)
CLIPPED = _kind(
    "clipped",
    "Many pixels of a band of the image have the lowest or highest value that a pixel can hold.",
    "check nodata and scaling, or write a type with a larger range",
)
REFERENCE_OFF = _kind(
    "reference-off",
    "The reference lies a tenth of a PAN pixel or more from the image, and the indices against it measure that, too.",
    "--align of clippan assess, or align of a suite, moves the image there before it is compared",
)
NOT_ALIGNED = _kind(
    "not-aligned",
    "The image was compared with the reference as it lies, although it was to be moved there.",
    "check that the reference shows the same place",
)
FEW_BLOCKS = _kind(
    "few-blocks",
    "Fewer than 16 blocks of 32 x 32 pixels were measured.",
    "do not compare the second digit",
)
FEW_VALID = _kind(
    "few-valid",
    "Less than half of the pixels are valid.",
    "check nodata and masks",
)
VALID_DIFFER = _kind(
    "valid-pixels-differ",
    "The images that are compared have different valid pixels.",
    "compare images of the same extent",
)
GEOREFERENCED = _kind(
    "georeferenced-indices",
    "The grids do not allow the conventions of published tables exactly.",
    "do not compare them with published values digit by digit",
)
SHIFTED_PAIR = _kind(
    "shifted-pair",
    "MS is shifted against PAN, which changes D_s, QNR and HQNR.",
    "compare by the R indices, which take the shift into account",
)
