"""What `import clippan` gives: at once, complete, documented, and with the options of the command line."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import clippan
from clippan_cli.main import app

FUNCTIONS = [name for name in clippan.__all__ if inspect.isfunction(getattr(clippan, name))]
OF_FILES = {"sharpen", "assess", "adapt", "batch", "info"}
NOT_IN_PYTHON = {"json", "quiet", "verbose", "help", "progress", "log_file", "config"}
ARGUMENTS = {"files", "product", "output", "ms", "pan", "pairs", "archive", "fused", "reference"}
GATES = {"min", "max", "min_qnr"}
PRINTED = {"batch": {"dry_run", "pairs_out"}, "adapt": {"dry_run", "pairs_out"}, "assess": GATES}


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_importing_loads_neither_torch_nor_gdal(tmp_path: Path) -> None:
    done = python(
        "import sys, clippan\n"
        "assert clippan.UsageError and clippan.SharpenOptions and clippan.sharpen.__doc__\n"
        "assert not {'torch', 'rasterio', 'numpy', 'xarray'} & set(sys.modules), sys.modules\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [name for name in clippan.__all__ if name != "__version__"])
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    assert (inspect.getdoc(getattr(clippan, name)) or "").strip().endswith((".", ")", "]", "`"))


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sharpn'"):
        clippan.sharpn  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_explains_its_arguments(name: str) -> None:
    function = getattr(clippan, name)
    doc = inspect.getdoc(function) or ""
    assert all(part in doc for part in ("Args:", "Returns:", "Raises:", f"clippan.{name}("))
    own = inspect.signature(function.__wrapped__).parameters
    assert all(f"    {argument}: " in doc for argument in own)


@pytest.mark.parametrize("name", sorted(OF_FILES))
def test_options_and_defaults_are_those_of_the_command_line(name: str) -> None:
    group: Any = typer.main.get_command(app)
    command = {each.name: each for each in group.commands[name].params}
    parameters = inspect.signature(getattr(clippan, name)).parameters
    own = inspect.signature(getattr(clippan, name).__wrapped__).parameters
    options = {key: value.default for key, value in parameters.items() if key not in own}
    assert set(options) == set(command) - NOT_IN_PYTHON - ARGUMENTS - PRINTED.get(name, set())
    for key, default in options.items():
        assert command[key].default == default, key
        assert f"--{key.replace('_', '-')}" in command[key].opts


def test_an_unknown_option_is_refused_as_python_does(pair: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"sharpen\(\) got an unexpected keyword argument 'methd'; did you mean 'method'"
    ):
        clippan.sharpen(*pair, tmp_path / "out.tif", methd="gsa")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'output'"):
        clippan.sharpen(*pair)  # type: ignore[call-arg]


def test_it_works_from_any_folder(pair: tuple[str, str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = python(f"import clippan\nprint(clippan.info(*{pair!r}, sensor='generic').ratio)", elsewhere)
    assert (done.stdout, done.stderr) == ("(4.0, 4.0)\n", "")
