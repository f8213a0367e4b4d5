"""A network fitted to a scene in memory."""

from __future__ import annotations

from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.scene import Guide
from clippan_models.adaptation.trainer import Adapted
from clippan_models.methods.method import MethodOptions
from clippan_models.methods.network import NetworkMethod, NetworkSharpener
from clippan_models.testing.scenes import TileSource


def fit_network(
    source: TileSource, options: AdaptOptions, guide: Guide | None = None
) -> tuple[NetworkSharpener, Adapted]:
    """A network after it learned on a scene, and how it learned."""
    fitted = NetworkMethod.of(MethodOptions(options, guide)).fit(source)
    assert isinstance(fitted.sharpener, NetworkSharpener) and fitted.learned is not None
    return fitted.sharpener, fitted.learned.adapted
