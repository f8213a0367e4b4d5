"""What CLIP is told: a text for each type of image, the one for the fused image being the aim of the fusion.

The sets are those of CLIPPan's Table 5. The paper prints the texts of MS and PAN and the descriptors `wald`, `noise`,
`i` and `ii`. Of Khan's protocol it gives the name only; the wording of `khan` is ours, after Khan et al. (2009), who
ask for the low frequencies of MS and the high frequencies of PAN.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType

from clippan_models.errors import UsageError
from clippan_models.store.toml_file import read_toml

MAX_CHARACTERS = 400
"""Longest text; the words a model reads are fewer, which the encoder checks."""

DEFAULT = "wald"
"""The set used unless another is asked for; best on balance in the paper."""


@dataclass(frozen=True)
class Prompts:
    """The texts of the three types of image, none of them blank.

    Attributes:
        ms: of the multispectral image.
        pan: of the panchromatic image.
        hrms: of the fused image: what a good one is.

    Raises:
        UsageError: a text is blank, or longer than `MAX_CHARACTERS`.
    """

    ms: str
    pan: str
    hrms: str

    def __post_init__(self) -> None:
        for field in fields(self):
            text = getattr(self, field.name)
            if not text.strip():
                raise UsageError(f"the {field.name} prompt is empty; say in words what the image is")
            if len(text) > MAX_CHARACTERS:
                raise UsageError(
                    f"the {field.name} prompt has {len(text)} characters; at most {MAX_CHARACTERS} are allowed"
                )

    def with_hrms(self, text: str) -> Prompts:
        """The same set with your own words for the fused image.

        Raises:
            UsageError: as for the class.
        """
        return replace(self, hrms=text)

    def texts(self) -> list[str]:
        """The texts in the order MS, PAN, HRMS."""
        return [self.ms, self.pan, self.hrms]


_MS, _PAN = "a multispectral image", "a panchromatic image"

PROMPTS: Mapping[str, Prompts] = MappingProxyType(
    {
        # the paper prints a typographic apostrophe; the tokenizer makes no difference between the two
        "wald": Prompts(
            _MS,
            _PAN,
            "High-quality reference image adhering to Wald's protocol: "
            "spectrally consistent with original data and spatially sharp",
        ),
        "khan": Prompts(
            _MS,
            _PAN,
            "High-quality image adhering to Khan's protocol: "
            "low frequencies of the multispectral image and high frequencies of the panchromatic image",
        ),
        "i": Prompts(_MS, _PAN, "This image is the fusion image of the input image"),
        "ii": Prompts(_MS, _PAN, "a fused product of the MS and PAN images"),
        "noise": Prompts(_MS, _PAN, "an image independent of the inputs"),
    }
)
"""The named sets; `noise` says something false on purpose."""


def find_prompts(name: str) -> Prompts:
    """A named set.

    Raises:
        UsageError: no set is called so; lists those that are.
    """
    try:
        return PROMPTS[name.strip().lower()]
    except KeyError:
        close = difflib.get_close_matches(name.strip().lower(), PROMPTS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(
            f"no set of prompts is called {name!r}{hint}; known are {', '.join(PROMPTS)}, and .toml files by their path"
        ) from None


def load_prompts(path: str | Path) -> Prompts:
    """Your own set, from a TOML file with the texts `hrms` and, where they differ from the usual ones, `ms` and `pan`.

    Raises:
        UsageError: the file cannot be read, or does not hold these texts; names the file and the key.
    """
    table = read_toml(Path(path), "prompt file")
    try:
        return _prompts(table)
    except UsageError as error:
        raise UsageError(f"prompt file {path}: {error}") from error


def _prompts(table: Mapping[str, object]) -> Prompts:
    allowed = [field.name for field in fields(Prompts)]
    for key in table:  # before the missing ones: a typing slip is both, and this message names it
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, n=1)
            hint = f", did you mean {close[0]!r}?" if close else f"; known are {', '.join(allowed)}"
            raise UsageError(f"unknown key {key!r}{hint}")
    if "hrms" not in table:
        raise UsageError("hrms is missing: the text that says what a good fused image is")
    texts = {"ms": _MS, "pan": _PAN} | dict(table)
    for key, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"{key} must be a text, not {text!r}")
    return Prompts(**{key: str(text) for key, text in texts.items()})
