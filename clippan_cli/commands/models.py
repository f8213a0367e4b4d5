"""`clippan models`: the networks that clippan has, and the weights of others that it can use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clippan_cli.commands.flags import command
from clippan_cli.console import Terminal

if TYPE_CHECKING:
    from clippan_cli.weights.backbones import BackboneInfo

models = typer.Typer(
    no_args_is_help=True,
    help="List networks, show weights, download a CLIP, convert and export weights. Example: clippan models list",
)


@models.command()
@command
def fetch(
    terminal: Terminal,
    what: Annotated[str, typer.Argument(metavar="clip", help="What to fetch: clip, for --clip auto.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL:PRETRAINED",
            help="Another CLIP, as open_clip names it; if not given, ViT-B-32:openai.",
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="COMMIT",
            help="Commit, branch or tag on Hugging Face; if not given, the one that clippan knows.",
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(
            "--sha256",
            metavar="HEX",
            help="SHA-256 that the file must have; if not given, that of clippan or of Hugging Face.",
        ),
    ] = None,
) -> None:
    """Download the weights of a CLIP into the Hugging Face cache, and verify them.

    Example: clippan models fetch clip
    """
    # huggingface_hub reads these when it loads. A download by Xet hears no signal; telemetry is for who asks for it.
    for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    from clippan_cli.weights.fetch import DEFAULT_MODEL, FetchOptions, fetch_clip
    from clippan_models.errors import UsageError
    from clippan_models.plain import plain

    if what != "clip":
        raise UsageError(f"{what!r} cannot be fetched; available: clip")
    terminal.quiet = terminal.quiet or terminal.as_json
    options = FetchOptions(DEFAULT_MODEL if model is None else model, revision, sha256)
    with terminal.running() as control:
        fetched = fetch_clip(options, control)
    if terminal.as_json:
        terminal.json(plain(fetched))
        return
    terminal.say(f"model     {fetched.model}")
    terminal.say(f"from      {fetched.repository} at {fetched.revision}")
    terminal.say(f"sha256    {fetched.sha256}, {fetched.witness}")
    terminal.say(f"file      {fetched.path} ({fetched.size / 1e6:.0f} MB)")
    terminal.say("fetched and verified" if fetched.downloaded else "already in the cache, and intact")


_Bands = Annotated[
    int, typer.Option("--bands", metavar="N", help="Number of MS bands that the costs are computed for.")
]


@models.command("list")
@command
def list_(terminal: Terminal, bands: _Bands = 4) -> None:
    """List the backbones for --backbone and --teacher, with their costs.

    Example: clippan models list
    """
    from clippan_cli.weights.backbones import list_backbones
    from clippan_models.plain import plain

    found = list_backbones(bands)
    if terminal.as_json:
        terminal.json({"backbones": plain(found)})
        return
    rows = [
        [
            each.name,
            f"{each.parameters:,}",
            f"{each.macs_per_pixel / 1000:,.0f}",
            f"{each.seconds_per_megapixel:,.0f}",
            f"{each.tile_memory_mb:,.0f}",
            _reach(each),
            each.tile_mode,
        ]
        for each in found
    ]
    columns = ["backbone", "parameters", "kMAC/px", "CPU s/Mpx", "tile MB", "halo px", "tiles"]
    terminal.table(f"backbones, for {bands} bands", columns, rows)


@models.command()
@command
def show(
    terminal: Terminal,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE", help="A backbone of clippan models list, or a .safetensors file of weights."
        ),
    ],
    bands: _Bands = 4,
) -> None:
    """Show a backbone: size, cost, halo, tiles, paper, and how it differs from the paper.

    For a file of weights that clippan has written, show its model card: training data, method and quality.

    Example: clippan models show lformer
    """
    from clippan_cli.weights.backbones import show_backbone
    from clippan_models.plain import plain

    if name.endswith(".safetensors"):
        _show_weights(Path(name), terminal)
        return
    found = show_backbone(name, bands)
    if terminal.as_json:
        terminal.json(plain(found))
        return
    terminal.say(f"{found.name}: {found.title}")
    terminal.say(f"parameters {found.parameters:,} for {found.bands} bands")
    terminal.say(
        f"work       {found.macs_per_pixel:,} MAC per PAN pixel, about {found.seconds_per_megapixel:g} s of one "
        "CPU core per megapixel"
    )
    terminal.say(
        f"memory     {found.tile_memory_mb:g} MB for a tile, {found.training_memory_mb:g} MB for a step of training"
    )
    terminal.say(f"halo       {_reach(found)} PAN pixels; tiles are read with {found.overlap} around them")
    terminal.say(
        f"tiles      {found.tile_mode}" + (f", beginning at multiples of {found.align}" if found.align > 1 else "")
    )
    if found.global_operations:
        terminal.say(f"global     {'; '.join(found.global_operations)}")
    terminal.say(f"edges      {found.padding}")
    terminal.say(f"learning   rate {found.learning_rate:g}")
    terminal.say(f"paper      {found.paper}, doi:{found.doi}")
    terminal.say(f"differs    {'; '.join(found.deviations)}")
    terminal.say(f"licence    {found.licence}")
    if found.extra:
        terminal.say(f"faster     with {found.extra}, on a GPU of NVIDIA")


@models.command()
@command
def convert(
    terminal: Terminal,
    source: Annotated[Path, typer.Argument(metavar="IN.pth", help="PyTorch file of weights trained elsewhere.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The file to write.")],
    backbone: Annotated[str, typer.Option("--backbone", metavar="NAME", help="The backbone that they belong to.")],
    bands: Annotated[
        int | None, typer.Option("--bands", metavar="N", help="Number of MS bands; taken from the file if not given.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Read the file although it is a pickle; you know where it comes from.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
) -> None:
    """Convert PyTorch weights that were trained elsewhere to a safetensors file for clippan.

    Only tensors are read, and only with --trust. The licence of the weights does not change.

    Example: clippan models convert theirs.pth ours.safetensors --backbone pnn --trust
    """
    from clippan_cli.weights.backbones import ConvertOptions, convert_weights
    from clippan_models.plain import plain

    options = ConvertOptions(source, target, backbone, bands, trust=trust, overwrite=overwrite)
    converted = convert_weights(options)
    if terminal.as_json:
        terminal.json(plain(converted))
        return
    how = "matched by name" if converted.by_name else "matched by order, as all shapes agree"
    terminal.say(f"weights    {converted.parameters:,} of {converted.backbone} for {converted.bands} bands, {how}")
    terminal.say(f"result     {converted.target}")


@models.command()
@command
def export(
    terminal: Terminal,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME", help="A .safetensors file of weights, or anyband for those that come with clippan."
        ),
    ],
    target: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="onnx|torchscript", help="Format; if not given, as the name ends: .onnx, .pt or .ts."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
) -> None:
    """Export a network as ONNX or TorchScript for other programs, and compare its output with PyTorch's.

    Example: clippan models export anyband -o anyband.onnx
    """
    from clippan_cli.weights.export import ExportOptions, export_weights
    from clippan_models.plain import plain

    exported = export_weights(ExportOptions(source, target, to, overwrite))
    if terminal.as_json:
        terminal.json(plain(exported))
        return
    about, sizes = exported.metadata, " and ".join(f"{h} x {w}" for _, h, w in exported.checked)
    for kind in ("inputs", "outputs"):
        named = ("{} [{}]".format(each["name"], ", ".join(map(str, each["shape"]))) for each in about[kind])
        terminal.say(f"{kind:<10} {', '.join(named)}")
    terminal.say("tiles      {mode}, read with {overlap} PAN pixels around them".format(**about["tiles"]))
    terminal.say(
        f"checked    {exported.checked_with} on {sizes} pixels: "
        f"differs from PyTorch by up to {exported.difference:.1e} standard deviations"
    )
    terminal.say(f"result     {exported.target}")


def _show_weights(path: Path, terminal: Terminal) -> None:
    from clippan_cli.weights.cards import show_weights
    from clippan_models.plain import plain

    found = show_weights(path)
    if terminal.as_json:
        terminal.json(plain(found))
        return
    terminal.say(f"{path}: {found.backbone} for {found.bands} bands")
    for word, text in found.lines():
        terminal.say(f"{word:<10} {text}")


def _reach(found: BackboneInfo) -> str:
    return "all" if found.halo is None else str(found.halo)
