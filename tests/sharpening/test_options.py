"""Are the options of a run light? The command line reads them before it knows whether there is anything to compute."""

from __future__ import annotations

import subprocess
import sys


def test_options_and_their_defaults_need_neither_torch_nor_gdal() -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from clippan_cli.batch.options import BatchOptions\n"
        "from clippan_cli.quality.options import AssessOptions\n"
        "from clippan_cli.scene.files import ReadOptions\n"
        "from clippan_cli.sharpening.options import SharpenOptions\n"
        "from clippan_cli.training.options import ArchiveOptions\n"
        "options = SharpenOptions(Path('hrms.tif'))\n"
        "assert options.compute.thread_count and options.adapt.steps and options.guidance.prompts.hrms\n"
        "assert BatchOptions(Path()).workers and AssessOptions() and ReadOptions() and ArchiveOptions(Path())\n"
        "sys.exit(bool({'torch', 'rasterio', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
