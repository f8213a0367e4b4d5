"""The errors that clippan shows to its user, each with the exit code it ends in."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Callable, Sequence
from pathlib import Path

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of the system for a file, or whatever stands for one, that takes no more."""
_LONGEST_LINE = 2000
_UNUSUAL = re.compile(r"[^\x20-\x7e\n]")


class ClippanError(Exception):
    """Something went wrong that the person at the keyboard can act on; the message is one line."""

    exit_code = 1


def in_one_line(error: BaseException) -> str:
    """What an error says, or what it is called where it says nothing; a long quotation is cut."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _LONGEST_LINE else f"{words[:_LONGEST_LINE]} ..."


def why_lost(error: Exception) -> str:
    """Why one of many scenes is lost, in a line.

    Raises:
        Interrupted: that is the error: no scene is lost to it, all work stops.
    """
    if isinstance(error, Interrupted):
        raise error
    told = in_one_line(error)
    return told if isinstance(error, ClippanError) else f"unexpected {type(error).__name__}: {told}"


def shown(path: Path | str) -> str:
    """A path as part of a message of one line: what cannot be printed is escaped, blanks at its ends are quoted."""
    text = unbroken(printable(str(path)))
    return text if text and text == text.strip() else f"'{text}'"


def printable(text: str, escape: Callable[[str], str] = ascii) -> str:
    """A text with all control characters but line breaks escaped, in the way of Python or of JSON."""
    return _UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else escape(found[0])[1:-1], text)


def unbroken(text: str) -> str:
    """A text whose line breaks, such as those in the name of a file, are escaped."""
    return text.replace("\n", "\\n")


class UsageError(ClippanError):
    """Options that contradict each other or name something that does not exist.

    Args:
        message: what is wrong; begins with the value where `option` is given.
        option: the option whose value it is; begins the line. The command line spells it as a flag.
    """

    exit_code = 2

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(f"{option} {message}" if option else message)
        self.option = option


def unknown_name(kind: str, name: str, known: Sequence[str], more: str = "") -> UsageError:
    """The error that there is nothing of a kind under a name; it says what is available, and what is spelt alike."""
    near = difflib.get_close_matches(name.strip().lower(), known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return UsageError(f"there is no {kind} called {name!r}{hint}; available: {', '.join(known)}{more}")


class InputError(ClippanError):
    """An input that cannot be read, or that holds what clippan does not work with."""

    exit_code = 3


class IncompatiblePairError(ClippanError):
    """MS and PAN that do not belong together: CRS, overlap, resolution, order of the arguments."""

    exit_code = 4


class StrictError(ClippanError):
    """A doubt about the run, where `--strict` makes every warning an error."""

    exit_code = 4


class OutputError(ClippanError):
    """The output cannot be written: it exists, the disk is full, the folder is missing."""

    exit_code = 5


class ResourceError(ClippanError):
    """Not enough memory, or a device or a cluster that is not there."""

    exit_code = 6


class WeightsError(ClippanError):
    """Weights that are missing, damaged or made for something else."""

    exit_code = 7


def unreadable_weights(path: Path, error: OSError | ValueError) -> WeightsError:
    """The error for a file of weights that cannot be read, with the reason of the system."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return WeightsError(f"cannot read the weights {shown(path)}: {reason}")


class QualityGateError(ClippanError):
    """The result is worse than the user's threshold."""

    exit_code = 8


class BatchError(ClippanError):
    """Some of many scenes failed; the others are complete."""

    exit_code = 9


class Interrupted(ClippanError):
    """A signal asked the run to stop; it stopped at the next tile, step or task."""

    def __init__(self, signal_number: int, left: str = "nothing unfinished was left behind") -> None:
        super().__init__(f"stopped by signal {signal_number}; {left}")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
