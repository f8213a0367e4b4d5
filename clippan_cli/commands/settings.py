"""Options from a TOML file and from the environment, for what the command line does not say."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer

from clippan_cli.options.flags import spelled
from clippan_models.errors import UsageError, shown
from clippan_models.outside import read_toml

CONFIG = Path("clippan.toml")
"""The file of a project, found in the working folder."""

_PREFIX = "CLIPPAN"
_ONLY_NAMED = frozenset({"allow_vrt", "allow_remote", "overwrite"})
"""Options that a file may not set which the user has not named: whoever can write to the folder could."""

_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Settings:
    """The options of a run.

    Attributes:
        values: all of them, by keyword.
        note: what the user should know of where they come from; empty: nothing.
    """

    values: dict[str, Any]
    note: str


@dataclass(frozen=True)
class _File:
    """A file with options.

    Attributes:
        path: the file.
        found: it lies in the working folder, and the user has not named it.
    """

    path: Path
    found: bool


def settled(context: typer.Context, kinds: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """The options of a run: those of the command line, else of the environment, else of a file, else the defaults.

    Args:
        context: the run, as Typer sees it.
        kinds: the type of each option in Python.
        given: the values of the command line and the defaults.

    Raises:
        UsageError: the file cannot be read, or a key or a value of it or of the environment cannot be understood.
    """
    typed = {name for name in kinds if _is_typed(context, name)}
    surroundings = _of_environment(kinds, _place(context))
    file = _config_file(given["config"] if "config" in typed else surroundings.get("config"))
    of_file = {} if file is None else _of_file(file, context, kinds)
    chosen = {name: value for name, value in {**of_file, **surroundings}.items() if name not in typed}
    used = ", ".join(spelled(name) for name in of_file if name in chosen and name not in surroundings)
    note = f"{CONFIG} in this folder sets {used}" if file is not None and file.found and used else ""
    return Settings({**given, **chosen}, note)


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _place(context: typer.Context) -> list[str]:
    """The names of the command and of those that it belongs to, but for the program's."""
    names: list[str] = []
    at: Any = context
    while at.parent is not None:
        names.insert(0, at.info_name)
        at = at.parent
    return names


def _of_environment(kinds: Mapping[str, Any], place: Sequence[str]) -> dict[str, Any]:
    """The values of CLIPPAN_OPTION; those of CLIPPAN_COMMAND_OPTION, for one command alone, win."""
    values = {}
    for prefix in (_PREFIX, "_".join([_PREFIX, *place]).upper()):
        for name, kind in kinds.items():
            variable = f"{prefix}_{name.upper()}"
            if text := os.environ.get(variable):
                values[name] = _fitting(kind, _parsed(kind, text), f"the environment variable {variable}")
    return values


def _config_file(named: Path | str | None) -> _File | None:
    """The file that the user has named, else that of the project; "none" is no file."""
    if named is None:
        return _File(CONFIG, found=True) if CONFIG.is_file() else None
    if str(named).lower() == "none":
        return None
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", str(named)) and not Path(named).exists():
        raise UsageError(
            f"--config names a TOML file with options, and {named} is none; a setting of GDAL is a variable of the "
            f"environment: {named}=VALUE clippan ..."
        )
    return _File(Path(named), found=False)


def _of_file(file: _File, context: typer.Context, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file for this command: those of its own table win over those at the top."""
    table = read_toml(file.path, "config file")
    _refuse_unknown(table, context.find_root().command, f"config file {shown(file.path)}")
    values = {}
    for heading, entries in _tables(table, _place(context)):
        for key, value in entries.items():
            name, where = _keyword(key), f"config file {shown(file.path)}: {heading}{key}"
            if file.found and name in _ONLY_NAMED:
                raise UsageError(f"{where} counts only in a file that you name; add --config {file.path}")
            if name in kinds:
                values[name] = _fitting(kinds[name], value, where)
    return values


def _tables(table: Mapping[str, Any], place: Sequence[str], heading: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables of a file that concern a command, the most general first."""
    inner = table.get(place[0]) if place else None
    yield heading, {key: value for key, value in table.items() if not place or key != place[0]}
    if isinstance(inner, dict):
        yield from _tables(inner, place[1:], f"{heading}{place[0]}.")


def _refuse_unknown(table: Mapping[str, Any], command: Any, where: str) -> None:
    commands = getattr(command, "commands", {})
    known = sorted({*_names(command), *commands} - {"config", "help", "version"})
    for key, value in table.items():
        if key in commands and isinstance(value, dict):
            _refuse_unknown(value, commands[key], f"{where} [{key}]")
        elif _keyword(key) not in known or key in commands:
            near = difflib.get_close_matches(_keyword(key), known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"{where}: {key} is no option of {_called(command)}{hint}")


def _called(command: Any) -> str:
    return "any command" if getattr(command, "commands", {}) else f"clippan {command.name}"


def _names(command: Any) -> Iterator[str]:
    """The options of a command and of those within it."""
    yield from (one.name for one in command.params if one.param_type_name == "option")
    for inner in getattr(command, "commands", {}).values():
        yield from _names(inner)


def _keyword(key: str) -> str:
    return key.replace("-", "_")


def _parsed(kind: Any, text: str) -> Any:
    """A text of the environment as a value of the type that an option takes on the command line."""
    first = _alternatives(kind)[0]
    if first is bool:
        return _SWITCH.get(text.lower(), text)
    if first in (int, float):
        try:
            return first(text)
        except ValueError:
            return text
    return text.split() if get_origin(first) is list else text


def _fitting(kind: Any, value: Any, where: str) -> Any:
    """A value as an option takes it in Python.

    Raises:
        UsageError: it is of another type.
    """
    kinds = _alternatives(kind)
    if list[str] in kinds and isinstance(value, str):
        return [value]
    if not _fits(kind, value):
        wanted = " or ".join(dict.fromkeys(map(_name_of, kinds)))
        raise UsageError(f"{where} is {value!r}; it must be {wanted}")
    return Path(value) if kinds[0] is Path and isinstance(value, str) else value


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The types that a value may have, None aside."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(one for one in kinds if one is not type(None))


def _fits(kind: Any, value: Any) -> bool:
    return any(_is_of(one, value) for one in _alternatives(kind))


def _is_of(kind: Any, value: Any) -> bool:
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if isinstance(value, bool) or origin is bool:
        return origin is bool and isinstance(value, bool)
    if origin in (Literal, Path, str):
        return isinstance(value, str)
    if origin is float:
        return isinstance(value, int | float)
    if origin is int:
        return isinstance(value, int)
    if origin is Any:
        return True
    if isinstance(value, dict):
        return issubclass(origin, Mapping) and all(_fits(parts[1], each) for each in value.values())
    return isinstance(value, list) and not issubclass(origin, Mapping) and all(_fits(parts[0], each) for each in value)


def _name_of(kind: Any) -> str:
    origin = get_origin(kind) or kind
    names = {bool: "true or false", int: "a whole number", float: "a number", Mapping: "a table"}
    if origin in (str, Path, Literal):
        return "a text"
    return names.get(origin) or ("a table" if origin is not list and issubclass(origin, Mapping) else "a list")
