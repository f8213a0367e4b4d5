"""What to make of a scene; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clippan_cli.running.options import ComputeOptions
from clippan_cli.writing.options import OutputOptions
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.contracts import Kernel
from clippan_models.guidance.options import GuidanceOptions
from clippan_models.methods.options import DEFAULT_METHOD


@dataclass(frozen=True)
class SharpenOptions:
    """What to make of a scene.

    Attributes:
        output: path of the fused raster.
        method: a name in `registry.METHODS`.
        bands: MS bands to write, in this order, by number, counted from 1, or by name; None: all.
        encoding: format, compression, overwriting.
        compute: device, threads, memory, tile size.
        adapt: of the network.
        guidance: of the methods with language.
        weights: a file of weights that the network begins with, or None.
        resampling: how MS is interpolated.
        weights_pan: the share of each band of MS in PAN; None: as the method finds it.
        save_weights: where what the network learned goes, or None.
        quicklook: path of a PNG with PAN, MS and result side by side, or None.
        assess: measure the result without reference when it is done.
        stac: where the STAC item goes, or None.
        published: the address that the output gets, where `output` is only the copy that is uploaded; or None.
    """

    output: Path
    method: str = DEFAULT_METHOD
    bands: tuple[int | str, ...] | None = None
    encoding: OutputOptions = OutputOptions()
    compute: ComputeOptions = ComputeOptions()
    adapt: AdaptOptions = AdaptOptions()
    guidance: GuidanceOptions = GuidanceOptions()
    weights: Path | None = None
    resampling: Kernel = "lanczos"
    weights_pan: tuple[float, ...] | None = None
    save_weights: Path | None = None
    quicklook: Path | None = None
    assess: bool = True
    stac: Path | None = None
    published: str | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All that is written."""
        every = (self.output, self.quicklook, self.stac, self.save_weights)
        return tuple(path for path in every if path is not None)

    @property
    def left_behind(self) -> str:
        """What is there where the work ends once the image is complete."""
        return "nothing was uploaded" if self.published else f"{self.output} was complete already"

    @property
    def not_comparable(self) -> str | None:
        """The option for which the result cannot be measured against MS; None: it can."""
        if self.bands is not None:
            return "--bands"
        return None if self.encoding.scale_to is None else "--scale-to"


def bare_sharpening(output: Path, method: str, compute: ComputeOptions) -> SharpenOptions:
    """Options for an image that is only made to be measured."""
    return SharpenOptions(
        output=output,
        method=method,
        encoding=OutputOptions(driver="gtiff", compress="none"),
        compute=compute,
        assess=False,
    )
