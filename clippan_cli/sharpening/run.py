"""A scene opened, and all that a run needs decided and checked before its work begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch

from clippan_cli.running.compute import choose_device, limited_threads, share_heap
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import LANGUAGE_SILENT
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, open_scene
from clippan_cli.sharpening.format import OutputFormat, choose_output
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.weights.cards import check_weights_path, load_fitting, scene_card
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.path import check_output_path
from clippan_models.adaptation.scene import Guide
from clippan_models.errors import UsageError
from clippan_models.guidance.options import NONE
from clippan_models.methods.method import Method
from clippan_models.methods.network import MethodOptions
from clippan_models.methods.registry import MethodSpec, find_method
from clippan_models.store.checkpoint import Checkpoint


@dataclass(frozen=True)
class Run:
    """A scene to sharpen.

    Attributes:
        scene: the open scene.
        options: what to make of it.
        spec: the method.
        output: how the result is stored.
        initial: the weights that a network begins with, or None.
        device: where to compute.
        control: progress, notes and the request to stop.
    """

    scene: Scene
    options: SharpenOptions
    spec: MethodSpec
    output: OutputFormat
    initial: Checkpoint | None
    device: torch.device
    control: Control

    @property
    def encoding(self) -> OutputOptions:
        """How to write the file, by as many threads as compute."""
        return replace(self.options.encoding, threads=self.options.compute.thread_count)

    @property
    def needs_guide(self) -> bool:
        """A CLIP has something to judge: a network that learns."""
        return self.spec.language and self.options.adapt.steps > 0

    def method(self, guide: Guide | None = None) -> Method:
        """The method with its options, its weights to begin with, and its guide."""
        network = self.initial.network if self.initial else None
        return self.spec.build(MethodOptions(self.options.adapt, guide, network))


@contextmanager
def opened_run(files: SceneFiles, read: ReadOptions, options: SharpenOptions, control: Control) -> Iterator[Run]:
    """Open a scene to sharpen it, with as many threads as the options allow.

    Raises:
        ClippanError: one of its children: a path, a device, a file or an option that will not do.
    """
    spec = find_method(options.method)
    _check_paths(files, options, spec)
    device = choose_device(options.compute.device)
    share_heap()
    with ExitStack() as stack, limited_threads(options.compute.thread_count):
        scene = open_scene(files, read, control, stack)
        output = choose_output(scene, options.bands)
        weights, backbone = options.weights, options.adapt.backbone
        initial = None if weights is None else load_fitting(weights, scene_card(scene), backbone, control)
        run = Run(scene, options, spec, output, initial, device, control)
        _warn_of_silence(run)
        yield run


def _warn_of_silence(run: Run) -> None:
    """Tell where language has no part in a method that is named for it, without the user having said so."""
    adapt = run.options.adapt
    if run.spec.language and run.options.guidance.clip != NONE and adapt.steps and not adapt.loss.direction:
        run.control.warn(LANGUAGE_SILENT.says("CLIP and its prompts change nothing: the loss has no term d"))


def _check_paths(files: SceneFiles, options: SharpenOptions, spec: MethodSpec) -> None:
    inputs, overwrite = files.paths, options.encoding.overwrite
    check_output_path(options.output, inputs, overwrite)
    if options.quicklook is not None:
        check_output_path(options.quicklook, [*inputs, options.output], overwrite)
    for option, path in (("--weights", options.weights), ("--save-weights", options.save_weights)):
        if path is not None and not spec.learns:
            raise UsageError(f"{option} needs a network, and --method {options.method} has none")
    if options.save_weights is not None:
        others = [*inputs, options.output, *([options.weights] if options.weights else [])]
        check_weights_path(options.save_weights, others, overwrite=overwrite)
