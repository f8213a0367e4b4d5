"""Prompt sets: a text for each type of image; the one for the fused image is the aim of the fusion.

The sets are those of CLIPPan's Table 5. The paper prints the texts of MS and PAN and the descriptors `wald`, `noise`,
`i` and `ii`. Of Khan's protocol it gives the name only; the wording of `khan` is ours, after Khan et al. (2009), who
ask for the low frequencies of MS and the high frequencies of PAN. (The prompt set `wald` only describes images that
follow Wald's protocol; the loss and the assessment of that name apply the protocol.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType

from clippan_models.errors import UsageError, unknown_name
from clippan_models.outside import read_toml

MAX_CHARACTERS = 400
"""Longest text; the encoder also checks the number of tokens that its model reads."""

DEFAULT = "wald"
"""The prompt set used unless another is asked for; the best on balance in the paper."""


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
                raise UsageError(f"the {field.name} prompt is empty; describe the image in words")
            if len(text) > MAX_CHARACTERS:
                raise UsageError(
                    f"the {field.name} prompt has {len(text)} characters; at most {MAX_CHARACTERS} are allowed"
                )

    def with_hrms(self, text: str) -> Prompts:
        """The same prompt set with your own words for the fused image.

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
"""The prompt sets by name; `noise` says something false on purpose."""


def find_prompts(name: str) -> Prompts:
    """A prompt set by its name.

    Raises:
        UsageError: there is none of this name; lists those that there are.
    """
    found = PROMPTS.get(name.strip().lower())
    if found is None:
        raise unknown_name("prompt set", name, list(PROMPTS), ", or the path of a .toml file")
    return found


def load_prompts(path: str | Path) -> Prompts:
    """Your own prompt set, from a TOML file with the text `hrms` and, unless the usual ones will do, `ms` and `pan`.

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
            raise unknown_name("key", key, allowed)
    if "hrms" not in table:
        raise UsageError("the key hrms is missing: the text that describes a good fused image")
    texts = {"ms": _MS, "pan": _PAN} | dict(table)
    for key, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"{key} must be a text, not {text!r}")
    return Prompts(**{key: str(text) for key, text in texts.items()})
