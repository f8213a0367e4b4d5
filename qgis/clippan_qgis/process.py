"""Running clippan: its lines as they come, and a polite end. Free of QGIS."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from clippan_qgis.progress import Feedback, Listener

_LOOK_EVERY = 0.1  # seconds between two looks at the cancel button
_PATIENCE = 30.0  # seconds for the tile or step at work; a second signal then ends it at once, and still cleans up

Line = tuple[bool, str]  # whether it is of stderr


class ClippanError(Exception):
    """clippan has failed; the message is its own."""


def run_clippan(command: Sequence[str], environ: Mapping[str, str], feedback: Feedback) -> str | None:
    """Run a command line of clippan that has `--progress json`.

    Args:
        command: the program and its arguments.
        environ: its environment.
        feedback: is told of everything, and may cancel.

    Returns:
        What it wrote on stdout, or None where it was cancelled.

    Raises:
        ClippanError: it cannot be started, or ends with a code other than 0.
    """
    listener, written = Listener(feedback), []
    with _started(command, environ) as process:
        for is_stderr, line in _lines(process, feedback):
            if is_stderr:
                listener.hear(line)
            else:
                written.append(line)
                feedback.pushConsoleInfo(line.replace("  ", "\u00a0\u00a0"))  # or the log would merge the blanks
        code = process.wait()
    if feedback.isCanceled():
        return None
    if code:
        raise ClippanError(listener.error(code))
    return "\n".join(written)


@contextmanager
def _started(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise ClippanError(f"{command[0]} cannot be started: {error.strerror or error}") from error
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                _ask_to_stop(process)


def _lines(process: subprocess.Popen[str], feedback: Feedback) -> Iterator[Line]:
    """All lines until both streams end; asks the process to stop once the user cancels."""
    lines: queue.Queue[Line | None] = queue.Queue()
    assert process.stdout is not None and process.stderr is not None
    for stream, is_stderr in ((process.stdout, False), (process.stderr, True)):
        threading.Thread(target=_read, args=(stream, is_stderr, lines), daemon=True).start()
    left, ask_at = 2, 0.0
    while left:
        if feedback.isCanceled() and time.monotonic() >= ask_at:
            _ask_to_stop(process)
            ask_at = time.monotonic() + _PATIENCE
        with suppress(queue.Empty):
            line = lines.get(timeout=_LOOK_EVERY)
            if line is None:
                left -= 1
            else:
                yield line


def _read(stream: IO[str], is_stderr: bool, lines: queue.Queue[Line | None]) -> None:
    for line in stream:
        lines.put((is_stderr, line.rstrip("\n")))
    lines.put(None)


def _ask_to_stop(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C does, so that clippan removes what is half written. Windows knows no such signal for a process."""
    if os.name == "posix":
        process.send_signal(signal.SIGINT)
    else:
        process.terminate()
