"""Assembles the application; `main` turns errors into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from clippan_cli import __version__
from clippan_cli.commands.assess import assess
from clippan_cli.commands.demo import demo
from clippan_cli.commands.info import info
from clippan_cli.commands.sharpen import sharpen
from clippan_models.errors import ClippanError

app = typer.Typer(
    name="clippan",
    help="Pansharpening that learns on the scene itself: sharp, georeferenced multispectral images of any size.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 unexpected, 2 usage, 3 unreadable input, 4 incompatible inputs, 5 output, "
    "6 resources, 7 weights, 8 quality gate, 130 and 143 stopped by a signal.",
)
app.command()(sharpen)
app.command()(assess)
app.command()(info)
app.command()(demo)


def _version(wanted: bool) -> None:
    if not wanted:
        return
    import rasterio
    import torch

    cuda = f", CUDA {torch.version.cuda}" if torch.version.cuda else ""
    typer.echo(
        f"clippan {__version__} (Python {sys.version.split()[0]}, torch {torch.__version__}{cuda}, "
        f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__})"
    )
    raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show versions and exit.")
    ] = False,
) -> None:
    """Options of clippan itself."""


def main() -> None:
    """Run clippan; the entry point of the command line."""
    try:
        app()
    except ClippanError as error:
        _fail(str(error), error.exit_code, error)
    except KeyboardInterrupt as error:
        _fail("interrupted; nothing was left at the output path", 130, error)
    except MemoryError as error:
        _fail("not enough memory: use a smaller --tile or --ram", 6, error)
    except BrokenPipeError:
        # whoever read our output has left; keep Python from complaining about that on exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _fail(f"unexpected {type(error).__name__}: {error}; run again with -vv for the traceback", 1, error)


def _fail(message: str, code: int, error: BaseException) -> None:
    if _wants_traceback():
        import traceback

        traceback.print_exception(error)
    sys.stderr.write("clippan: " + " ".join(message.split()) + "\n")
    sys.exit(code)


def _wants_traceback() -> bool:
    flags = [a for a in sys.argv[1:] if a == "--verbose" or (a.startswith("-v") and set(a[1:]) == {"v"})]
    return sum(1 if a == "--verbose" else len(a) - 1 for a in flags) >= 2
