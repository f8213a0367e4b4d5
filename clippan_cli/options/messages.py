"""What a command prints."""

from __future__ import annotations

from typing import Annotated, TypedDict

from clippan_cli.options.flags import MESSAGES


class MessageFlags(TypedDict, total=False):
    """The options of every command."""

    json: Annotated[bool, MESSAGES.flag(False, None, "Print one JSON document on stdout.")]
    quiet: Annotated[bool, MESSAGES.flag(False, None, "No progress and no notes; warnings stay.", "-q")]
    verbose: Annotated[
        int, MESSAGES.flag(0, None, "Log more; twice: also show tracebacks of errors.", "-v", counted=True)
    ]
