"""The sharpening methods by name, also those of other packages; clippan's are free of torch until one is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from clippan_models.methods.options import CLASSICAL_METHODS
from clippan_models.plugins import Plugins

if TYPE_CHECKING:
    from clippan_models.methods.method import Method, MethodOptions


@dataclass(frozen=True)
class MethodSpec:
    """What is known of a method before it is built.

    Attributes:
        build: makes the method with its options.
        learns: a network learns on the scene: it can begin with weights, and what it learned can be kept.
        language: a CLIP judges the image while the network learns.
        weighs: PAN replaces a weighted sum of the bands, whose weights can be given.
    """

    build: Callable[[MethodOptions], Method]
    learns: bool = False
    language: bool = False
    weighs: bool = False


def _classical(name: str, options: MethodOptions) -> Method:
    from clippan_models.methods.classical import CLASSICAL

    method = next(method for method in CLASSICAL if method.name == name)
    if options.pan_weights is None:
        return method
    return replace(method, fitter=partial(method.fitter, options.pan_weights))


def _network(options: MethodOptions, language: bool = False) -> Method:
    from clippan_models.methods.network import NetworkMethod

    return NetworkMethod.of(options, language=language)


_WEIGHING = ("brovey", "gsa")

METHODS: dict[str, MethodSpec] = {
    **{name: MethodSpec(partial(_classical, name), weighs=name in _WEIGHING) for name in CLASSICAL_METHODS},
    "network": MethodSpec(_network, learns=True),
    "clippan": MethodSpec(partial(_network, language=True), learns=True, language=True),
}

METHOD_PLUGINS = Plugins("method", tuple(METHODS))
"""Methods of other packages."""


def find_method(name: str) -> MethodSpec:
    """The method of a name.

    Raises:
        UsageError: there is no such method; the message lists those that are available. Or the package that registers
            it cannot be used.
    """
    return METHODS[name] if name in METHODS else METHOD_PLUGINS.load(name, MethodSpec)
