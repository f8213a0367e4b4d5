"""Learn from an archive of one sensor: weights for `sharpen --weights`."""

from __future__ import annotations

from dataclasses import replace

from clippan_cli.rasters.places import holder_of
from clippan_cli.running.control import Control
from clippan_cli.running.distributed import is_first
from clippan_cli.scene.files import PairTable, ReadOptions
from clippan_cli.training.learning import learn
from clippan_cli.training.log import check_training_log
from clippan_cli.training.options import ArchiveOptions
from clippan_cli.training.result import ArchiveResult
from clippan_cli.training.validation import validate_learned
from clippan_cli.weights.cards import write_weights
from clippan_cli.weights.path import check_weights_path
from clippan_cli.writing.path import check_output_path
from clippan_models.errors import OutputError, shown


def adapt_archive(
    table: PairTable, read: ReadOptions, options: ArchiveOptions, control: Control | None = None
) -> ArchiveResult:
    """Learn from the pairs of a table.

    Args:
        table: the pairs.
        read: how to read them.
        options: how to learn.
        control: progress, notes and the request to stop; what was learned until then is saved.

    Raises:
        ClippanError: one of its children; the output is then as it was before.
    """
    control = control or Control()
    control.strict, read = read.strict, replace(read, strict=False)
    _check_files(options, table)
    learned = learn(table, read, options, control)
    result, checkpoint = learned.result, learned.checkpoint
    if not is_first():
        return result
    if options.validation is not None:
        validation = validate_learned(learned, options, control)
        card = replace(result.card, validation={**result.card.validation, **validation.for_card()})
        result, checkpoint = replace(result, card=card, validation=validation), replace(checkpoint, card=card)
    write_weights(checkpoint, options.output)
    options.checkpoint.unlink(missing_ok=True)
    return result


def _check_files(options: ArchiveOptions, table: PairTable) -> None:
    """Refuse, before any work, files that must not or cannot be written."""
    inputs = [holder_of(name) for pair in table.pairs for name in pair.names]
    others = [*inputs, *([options.weights] if options.weights else [])]
    check_weights_path(options.output, others, overwrite=options.overwrite)
    check_output_path(options.checkpoint, inputs, overwrite=True)
    check_training_log(options.tensorboard)
    if options.checkpoint.exists() and not options.resume and not options.overwrite:
        raise OutputError(
            f"{shown(options.checkpoint)} holds an unfinished training: add --resume to continue it, or --overwrite to "
            "start again"
        )
