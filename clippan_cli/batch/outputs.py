"""What the result of each scene is called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clippan_cli.batch.options import BatchOptions
from clippan_cli.scene.files import SceneFiles
from clippan_cli.scene.names import safe_name
from clippan_models.errors import UsageError


def outputs_of(pairs: Sequence[SceneFiles], method: str, options: BatchOptions) -> dict[str, Path]:
    """The file for the result of each scene, by the id of the scene.

    Raises:
        UsageError: the template gives two scenes one name.
    """
    outputs: dict[str, Path] = {}
    owners: dict[str, str] = {}
    for pair in pairs:
        ms, pan = (safe_name(Path(name).stem) for name in (pair.ms[0], pair.pan))
        name = options.name_template.format(scene=pair.id, method=method, ms=ms, pan=pan)
        other = owners.setdefault(name.lower(), pair.id)  # some file systems take A and a for the same
        if other != pair.id:
            raise UsageError(
                f"{options.name_template}: both {other} and {pair.id} would be {name}; add {{scene}}", "name_template"
            )
        outputs[pair.id] = options.folder / name
    return outputs
