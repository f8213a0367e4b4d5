"""The backbones, what each costs, and weights of others for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clippan_cli.writing.path import check_output_path
from clippan_models.adaptation.patches import REDUCED_SIDE
from clippan_models.errors import OutputError, UsageError
from clippan_models.methods.registry import METHOD_PLUGINS
from clippan_models.networks.names import BACKBONE_PLUGINS
from clippan_models.networks.registry import BACKBONES, find_backbone
from clippan_models.networks.spec import BackboneSpec
from clippan_models.store.checkpoint import Checkpoint, save_checkpoint
from clippan_models.store.foreign import fit_foreign, read_foreign

_TRAINING_SIDE = 128  # of a full-resolution patch, at ratios up to 4


@dataclass(frozen=True)
class BackboneInfo:
    """A backbone for a number of bands.

    Attributes:
        name: for `--backbone`.
        title: what it is.
        bands: number of MS bands that the figures are for.
        parameters: how many weights it has.
        macs_per_pixel: multiply-accumulates per PAN pixel.
        seconds_per_megapixel: time of one CPU core to fuse.
        halo: PAN pixels that an output pixel depends on, on every side; None: all of them.
        overlap: PAN pixels that are read around a tile.
        align: PAN pixels at multiples of which tiles begin.
        tile_mode: how tiles relate to the whole, see `networks.spec.TileMode`.
        global_operations: operations that depend on the whole image.
        padding: at the edge of an image.
        tile_memory_mb: memory of the network while it fuses a tile on a CPU.
        training_memory_mb: memory of the network in a step of training.
        learning_rate: default of training.
        paper: where it was published.
        doi: of the paper.
        deviations: from the paper or its code.
        licence: of our code.
        extra: of the package that makes it faster.
        package: that registers it; None: clippan.
    """

    name: str
    title: str
    bands: int
    parameters: int
    macs_per_pixel: int
    seconds_per_megapixel: float
    halo: int | None
    overlap: int
    align: int
    tile_mode: str
    global_operations: tuple[str, ...]
    padding: str
    tile_memory_mb: float
    training_memory_mb: float
    learning_rate: float
    paper: str
    doi: str
    deviations: tuple[str, ...]
    licence: str
    extra: str | None
    package: str | None = None


@dataclass(frozen=True)
class ConvertOptions:
    """What to convert.

    Attributes:
        source: a PyTorch file.
        target: the safetensors file to write.
        backbone: whose weights they are.
        bands: of MS; None: the number that fits.
        trust: read the source although it is a pickle.
        overwrite: replace an existing target.
    """

    source: Path
    target: Path
    backbone: str
    bands: int | None = None
    trust: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Converted:
    """What was converted.

    Attributes:
        target: the file.
        backbone: whose weights it holds.
        bands: number of MS bands.
        parameters: number of weights.
        by_name: tensors were matched by name; False: by order, as all shapes agree.
    """

    target: Path
    backbone: str
    bands: int
    parameters: int
    by_name: bool


def list_backbones(bands: int = 4) -> list[BackboneInfo]:
    """The backbones of clippan, in the order of the registry.

    Raises:
        UsageError: the number of bands is out of range.
    """
    _check_bands(bands)
    return [_describe(spec, bands) for spec in BACKBONES.values()]


@dataclass(frozen=True)
class Others:
    """What other packages register.

    Attributes:
        backbones: those that can be used.
        methods: by name, the package of each.
        problems: why others cannot be used, a line for each.
    """

    backbones: list[BackboneInfo]
    methods: dict[str, str]
    problems: list[str]


def list_others(bands: int = 4) -> Others:
    """The backbones and methods of other packages; each backbone is loaded and described."""
    backbones: list[BackboneInfo] = []
    problems = BACKBONE_PLUGINS.refused() + METHOD_PLUGINS.refused()
    for name in BACKBONE_PLUGINS.names():
        try:
            backbones.append(_describe(find_backbone(name), bands))
        except Exception as error:  # whatever the code of others raises
            problems.append(str(BACKBONE_PLUGINS.unusable(name, error)))
    return Others(backbones, {name: METHOD_PLUGINS.package(name) for name in METHOD_PLUGINS.names()}, problems)


def show_backbone(name: str, bands: int = 4) -> BackboneInfo:
    """One backbone.

    Raises:
        UsageError: none is called so, or the number of bands is out of range.
    """
    spec = find_backbone(name)
    _check_bands(bands)
    return _describe(spec, bands)


def convert_weights(options: ConvertOptions) -> Converted:
    """Turn the weights of others into a safetensors file of ours.

    Raises:
        UsageError: the source is not trusted, or a name or number is wrong.
        WeightsError: the source cannot be read, is damaged, or holds something else.
        OutputError: the target cannot be written.
    """
    spec = find_backbone(options.backbone)
    if not options.trust:
        raise UsageError(
            f"{options.source} is a pickle, which can run code when it is read; "
            "add --trust if you know where it comes from"
        )
    if options.target.suffix != ".safetensors":
        raise UsageError(f"{options.target}: the target must be called *.safetensors")
    _check_bands(1 if options.bands is None else options.bands)
    check_output_path(options.target, [options.source], options.overwrite)
    fitted = fit_foreign(spec, read_foreign(options.source), options.bands)
    checkpoint = Checkpoint(spec.name, fitted.bands, fitted.network, about={"converted_from": options.source.name})
    try:
        save_checkpoint(checkpoint, options.target)
    except OSError as error:
        raise OutputError(f"cannot write {options.target}: {error.strerror or error}") from error
    return Converted(options.target, spec.name, fitted.bands, spec.parameters(fitted.bands), fitted.by_name)


def _check_bands(bands: int) -> None:
    if not 1 <= bands <= 1000:
        raise UsageError(f"--bands {bands}: must be 1 to 1000")


def _describe(spec: BackboneSpec, bands: int) -> BackboneInfo:
    batch, cost = spec.training.batch, spec.cost
    seen = batch * (_TRAINING_SIDE**2 + 4 * REDUCED_SIDE**2)
    side = spec.block_side(bands) if spec.fuses else REDUCED_SIDE
    tile_bytes = spec.block_bytes(bands) if spec.fuses else cost.working_bytes.at(bands) * side**2
    return BackboneInfo(
        name=spec.name,
        title=spec.title,
        bands=bands,
        parameters=spec.parameters(bands),
        macs_per_pixel=round(cost.macs.at(bands)),
        seconds_per_megapixel=round(spec.fusing_seconds(bands) if spec.fuses else cost.cpu_seconds.at(bands), 2),
        halo=None if spec.halo is None else round(spec.halo.at(bands)),
        overlap=spec.overlap,
        align=spec.align,
        tile_mode=spec.tile_mode,
        global_operations=spec.global_operations,
        padding=spec.padding,
        tile_memory_mb=round(tile_bytes / 1e6, 1),
        training_memory_mb=round(spec.training_bytes(bands, seen) / 1e6, 1),
        learning_rate=spec.training.learning_rate,
        paper=spec.provenance.paper,
        doi=spec.provenance.doi,
        deviations=spec.provenance.deviations,
        licence=spec.provenance.licence,
        extra=None if spec.extra is None else f"clippan[{spec.extra}]",
        package=None if spec.name in BACKBONES else BACKBONE_PLUGINS.package(spec.name),
    )
