"""From a function with options to a command of Typer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from typing import Any, get_args

import typer
from typer.models import OptionInfo, ParameterInfo

from clippan_cli.commands.settings import settled
from clippan_cli.console import Terminal
from clippan_cli.options.flags import Option, filled, group_of, options_of
from clippan_cli.options.messages import MessageFlags
from clippan_cli.running.network import keep_gdal_off_the_network


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer wants it.

    The function takes a terminal first, then arguments of Typer, then perhaps `**flags: Unpack[Group]`. Typer sees one
    parameter for each option of the group, and those of the terminal. What the command line does not give comes from
    the environment or from a file.
    """
    signature = inspect.signature(function, eval_str=True)
    own = [each for each in list(signature.parameters.values())[1:] if each.kind is not Parameter.VAR_KEYWORD]
    options = [*options_of(group_of(function)), *options_of(MessageFlags)]
    kinds = {each.name: get_args(each.annotation)[0] for each in own if _is_option(each)}
    kinds |= {each.name: each.kind for each in options}

    @wraps(function)
    def run(context: typer.Context, **given: Any) -> None:
        settings = settled(context, kinds, given)
        values = settings.values
        if not values.get("allow_remote"):
            keep_gdal_off_the_network()
        messages: dict[str, Any] = {**filled(MessageFlags, values)}
        others = {name: value for name, value in values.items() if name not in messages}
        del messages["config"]
        terminal = Terminal(**messages)
        if settings.note:
            terminal.note(settings.note)
        function(terminal, **others)

    typed = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [*own, typed, *map(_parameter, options)]
    for info in (each for one in parameters for each in (*get_args(one.annotation), one.default)):
        if isinstance(info, ParameterInfo):
            info.readable = False  # a file that cannot be read is refused in our line, not in the box of Typer
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def _is_option(parameter: Parameter) -> bool:
    return any(isinstance(each, OptionInfo) for each in get_args(parameter.annotation))


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
