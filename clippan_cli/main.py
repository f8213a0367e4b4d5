"""Assembles the application; `main` turns errors into one line on stderr and an exit code."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import Annotated, NoReturn

import typer
import typer.main

from clippan_cli import __version__
from clippan_cli.commands.adapt import adapt
from clippan_cli.commands.assess import assess
from clippan_cli.commands.batch import batch
from clippan_cli.commands.bench import bench
from clippan_cli.commands.demo import demo
from clippan_cli.commands.habits import translated
from clippan_cli.commands.info import info
from clippan_cli.commands.models import models
from clippan_cli.commands.names import WithPlugins
from clippan_cli.commands.sharpen import sharpen
from clippan_cli.console import one_line
from clippan_cli.options.flags import spelled
from clippan_cli.running.control import handle_stop_signals
from clippan_cli.running.unlogged import ignore_what_cannot_be_logged
from clippan_models.errors import (
    DISK_FULL,
    ClippanError,
    InputError,
    Interrupted,
    OutputError,
    UsageError,
    printable,
    shown,
)

app = typer.Typer(
    name="clippan",
    help="Pansharpening that learns on the scene itself: sharp, georeferenced multispectral images of any size.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 unexpected, 2 usage, 3 unreadable input, 4 incompatible inputs, 5 output, "
    "6 resources, 7 weights, 8 quality gate, 9 some scenes of a batch, 129, 130 and 143 stopped by a signal.",
)
app.command(cls=WithPlugins)(sharpen)
app.command(cls=WithPlugins)(batch)
app.command(cls=WithPlugins)(adapt)
app.command()(assess)
app.command()(bench)
app.command()(info)
app.command()(demo)
app.add_typer(models, name="models")


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


def main() -> NoReturn:
    """Run clippan; the entry point of the command line."""
    _prepare_streams()
    ignore_what_cannot_be_logged()
    # Threads that wait for each other should sleep: spinning makes a busy machine ten times slower. torch reads this
    # when it loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    handle_stop_signals(_leave)
    code = _run()
    # Python takes a while to end; a signal meanwhile would show a traceback, and hide how the run ended.
    handle_stop_signals(signal.SIG_IGN)
    gc.freeze()  # nor need it look for cycles among all that torch has made
    sys.exit(code)


def _run() -> int:
    """Run the application and say in one line what went wrong; the exit code."""
    with warnings.catch_warnings():
        if not sys.warnoptions and not _wants_traceback():
            warnings.simplefilter("ignore")  # of libraries to programmers; what concerns the user, we say
        try:
            _refuse_other_encodings()
            _refuse_nothing()
            code = _code_of_app()
            sys.stdout.flush()
            return code
        except ClippanError as error:
            return _failed(_with_flag(error), error.exit_code, error)
        except BrokenPipeError:
            # whoever read our output has left; keep Python from complaining about that on exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK_FULL:  # a file would have been named
                return _failed(f"cannot write to the standard output: {error.strerror}", OutputError.exit_code, error)
            if isinstance(error, PermissionError) and error.filename:  # a folder on the way is closed to this user
                name = os.fsdecode(error.filename)
                return _failed(f"{shown(name)} cannot be opened: {error.strerror}", InputError.exit_code, error)
            if _out_of_memory(error):
                return _failed("not enough memory: use a smaller --tile, or --device cpu where a GPU is full", 6, error)
            return _failed(
                f"unexpected {type(error).__name__}: {error}; run again with -vv for the traceback", 1, error
            )


def _code_of_app() -> int:
    command = typer.main.get_command(app)  # called itself, as the application would take over the hook for errors
    try:
        command(translated(sys.argv[1:], command))
    except SystemExit as leaving:  # the only way in which Typer ends
        code = leaving.code if isinstance(leaving.code, int) else 0
        if code > 128:  # a second signal has broken off the work
            return _failed(str(Interrupted(code - 128)), code, leaving)
        return code
    return 0


def _failed(message: str, code: int, error: BaseException) -> int:
    if _wants_traceback():
        import traceback

        sys.stderr.write(printable("".join(traceback.format_exception(error))))
    with suppress(OSError):  # the code still tells
        sys.stderr.write(f"clippan: {one_line(message)}\n")
    return code


def _refuse_other_encodings() -> None:
    """Refuse names that Python would hand to GDAL as other bytes than the user has typed.

    Raises:
        UsageError: there is one, and file names are not taken for UTF-8.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.lower() not in ("utf-8", "utf8") and not all(argument.isascii() for argument in sys.argv):
        raise UsageError(
            f"names that are not plain ASCII cannot be used here, as Python takes file names for {encoding}: unset "
            "PYTHONUTF8, or choose a locale such as LC_ALL=C.UTF-8"
        )


def _refuse_nothing() -> None:
    """Refuse arguments without a letter, which would be taken for the working folder.

    Raises:
        UsageError: there is one.
    """
    for before, argument in zip(sys.argv, sys.argv[1:], strict=False):
        if not argument:
            what = before if before.startswith("-") else "an argument"
            raise UsageError(f"{what} is empty; is a variable of the shell not set?")


def _with_flag(error: ClippanError) -> str:
    """What an error says, with the option that it is about spelled as a flag."""
    option = error.option if isinstance(error, UsageError) else None
    return spelled(option) + str(error).removeprefix(option) if option else str(error)


def _leave(number: int, frame: object) -> None:
    """Leave at once on a signal outside of the work, where nothing is to be cleaned up.

    An exception instead could get lost in whatever library is being imported.
    """
    handle_stop_signals(signal.SIG_IGN)
    with suppress(OSError):
        os.write(2, f"clippan: {Interrupted(number)}\n".encode())
    os._exit(128 + number)


def _prepare_streams() -> None:
    """Have all standard streams, and let stdout take the name of any file.

    Those that were closed lead to the null device: else a raster could be opened as number 2, and be logged into.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(opened, "r" if number == 0 else "w", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _out_of_memory(error: Exception) -> bool:
    # torch tells by the name of the class on a GPU, and only by the words on a CPU
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)


def _wants_traceback() -> bool:
    flags = [a for a in sys.argv[1:] if a == "--verbose" or (a.startswith("-v") and set(a[1:]) == {"v"})]
    return sum(1 if a == "--verbose" else len(a) - 1 for a in flags) >= 2
