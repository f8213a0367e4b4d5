"""The sharpening methods by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from clippan_models.errors import unknown_name
from clippan_models.methods.classical import CLASSICAL, ClassicalMethod
from clippan_models.methods.method import Method
from clippan_models.methods.network import MethodOptions, NetworkMethod


@dataclass(frozen=True)
class MethodSpec:
    """What is known of a method before it is built.

    Attributes:
        build: makes the method with its options.
        learns: a network learns on the scene: it can begin with weights, and what it learned can be kept.
        language: a CLIP judges the image while the network learns.
    """

    build: Callable[[MethodOptions], Method]
    learns: bool = False
    language: bool = False


def _without_options(method: ClassicalMethod, options: MethodOptions) -> Method:
    return method


METHODS: dict[str, MethodSpec] = {
    **{method.name: MethodSpec(partial(_without_options, method)) for method in CLASSICAL},
    "network": MethodSpec(NetworkMethod.of, learns=True),
    "clippan": MethodSpec(partial(NetworkMethod.of, language=True), learns=True, language=True),
}


def find_method(name: str) -> MethodSpec:
    """The method of a name.

    Raises:
        UsageError: there is no such method; the message lists those that are available.
    """
    if name not in METHODS:
        raise unknown_name("method", name, list(METHODS))
    return METHODS[name]
