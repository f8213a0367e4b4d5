"""The verbs with typed options instead of keywords, for programs that pass options on.

    from clippan import ReadOptions, SceneFiles, SharpenOptions
    from clippan.tasks import sharpen

    sharpen(SceneFiles(("ms.tif",), "pan.tif"), ReadOptions(), SharpenOptions(Path("hrms.tif"), method="gsa"))

They draw nothing and hear no signal: their `Control` has a callback for progress, and may ask them to stop.
"""

from __future__ import annotations

from clippan_cli.products.finding import find_scenes as find_pairs
from clippan_cli.running.control import Control
from clippan_cli.tasks.adapt import adapt_archive
from clippan_cli.tasks.assess import assess
from clippan_cli.tasks.assess_index import assess_scenes
from clippan_cli.tasks.batch import run_batch
from clippan_cli.tasks.info import info
from clippan_cli.tasks.sharpen import plan_sharpen, sharpen

__all__ = [
    "Control",
    "adapt_archive",
    "assess",
    "assess_scenes",
    "find_pairs",
    "info",
    "plan_sharpen",
    "run_batch",
    "sharpen",
]
