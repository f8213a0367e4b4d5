"""What a command prints."""

from __future__ import annotations

from typing import Annotated, TypedDict

from clippan_cli.options.flags import MESSAGES, Flag


class MessageFlags(TypedDict, total=False):
    """The options of every command."""

    json: Annotated[bool, Flag(False, None, "Print one JSON document on stdout.", MESSAGES)]
    quiet: Annotated[bool, Flag(False, None, "No progress and no notes.", MESSAGES, "-q")]
    verbose: Annotated[
        int, Flag(0, None, "Log more; twice: also show tracebacks of errors.", MESSAGES, "-v", counted=True)
    ]
