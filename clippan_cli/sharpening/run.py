"""A scene opened, and all that a run needs decided and checked before its work begins.

What can be refused without GDAL is refused before it is imported, and what needs no tensors before torch is: each takes
longer to load than a person who has mistyped should wait.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clippan_cli.rasters.names import check_names
from clippan_cli.running.compute import choose_device, limited_threads, share_heap
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import LANGUAGE_SILENT
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.weights.path import check_weights_path
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.path import check_apart, check_output_path, check_raster_name
from clippan_models.errors import UsageError
from clippan_models.guidance.options import NONE
from clippan_models.methods.method import Method, MethodOptions
from clippan_models.methods.registry import METHOD_PLUGINS, METHODS, MethodSpec, find_method
from clippan_models.networks.names import BACKBONE_PLUGINS

if TYPE_CHECKING:
    import torch

    from clippan_cli.scene.scene import Scene
    from clippan_cli.sharpening.format import OutputFormat
    from clippan_models.adaptation.scene import Guide
    from clippan_models.store.checkpoint import Checkpoint

logger = logging.getLogger(__name__)


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
        return self.spec.build(MethodOptions(self.options.adapt, guide, network, self.options.weights_pan))


@contextmanager
def opened_run(files: SceneFiles, read: ReadOptions, options: SharpenOptions, control: Control) -> Iterator[Run]:
    """Open a scene to sharpen it, with as many threads as the options allow.

    Raises:
        ClippanError: one of its children: a path, a device, a file or an option that will not do.
    """
    spec = find_method(options.method)
    for refused in (*METHOD_PLUGINS.refused(), *BACKBONE_PLUGINS.refused()):
        control.on_note(refused)
    with ExitStack() as stack:
        with control.timed("open"):
            _check_paths(files, options, spec)
            scene = _opened_scene(files, read, options, control, stack)
        with control.timed("start"):
            from clippan_cli.scene.estimation import located

            device = choose_device(options.compute.device, network=spec.learns)
            share_heap()
            stack.enter_context(limited_threads(options.compute.thread_count))
            logger.info("computing on %s, with %d threads", device, options.compute.thread_count)
        scene = located(scene, control)
        with control.timed("open"):
            run = _decided(scene, options, spec, device, control)
        yield run


def _opened_scene(
    files: SceneFiles, read: ReadOptions, options: SharpenOptions, control: Control, stack: ExitStack
) -> Scene:
    """The scene where its georeferencing puts it, with whatever is known of it by now told."""
    from clippan_cli.scene.scene import scene_as_referenced
    from clippan_cli.sharpening.facts import tell_of_scene
    from clippan_cli.sharpening.format import choose_output
    from clippan_cli.writing.rehearsal import check_compression

    check_compression(options.encoding)
    scene = scene_as_referenced(files, read, control, stack)
    if options.weights_pan is not None and len(options.weights_pan) != scene.pair.ms.count:
        given = ",".join(f"{weight:g}" for weight in options.weights_pan)
        raise UsageError(f"{given}: one weight for each of the {scene.pair.ms.count} bands of MS", "weights_pan")
    choose_output(scene, options)  # refuses bands that are not there
    tell_of_scene(scene, control)
    return scene


def _decided(scene: Scene, options: SharpenOptions, spec: MethodSpec, device: torch.device, control: Control) -> Run:
    """The run, with the weights that a network begins with."""
    from clippan_cli.sharpening.format import choose_output

    initial = None
    if options.weights is not None:
        from clippan_cli.weights.cards import load_fitting, scene_card

        initial = load_fitting(options.weights, scene_card(scene), options.adapt.backbone, control)
    run = Run(scene, options, spec, choose_output(scene, options), initial, device, control)
    _warn_of_silence(run)
    return run


def _warn_of_silence(run: Run) -> None:
    """Tell where language has no part in a method that is named for it, without the user having said so."""
    adapt = run.options.adapt
    if run.spec.language and run.options.guidance.clip != NONE and adapt.steps and not adapt.loss.direction:
        run.control.warn(LANGUAGE_SILENT.says("CLIP and its prompts change nothing: the loss has no term d"))


def _check_paths(files: SceneFiles, options: SharpenOptions, spec: MethodSpec) -> None:
    inputs, overwrite = files.paths, options.encoding.overwrite
    check_output_path(options.output, inputs, overwrite)
    check_raster_name(options.output)
    check_apart(options.outputs)
    for beside in (options.quicklook, options.stac):
        if beside is not None:
            check_output_path(beside, [*inputs, options.output], overwrite)
    for option, path in (("--weights", options.weights), ("--save-weights", options.save_weights)):
        if path is not None and not spec.learns:
            raise UsageError(f"{option} needs a network, and --method {options.method} has none")
    if options.resampling != "lanczos" and spec.learns:
        raise UsageError(
            f"{options.resampling}: the networks have learned with lanczos; use a classical --method such as gsa",
            "resampling",
        )
    if options.weights_pan is not None and not spec.weighs:
        weighing = " or ".join(f"--method {name}" for name, each in METHODS.items() if each.weighs)
        raise UsageError(f"--weights-pan needs {weighing}; --method {options.method} has no such weights")
    if options.save_weights is not None:
        others = [*inputs, options.output, *([options.weights] if options.weights else [])]
        check_weights_path(options.save_weights, others, overwrite=overwrite)
    check_names(files.names)
