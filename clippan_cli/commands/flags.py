"""From a function with options to a command of Typer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from typing import Any

import typer

from clippan_cli.console import Terminal
from clippan_cli.options.flags import Option, filled, group_of, options_of
from clippan_cli.options.messages import MessageFlags


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer wants it.

    The function takes a terminal first, then arguments of Typer, then perhaps `**flags: Unpack[Group]`. Typer sees one
    parameter for each option of the group, and those of the terminal.
    """

    @wraps(function)
    def run(**values: Any) -> None:
        messages = filled(MessageFlags, values)
        function(Terminal(**messages), **{name: value for name, value in values.items() if name not in messages})

    signature = inspect.signature(function, eval_str=True)
    own = [each for each in list(signature.parameters.values())[1:] if each.kind is not Parameter.VAR_KEYWORD]
    options = [*options_of(group_of(function)), *options_of(MessageFlags)]
    run.__signature__ = signature.replace(parameters=[*own, *map(_parameter, options)])  # type: ignore[attr-defined]
    return run


def _parameter(option: Option) -> Parameter:
    flag = option.flag
    typed = typer.Option(
        flag.default,
        *option.spellings,
        metavar=flag.metavar,
        help=flag.help,
        rich_help_panel=flag.panel,
        count=flag.counted,
    )
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=typed, annotation=option.typed)
