"""Coverage-guided fuzzing of the reader of a format, for as long as wanted; needs the package atheris.

Beside the random spoiling of `test_formats.py`, this follows which bytes lead to new code. What is no error of clippan
ends it with a traceback, and leaves the file behind as crash-HASH.

Usage: python -m tests.fuzz.guided "mtl txt" -max_total_time=60    (formats: the keys of test_formats.FORMATS)
"""

from __future__ import annotations

import logging
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["clippan_cli", "clippan_models"]):
    from clippan_models.errors import ClippanError
    from tests.fuzz.test_formats import FORMATS
    from tests.products.deliveries import Shelf


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    name, *options = sys.argv[1:] or [""]
    if name not in FORMATS:
        sys.exit(f"usage: python -m tests.fuzz.guided FORMAT [OPTION]; formats: {', '.join(FORMATS)}")
    logging.disable()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        good = FORMATS[name](Shelf(folder / "product", folder / "plain", 7))
        corpus = folder / "corpus"
        corpus.mkdir()
        (corpus / "good").write_bytes(good.file.read_bytes())

        def reads(content: bytes) -> None:
            good.file.write_bytes(content)
            with suppress(ClippanError):
                good.read()

        atheris.Setup([sys.argv[0], "-timeout=5", *options, str(corpus)], reads)
        atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    main()
