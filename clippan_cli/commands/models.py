"""`clippan models`: the weights of others that clippan can use."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from clippan_cli import options as opt

models = typer.Typer(
    no_args_is_help=True,
    help="Weights of others that clippan can use. Example: clippan models fetch clip",
)


@models.command()
def fetch(
    what: Annotated[str, typer.Argument(metavar="clip", help="What to fetch: clip, the judge of --clip auto.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL:PRETRAINED", help="Another CLIP, as open_clip names it; else ViT-B-32:openai."
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision", metavar="COMMIT", help="Commit, branch or tag on Hugging Face; else the one clippan knows."
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="HEX", help="What the file must have; else what clippan or the hub knows."),
    ] = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Bring the weights of a CLIP into the Hugging Face cache, and verify them.

    Example: clippan models fetch clip
    """
    # huggingface_hub reads these when it loads. A download by Xet hears no signal; telemetry is for who asks for it.
    for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    from clippan_cli.console import Terminal
    from clippan_cli.tasks.fetch import DEFAULT_MODEL, FetchOptions, fetch_clip
    from clippan_models.errors import UsageError

    if what != "clip":
        raise UsageError(f"there is no {what!r} to fetch; there is: clip")
    terminal = Terminal(quiet=quiet or as_json, verbose=verbose, as_json=as_json)
    options = FetchOptions(DEFAULT_MODEL if model is None else model, revision, sha256)
    with terminal.running() as control:
        fetched = fetch_clip(options, control)
    if as_json:
        terminal.json(fetched.as_json())
        return
    terminal.say(f"model     {fetched.model}")
    terminal.say(f"from      {fetched.repository} at {fetched.revision}")
    terminal.say(f"sha256    {fetched.sha256}, {fetched.witness}")
    terminal.say(f"file      {fetched.path} ({fetched.size / 1e6:.0f} MB)")
    terminal.say("fetched and verified" if fetched.downloaded else "was here already, and is intact")
