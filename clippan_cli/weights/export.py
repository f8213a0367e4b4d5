"""A network as a file for other programs: ONNX or TorchScript, compared with the network before it is there.

The network is traced in float32, on an image of odd sides so that what it pads is part of the trace. The file takes
images of any size, holds what a program must know to use it, and needs nothing of clippan.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clippan_cli import __version__
from clippan_cli.running.extras import needed_by
from clippan_cli.writing.path import check_output_path
from clippan_models.adaptation.evidence import is_informed
from clippan_models.adaptation.trainer import new_network
from clippan_models.errors import OutputError, UsageError, WeightsError, shown
from clippan_models.networks.names import BACKBONE_TRAITS, find_traits
from clippan_models.networks.precision import full_precision
from clippan_models.networks.registry import find_backbone
from clippan_models.networks.spec import BackboneSpec
from clippan_models.networks.statistics import is_recorded
from clippan_models.plain import plain
from clippan_models.store.checkpoint import Checkpoint, load_checkpoint
from clippan_models.store.files import written_whole
from clippan_models.store.weights_file import read_weights, shipped

Format = Literal["onnx", "torchscript"]
Run = Callable[[Sequence[Tensor]], Tensor]
Axis = str | int
Size = tuple[int, int, int]

FORMATS: dict[Format, tuple[str, ...]] = {"onnx": (".onnx",), "torchscript": (".pt", ".ts", ".torchscript")}
"""The formats, and the endings of file names that stand for them."""

METADATA = "clippan"
"""Under this key of ONNX's metadata, or in this extra file of TorchScript, is what a program must know, as JSON."""

TOLERANCE = 1e-4
"""Standard deviations of a band by which the file may differ from the network: 0.05 DN at a deviation of 500 DN."""

_OUTPUT = "fused"
_OPSET = 18
_TRACED: Size = (2, 17, 25)
_CHECKED: tuple[Size, ...] = ((1, 96, 104), (2, 27, 35))  # images, height and width
_ONE_BAND = ("pan", "unexplained")
_DEVIATIONS = "less the mean of the band over the scene, divided by its standard deviation"
_BY_BAND = "DN divided by the standard deviation of the band"
_BY_PAN = "DN divided by the standard deviation of PAN"
_MEANINGS = {
    "start": ("what the network corrects: the initial fusion, on the grid of PAN", _DEVIATIONS),
    "pan": ("PAN", "less the mean of PAN over the scene, divided by its standard deviation"),
    "ms_up": ("MS, interpolated to the grid of PAN", _DEVIATIONS),
    "detail": ("PAN less PAN that is degraded by the MTF of the band", _BY_PAN),
    "unexplained": ("PAN less the weighted sum of the bands of the initial fusion", _BY_PAN),
    "missing": ("what MS misses of the initial fusion: MS less the degraded fusion, interpolated", _BY_BAND),
    "facts": (
        "six numbers for each band: correlation with degraded PAN, gain, weight in PAN, blur between it and PAN, "
        "unexplained share of PAN, ratio",
        "none",
    ),
    _OUTPUT: ("the corrected image", _DEVIATIONS),
}


@dataclass(frozen=True)
class ExportOptions:
    """What to export.

    Attributes:
        source: a file of weights, or the name of a backbone that comes with weights.
        target: the file to write.
        to: the format; None: as the name of the target says.
        overwrite: replace an existing target.
    """

    source: str
    target: Path
    to: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        target: the file.
        format: of the file.
        difference: the largest from the network in PyTorch, in standard deviations of a band.
        checked: images, height and width of each comparison.
        checked_with: the program that ran the file, and its version.
        metadata: what the file says of itself.
    """

    target: Path
    format: Format
    difference: float
    checked: tuple[Size, ...]
    checked_with: str
    metadata: dict[str, Any]


def export_weights(options: ExportOptions) -> Exported:
    """Write a network in a format for other programs, and compare it with the network.

    Raises:
        UsageError: the format or the backbone is not known, this kind of network cannot be exported, or the packages
            for it are not installed.
        WeightsError: the weights cannot be read, have not seen a scene, or the file does not compute what they do.
        OutputError: the target cannot be written.
    """
    to = _format(options)
    if to == "onnx":
        with needed_by("models export to ONNX", "export"):
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
    check_output_path(options.target, [Path(options.source)], options.overwrite)
    checkpoint = _checkpoint(options.source)
    _refuse_what_cannot_be(options.source, checkpoint)
    about, network = _metadata(options.source, checkpoint), checkpoint.network
    write, opened = (_write_onnx, _open_onnx) if to == "onnx" else (_write_torchscript, _open_torchscript)
    try:
        with written_whole(options.target) as partial, torch.no_grad(), full_precision():
            write(network, about, partial)
            difference = _largest_difference(network, opened(partial), about)
            if not difference <= TOLERANCE:  # NaN as well
                raise WeightsError(
                    f"the exported network differs from that of {options.source} by {difference:.2g} standard "
                    f"deviations, more than {TOLERANCE:g}; nothing was written"
                )
    except OSError as error:
        raise OutputError(f"cannot write {shown(options.target)}: {error.strerror or error}") from error
    program = "onnxruntime" if to == "onnx" else "torch"
    return Exported(options.target, to, difference, _CHECKED, f"{program} {version(program)}", about)


def _format(options: ExportOptions) -> Format:
    ending = options.target.suffix.lower()
    if options.to is None:
        for name, endings in FORMATS.items():
            if ending in endings:
                return name
        known = ", ".join(ending for endings in FORMATS.values() for ending in endings)
        raise UsageError(f"{shown(options.target)}: its name does not say the format ({known}); add --to")
    for name in FORMATS:
        if name == options.to:
            return name
    raise UsageError(f"--to {options.to}: must be {' or '.join(FORMATS)}")


def _checkpoint(source: str) -> Checkpoint:
    """The network of a file, or that which comes with clippan under a name."""
    if source not in BACKBONE_TRAITS:
        if not source.endswith(".safetensors"):
            find_traits(source)
        return load_checkpoint(Path(source))
    spec = find_backbone(source)
    if spec.weights is None:
        raise UsageError(f"the backbone {source} comes without weights; name a .safetensors file of its weights")
    network = new_network(spec, 1, 0, torch.device("cpu")).eval()
    licence = {"licence": spec.provenance.licence}
    return Checkpoint(source, 1, network, about=licence, sha256=read_weights(shipped(spec.weights)).sha256)


def _refuse_what_cannot_be(source: str, checkpoint: Checkpoint) -> None:
    spec = find_backbone(checkpoint.backbone)
    if not spec.fuses:
        raise UsageError(
            f"{source}: {spec.name} works on patches of one size only; networks for images of any size can be exported"
        )
    if spec.window is not None:
        raise UsageError(
            f"{source}: {spec.name} runs in windows of {spec.window} pixels that lie fixed in a scene and cannot be "
            "exported for images of any size"
        )
    if not is_recorded(checkpoint.network):
        raise WeightsError(
            f"{source}: {spec.name} goes by statistics of a scene, and these weights have none; save weights with "
            "clippan sharpen --save-weights"
        )


def _metadata(source: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """What a program must know to use the file."""
    spec, network = find_backbone(checkpoint.backbone), checkpoint.network
    bands: Axis = "bands" if is_informed(network) else checkpoint.bands
    images = [*signature(network.forward).parameters]
    return {
        "clippan": __version__,
        "backbone": spec.name,
        "backbone_version": spec.version,
        "weights": {"file": Path(source).name, "sha256": checkpoint.sha256},
        "inputs": [_described(name, bands) for name in images],
        "outputs": [_described(_OUTPUT, bands)],
        "tiles": _tiles(spec, checkpoint.bands),
        "normalisation": plain(checkpoint.normalisation),
        "about": checkpoint.about,
        "card": plain(checkpoint.card),
    }


def _described(name: str, bands: Axis) -> dict[str, Any]:
    what, unit = _MEANINGS[name]
    shape: list[Axis] = ["batch", 1 if name in _ONE_BAND else bands, "height", "width"]
    return {"name": name, "shape": ["batch", bands, 6] if name == "facts" else shape, "unit": unit, "what": what}


def _tiles(spec: BackboneSpec, bands: int) -> dict[str, Any]:
    return {
        "mode": spec.tile_mode,
        "halo": spec.halo and round(spec.halo.at(bands)),
        "overlap": spec.overlap,
        "align": spec.align,
        "padding": spec.padding,
    }


def _random_images(about: dict[str, Any], size: Size, bands: int = 3) -> tuple[Tensor, ...]:
    """Inputs as the metadata describe them."""
    sides = dict(zip(("batch", "height", "width"), size, strict=True)) | {"bands": bands}
    generator = torch.Generator().manual_seed(0)
    shapes = ([sides.get(axis, axis) for axis in each["shape"]] for each in about["inputs"])
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def _largest_difference(network: nn.Module, run: Run, about: dict[str, Any]) -> float:
    """Between the network and the file, over images of several sizes; of several numbers of bands where any works."""
    differences = []
    for bands, size in enumerate(_CHECKED, 4):
        images = _random_images(about, size, bands)
        differences.append((run(images) - network(*images)).abs().max())
    return float(torch.stack(differences).max())


def _write_onnx(network: nn.Module, about: dict[str, Any], path: Path) -> None:
    import onnx

    described = about["inputs"] + about["outputs"]
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a trace may miss: the comparison finds it
        torch.onnx.export(
            network,
            _random_images(about, _TRACED),
            content,  # type: ignore[arg-type]  # the older exporter writes to it
            dynamo=False,  # the newer exporter takes ten times as long, and refuses recorded statistics
            opset_version=_OPSET,
            input_names=[each["name"] for each in about["inputs"]],
            output_names=[_OUTPUT],
            dynamic_axes={each["name"]: _free_axes(each["shape"]) for each in described},
        )
    model = onnx.load_model_from_string(content.getvalue())
    onnx.helper.set_model_props(model, {METADATA: json.dumps(about)})
    path.write_bytes(model.SerializeToString())


def _free_axes(shape: list[Axis]) -> dict[int, str]:
    return {place: axis for place, axis in enumerate(shape) if isinstance(axis, str)}


def _open_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(images: Sequence[Tensor]) -> Tensor:
        arrays = (image.numpy() for image in images)
        return torch.from_numpy(session.run([_OUTPUT], dict(zip(names, arrays, strict=True)))[0])

    return run


def _write_torchscript(network: nn.Module, about: dict[str, Any], path: Path) -> None:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, _random_images(about, _TRACED), check_trace=False
        )
        torch.jit.save(traced, content, _extra_files={f"{METADATA}.json": json.dumps(about)})
    path.write_bytes(content.getvalue())


def _open_torchscript(path: Path) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def run(images: Sequence[Tensor]) -> Tensor:
        image: Tensor = loaded(*images)
        return image

    return run
