"""Writes the parts of these pages that follow from the code: options, exit codes, warnings, sensors, extras, Python ...

    python docs/generate.py            write them
    python docs/generate.py --check    write nothing; name the pages that are out of date, and exit with 1 if there are

A part stands between `<!-- generated: KEY -->` and `<!-- end -->`. The keys are those of `parts()`.
"""

from __future__ import annotations

import inspect
import re
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import typer.main

import clippan
from clippan.calls import in_python
from clippan_cli.commands.habits import HABITS
from clippan_cli.main import app
from clippan_cli.options.flags import group_of, options_of
from clippan_cli.running.warnings import KINDS
from clippan_cli.weights.backbones import list_backbones
from clippan_models import errors
from clippan_models.errors import ClippanError
from clippan_models.sensors.loader import builtin_sensors

ROOT = Path(__file__).resolve().parent.parent
_PART = re.compile(r"(<!-- generated: ([\w -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """All pages for readers, those without generated parts included."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "models" / "README.md"]


def commands() -> dict[str, Any]:
    """The commands of clippan by name, as Typer builds them."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def parts() -> dict[str, Callable[[], str]]:
    """What makes each generated part, by key."""
    made: dict[str, Callable[[], str]] = {"exit codes": _exit_codes, "sensors": _sensors, "backbones": _backbones}
    made |= {"warnings": _warnings, "extras": _extras, "habits": _habits}
    made |= {"functions": _functions, "keywords": _keywords, "types": _types}
    return made | {f"options {name}": partial(_options, command) for name, command in commands().items()}


def renewed(text: str) -> str:
    """A page with its generated parts made anew.

    Raises:
        KeyError: a part that nothing makes.
    """
    known = parts()
    return _PART.sub(lambda part: f"{part[1]}\n{known[part[2]]()}\n{part[3]}", text)


def main() -> int:
    """Write all pages, or check them; returns the exit code."""
    stale = {page: renewed(page.read_text()) for page in pages()}
    stale = {page: text for page, text in stale.items() if text != page.read_text()}
    check = "--check" in sys.argv[1:]
    for page, text in stale.items():
        print(f"{page.relative_to(ROOT)} {'is out of date: run python docs/generate.py' if check else 'written'}")
        if not check:
            page.write_text(text)
    return int(check and bool(stale))


def _options(command: Any) -> str:
    """The options of a command, one table for each panel of its help; of a group, those of each of its commands."""
    if inner := getattr(command, "commands", None):
        return "\n".join(f"### clippan {command.name} {name}\n\n{_options(each)}" for name, each in inner.items())
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if not parameter.hidden:
            panels.setdefault(parameter.rich_help_panel or _own_panel(parameter), []).append(parameter)
    tables = {name: _table(("option", "meaning", "default"), map(_row, panel)) for name, panel in panels.items()}
    return "\n".join(f"**{name}**\n\n{table}" for name, table in tables.items())


def _own_panel(parameter: Any) -> str:
    return "Arguments" if parameter.param_type_name == "argument" else "Options"


def _row(parameter: Any) -> tuple[str, str, str]:
    if _own_panel(parameter) == "Arguments":
        name = f"`{parameter.metavar}`"
    else:
        spelled = sorted(parameter.opts, key=len) + parameter.secondary_opts
        value = f" {parameter.metavar}" if parameter.metavar and not parameter.is_flag else ""
        name = ", ".join(f"`{one}{value if one.startswith('--') else ''}`" for one in spelled)
    return name, parameter.help or "", _default(parameter)


def _default(parameter: Any) -> str:
    default = parameter.default
    if default is True:
        return f"`{parameter.opts[0]}`"
    if isinstance(default, bool) or getattr(parameter, "count", False):
        return ""
    return f"`{default}`" if isinstance(default, str | int | float | Path) else ""


def _habits() -> str:
    rows = []
    for habit in HABITS:
        spellings = ", ".join(f"`{spelling}`" for spelling in habit.spellings)
        ours = " ".join(filter(None, (habit.ours, habit.key)))
        rows.append((spellings, f"`{ours}`" if ours else habit.instead))
    return _table(("elsewhere", "in clippan"), rows)


def _exit_codes() -> str:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ClippanError)]
    fixed = sorted(
        (kind for kind in kinds if kind not in (ClippanError, errors.Interrupted)), key=attrgetter("exit_code")
    )
    rows = [("0", "", "All went well."), ("1", "", "A mistake in clippan: please report it, with the output of `-vv`.")]
    rows += [(str(kind.exit_code), f"`{kind.__name__}`", _first_line(kind)) for kind in fixed]
    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    rows += [
        (str(128 + number), f"`{errors.Interrupted.__name__}`", f"Stopped by {number.name}.") for number in signals
    ]
    return _table(("code", "error in Python", "meaning"), rows)


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _warnings() -> str:
    rows = [(f"`{kind.code}`", kind.meaning, kind.advice) for kind in KINDS]
    return _table(("code", "when", "what to do"), rows)


def _extras() -> str:
    """Each extra that pyproject.toml has in one line, by the comment there."""
    extras = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    rows = re.findall(r"""^([\w-]+) = \[".*\]  # (.*)$""", extras, re.MULTILINE)
    return _table(("extra", "for"), [(f"`{name}`", purpose) for name, purpose in rows])


def _sensors() -> str:
    rows = []
    for key, sensor in sorted(builtin_sensors().items()):
        bands = ", ".join(band.name for band in sensor.bands) or "any"
        gains = ", ".join(f"{gain:g}" for gain in sensor.ms_gains(len(sensor.bands) or 1))
        rows.append((f"`{key}`", sensor.name, bands, f"{sensor.ratio:g}", gains, f"{sensor.pan_gain:g}", sensor.source))
    return _table(("name", "camera", "bands", "ratio", "MS gains", "PAN gain", "source"), rows)


def _backbones() -> str:
    rows = [
        (
            f"`{each.name}`",
            each.paper,
            f"{each.parameters:,}",
            f"{each.macs_per_pixel / 1000:,.0f}",
            f"{each.seconds_per_megapixel:,.0f}",
            "all" if each.halo is None else str(each.halo),
            each.tile_mode,
        )
        for each in list_backbones()
    ]
    return _table(("name", "paper", "parameters", "work", "time", "halo", "tiles"), rows)


def _functions() -> str:
    """What each function of the package says of itself."""
    return "\n".join(f"### clippan.{each.__name__}\n\n{_described(each)}" for each in _python_functions())


def _types() -> str:
    named = {name: getattr(clippan, name) for name in clippan.__all__}
    rows = [(f"`{name}`", _first_line(each)) for name, each in named.items() if inspect.isclass(each)]
    return _table(("name", "what it is"), rows)


def _python_functions() -> list[Any]:
    """The functions of the package, in the order of their file."""
    named = [getattr(clippan, name) for name in clippan.__all__]
    return sorted(filter(inspect.isfunction, named), key=lambda each: each.__wrapped__.__code__.co_firstlineno)


def _described(function: Any) -> str:
    """A function's signature and docstring as Markdown."""
    about, *sections = re.split(
        r"^(Args|Returns|Raises|Example):\n", inspect.getdoc(function) or "", flags=re.MULTILINE
    )
    own = inspect.signature(function.__wrapped__)
    plain = own.replace(
        parameters=[each.replace(annotation=inspect.Parameter.empty) for each in own.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )
    parts = [f"```text\nclippan.{function.__name__}{plain} -> {own.return_annotation}\n```\n", about]
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        lines = textwrap.dedent(text).strip()
        if title == "Example":
            parts.append(f"```py\n{lines}\n```\n")
        elif title == "Returns":
            parts.append(f"**Returns** {lines}\n")
        else:
            items = re.sub(r"^([\w*]+): ", r"- `\1`: ", lines, flags=re.MULTILINE)
            parts.append(f"**{title}**\n\n{re.sub(r'^ +', '  ', items, flags=re.MULTILINE)}\n")
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _keywords() -> str:
    """The options of all functions in one table; those that mean the same in several stand there once."""
    functions: dict[tuple[str, ...], list[str]] = {}
    for function in _python_functions():
        for option in options_of(group_of(function.__wrapped__)):
            kind = re.sub(r"\b[a-z.]+\.(?=[A-Z])", "", inspect.formatannotation(option.kind))
            row = f"`{option.name}`", in_python(option.flag.help), f"`{kind}`", f"`{option.flag.default!r}`"
            functions.setdefault(row, []).append(f"`{function.__name__}`")
    rows = [(*row, ", ".join(of)) for row, of in functions.items()]
    return _table(("keyword", "meaning", "type", "default", "of"), rows)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
