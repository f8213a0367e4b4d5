"""Are the options of a run light? The command line reads them before it knows whether there is anything to compute."""

from __future__ import annotations

import subprocess
import sys


def test_the_options_of_a_run_are_made_without_torch() -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from clippan_cli.sharpening.options import SharpenOptions\n"
        "options = SharpenOptions(Path('hrms.tif'))\n"
        "assert options.compute.thread_count and options.adapt.steps and options.guidance.prompts.hrms\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
