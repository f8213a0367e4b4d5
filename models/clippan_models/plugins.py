"""Methods and backbones of other packages: found by name without importing anything, loaded once they are chosen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from clippan_models.errors import UsageError, in_one_line, unknown_name

T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")  # options that take names ignore case


def _sound(loaded: object) -> str:
    return ""


@dataclass(frozen=True)
class Plugins:
    """What other packages register as entry points of one group.

    Attributes:
        kind: what one is called, "method" or "backbone"; the group is `clippan.methods` or `clippan.backbones`.
        own: the names of those that come with clippan, which nobody else can take.
    """

    kind: str
    own: tuple[str, ...]

    @property
    def group(self) -> str:
        """Of the entry points."""
        return f"clippan.{self.kind}s"

    def names(self) -> list[str]:
        """Those that can be chosen beside clippan's own, in alphabetical order."""
        return list(self._found()[0])

    def known(self) -> list[str]:
        """All names, clippan's own first."""
        return [*self.own, *self.names()]

    def refused(self) -> list[str]:
        """Why others cannot be chosen, a line for each name."""
        return list(self._found()[1].values())

    def package(self, name: str) -> str:
        """The package that registers a name, with its version."""
        return _package(self._found()[0][name])

    def tags(self, name: str, part: str = "") -> dict[str, str]:
        """What the tags of a result say of a package that had a part in it; nothing of clippan's own.

        Args:
            name: of what it brings.
            part: that this had; if not given, that of its kind.
        """
        return {f"{(part or self.kind).upper()}_PACKAGE": self.package(name)} if name in self.names() else {}

    def check(self, name: str) -> None:
        """Refuse a name that nobody registers, or that cannot be chosen.

        Raises:
            UsageError: the message lists the names there are, or says what is wrong with the package.
        """
        chosen, refused = self._found()
        if name in refused:
            raise UsageError(refused[name])
        if name not in chosen:
            raise unknown_name(self.kind, name, self.known())

    def load(self, name: str, expected: type[T], wrong: Callable[[T], str] = _sound) -> T:
        """What is registered under a name.

        Args:
            name: not one of clippan's own.
            expected: what it must be an instance of.
            wrong: says what else is wrong with it, if anything.

        Raises:
            UsageError: nobody registers the name, or it cannot be used; the message names the package.
        """
        self.check(name)
        entry = self._found()[0][name]
        try:
            loaded = entry.load()
        except Exception as error:  # whatever the code of others raises
            raise self.unusable(name, error) from error
        if not isinstance(loaded, expected):
            raise self.unusable(name, f"it is not a {expected.__name__} but a {type(loaded).__name__}")
        if problem := wrong(loaded):
            raise self.unusable(name, problem)
        return loaded

    def unusable(self, name: str, why: str | Exception) -> UsageError:
        """The error that what is registered under a name cannot be used; an error that says so stays as it is."""
        if isinstance(why, UsageError):
            return why
        if isinstance(why, Exception):
            why = f"{type(why).__name__}: {in_one_line(why)}"
        described = self._described(self._found()[0][name])
        return UsageError(f"{described} cannot be used: {why}; repair or uninstall the package")

    def _described(self, entry: EntryPoint) -> str:
        return f"the {self.kind} {entry.name!r} of the package {_package(entry)} ({entry.value})"

    def _found(self) -> tuple[dict[str, EntryPoint], dict[str, str]]:
        return _registered(self)

    def _problem(self, entry: EntryPoint, all_of_name: Iterable[EntryPoint]) -> str:
        """Why an entry point cannot be chosen, as far as its name tells."""
        what = self._described(entry)
        if entry.name in self.own:
            return f"{what} is not used: clippan has a {self.kind} of this name; rename the entry point"
        if not _NAME.fullmatch(entry.name):
            return f"{what} is not used: a name has lower-case letters, digits, and . _ - between them"
        packages = sorted({_package(each) for each in all_of_name})
        if len(packages) > 1:
            return f"the {self.kind} {entry.name!r} is registered by {' and by '.join(packages)}: uninstall one of them"
        return ""


@cache
def _registered(plugins: Plugins) -> tuple[dict[str, EntryPoint], dict[str, str]]:
    """The entry points that can be chosen, by name, and the problem of each other one."""
    by_name: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=plugins.group)):
        by_name.setdefault(entry.name, []).append(entry)
    problems = {name: plugins._problem(entries[0], entries) for name, entries in by_name.items()}
    chosen = {name: entries[0] for name, entries in by_name.items() if not problems[name]}
    return chosen, {name: problem for name, problem in problems.items() if problem}


def look_again() -> None:
    """Forget what was found, after packages were installed or removed."""
    _registered.cache_clear()


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "of unknown name"
