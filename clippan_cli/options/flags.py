"""What an option is called, what it means and its default. The options of clippan come in groups.

A group is a typed dictionary. Its keys are the keywords of the Python functions and, with hyphens, the flags of the
command line:

    class RamFlag(TypedDict, total=False):
        ram: Annotated[int, Flag(ComputeOptions.ram_mb, "MB", "Memory to plan tiles for.", COMPUTE)]

A function with `**options: Unpack[RamFlag]` takes these options, and type checkers know them.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, Union, cast, get_args, get_origin, get_type_hints

OptionalPath: TypeAlias = Path | str | None
"""A file that may be absent; on the command line a path."""

Group = TypeVar("Group", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Flag:
    """One option.

    Attributes:
        default: its value where it is not given.
        metavar: what a value looks like; None for a switch.
        help: what it means, in a sentence.
        panel: the heading of --help that it stands under; None: the general one.
        short: a flag of one letter, such as "-j".
        counted: the value is how many times the flag is given.
        any_case: its values are names, whose case does not matter.
    """

    default: Any
    metavar: str | None
    help: str
    panel: str | None = None
    short: str | None = None
    counted: bool = False
    any_case: bool = False


@dataclass(frozen=True)
class Panel:
    """A heading of --help."""

    name: str

    def flag(
        self,
        default: Any,
        metavar: str | None,
        help: str,
        short: str | None = None,
        *,
        counted: bool = False,
        any_case: bool = False,
    ) -> Flag:
        """An option under this heading."""
        return Flag(default, metavar, help, self.name, short, counted, any_case)


SCENE, REGION, COMPUTE, LEARNING, METHOD = map(Panel, ("Scene", "Region", "Compute", "Learning", "Method"))
OUTPUT, BATCH, MESSAGES = map(Panel, ("Output", "Batch", "Messages"))


@dataclass(frozen=True)
class Option:
    """An option of a group.

    Attributes:
        name: the keyword in Python.
        kind: the type of its values in Python.
        flag: the rest.
    """

    name: str
    kind: Any
    flag: Flag

    @property
    def spellings(self) -> tuple[str, ...]:
        """The flags of the command line; a switch that is on by default has one to turn it off."""
        long = spelled(self.name)
        off = f"/--no-{long[2:]}" if self.flag.default is True else ""
        return (*([self.flag.short] if self.flag.short else []), long + off)

    @property
    def typed(self) -> Any:
        """The type of its values on the command line: the first of those that Python takes, or None where it does."""
        kinds = get_args(self.kind) if get_origin(self.kind) in (Union, UnionType) else (self.kind,)
        first = str if get_origin(kinds[0]) is Literal else kinds[0]
        return first | None if NoneType in kinds else first

    def value_of(self, given: Mapping[str, Any]) -> Any:
        """The value given, else the default; of a name, in lower case."""
        value = given.get(self.name, self.flag.default)
        return value.lower() if self.flag.any_case and isinstance(value, str) else value


def spelled(name: str) -> str:
    """The flag of an option."""
    return "--" + name.replace("_", "-")


@cache
def options_of(group: type[Mapping[str, Any]]) -> tuple[Option, ...]:
    """The options of a group, in the order of --help."""
    hints = get_type_hints(group, include_extras=True)
    return tuple(Option(name, *get_args(hint)) for name, hint in hints.items())


def filled(group: type[Group], given: Mapping[str, Any]) -> Group:
    """The options of a group: those given, and the defaults of the others. Options of other groups are left out."""
    return cast(Group, {each.name: each.value_of(given) for each in options_of(group)})


def refuse_unknown(function: str, group: type[Mapping[str, Any]], given: Mapping[str, Any]) -> None:
    """Refuse options that a group does not have.

    Raises:
        TypeError: as Python does for its own keywords; names the nearest one that exists.
    """
    known = [each.name for each in options_of(group)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


class NoFlags(TypedDict, total=False):
    """Of a function without options."""


def group_of(function: Callable[..., Any]) -> type[Mapping[str, Any]]:
    """The group that a function takes as `**options: Unpack[Group]`."""
    last = list(inspect.signature(function).parameters.values())[-1]
    if last.kind is not inspect.Parameter.VAR_KEYWORD:
        return NoFlags
    (group,) = get_args(eval(last.annotation, function.__globals__))
    return cast(type[Mapping[str, Any]], group)
