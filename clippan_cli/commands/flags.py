"""From the options of clippan to the parameters of Typer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from clippan_cli.options.flags import Option, expanded


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer wants it: its `**flags: Unpack[Group]` becomes one parameter for each option of the group."""

    @wraps(command)
    def run(**values: Any) -> None:
        command(**values)

    run.__signature__ = expanded(command, inspect.signature(command, eval_str=True), _parameter)  # type: ignore[attr-defined]
    return run


def _parameter(option: Option) -> inspect.Parameter:
    flag = option.flag
    typed = typer.Option(
        flag.default,
        *option.spellings,
        metavar=flag.metavar,
        help=flag.help,
        rich_help_panel=flag.panel,
        count=flag.counted,
    )
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=typed, annotation=option.typed)
