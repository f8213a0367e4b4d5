"""What a command prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict

from clippan_cli.options.flags import MESSAGES


class MessageFlags(TypedDict, total=False):
    """The options of every command."""

    progress: Annotated[
        str,
        MESSAGES.flag(
            "auto",
            "auto|lines|json|none",
            "Progress on stderr: as suits the terminal, in lines with the time, as JSON in lines, or none.",
            any_case=True,
        ),
    ]
    log_file: Annotated[Path | None, MESSAGES.flag(None, "FILE", "Also write all messages at the end of this file.")]
    json: Annotated[bool, MESSAGES.flag(False, None, "Print one JSON document on stdout.")]
    quiet: Annotated[bool, MESSAGES.flag(False, None, "No progress and no notes; warnings stay.", "-q")]
    config: Annotated[
        Path | None,
        MESSAGES.flag(
            None, "FILE.toml", "Take options from this file; if not given, from clippan.toml in this folder, or none."
        ),
    ]
    verbose: Annotated[
        int, MESSAGES.flag(0, None, "Log more; twice: also show tracebacks of errors.", "-v", counted=True)
    ]
