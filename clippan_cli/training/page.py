"""Collect the page of a training on an archive: how good the weights are, how they were trained, and on what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clippan_cli.pages.content import Facts, Section, Table, Tile, TrainingContent, Verdict
from clippan_cli.pages.render import render_training
from clippan_cli.quality.result import MethodScores
from clippan_cli.report.charts import loss_chart
from clippan_cli.report.files import ReportFiles, write_text
from clippan_cli.report.provenance import facts_of_run
from clippan_cli.running.control import Control
from clippan_cli.scene.files import PairTable
from clippan_cli.scene.scene import describe_window
from clippan_cli.training.options import ArchiveOptions
from clippan_cli.training.result import (
    ALL,
    BEFORE,
    CLASSICAL,
    FULL,
    LEARNED,
    REDUCED,
    SCRATCH,
    ArchiveResult,
    SceneScores,
    Validation,
    best_methods,
)
from clippan_cli.weights.cards import card_lines
from clippan_models.metrics.catalogue import INDICES, best_of

_SHARPENING = tuple(method for method in CLASSICAL if method != "exp")
_CHOSE = "The network was not trained on these scenes, but they decided which step the weights are taken from."


def check_adapt_report(page: Path, archive: Path, table: PairTable, options: ArchiveOptions) -> None:
    """Refuse, before any work, a page that cannot or must not be written.

    Raises:
        OutputError: see `check_output_path`.
    """
    inputs = [Path(name) for pair in table.pairs for name in pair.names]
    others = [archive, *inputs, *([options.weights] if options.weights else []), options.output, options.checkpoint]
    ReportFiles(page=page, overwrite=options.overwrite).check(others)


def write_adapt_report(
    page: Path, archive: Path, table: PairTable, found: ArchiveResult, options: ArchiveOptions, control: Control
) -> None:
    """Write the page.

    Raises:
        OutputError: it cannot be written.
    """
    pairs = {pair.id: ", ".join(pair.names) for pair in table.pairs}
    trained_on = tuple((name, pairs[name]) for name in found.learned_from)
    held_out = tuple((name, pairs[name]) for name in found.held_out if name not in found.learned_from)
    validation = found.validation
    content = TrainingContent(
        title=f"Training of {found.output.name} on {archive.resolve().name}",
        verdict=decide(found),
        warnings=_warnings(found),
        sections=(*(_quality(validation) if validation is not None else ()), _training(found)),
        scenes=(
            ("Trained on", trained_on),
            ("Held out", held_out),
            ("Left out", tuple((item.path, item.reason) for item in found.left_out)),
        ),
        provenance=_provenance(archive, found, options, control),
        data=found.as_json(),
    )
    write_text(page, render_training(content))


def decide(found: ArchiveResult) -> Verdict:
    """The verdict on the new weights."""
    mean = {one.method: one.metrics for one in found.validation.mean} if found.validation is not None else {}
    if found.validation is None or not mean:
        asked = "were not measured (--no-validation)" if found.validation is None else "could not be measured"
        return Verdict(f"The weights {asked}.", (_loss(found),), ())
    learned, before = mean[LEARNED], mean[BEFORE]
    gained = [n for n in ALL if _better(n, learned, before)]
    harmed = [n for n in ALL if _better(n, before, learned)]
    headline = (
        f"Training made the weights better in {len(gained)}{_named(gained)} and worse in {len(harmed)}"
        f"{_named(harmed)} of {len(ALL)} indices, measured on {found.validation.measured}."
    )
    rival = max(_SHARPENING, key=lambda method: sum(_better(n, mean[method], learned) for n in ALL))
    lost = ", ".join(n for n in ALL if _better(n, mean[rival], learned))
    misleading = ""
    if "exp" in (found.validation.best.get("QNR"), found.validation.best.get("HQNR")):
        misleading = "exp is interpolated MS without any sharpening; QNR and HQNR can prefer it nevertheless."
    sentences = [
        _loss(found),
        _classical(mean),
        f"The strongest classical method, {rival}, is better than the new weights in {lost}." if lost else "",
        _scratch(found.validation, learned, mean.get(SCRATCH)),
        misleading,
    ]
    tiles = tuple(_tile(n, mean) for n in ALL)
    return Verdict(headline, tuple(s for s in sentences if s), tiles)


def _classical(mean: dict[str, dict[str, float]]) -> str:
    """Against the classical methods, beside the weights before training: what they could do already is no gain."""
    won, before = (
        [n for n in ALL if all(_better(n, mean[one], mean[method]) for method in _SHARPENING)]
        for one in (LEARNED, BEFORE)
    )
    return (
        f"The new weights are better than every classical method in {len(won)} of {len(ALL)} indices{_named(won)}; the "
        f"weights before training are so in {len(before)}{_named(before)}."
    )


def _loss(found: ArchiveResult) -> str:
    adapted = found.adapted
    if adapted.best_step == 0:
        return "No step lowered the validation loss: the weights are those that the training started from."
    totals = {point.step: point.total for point in adapted.curve}
    return (
        f"The validation loss went from {totals[0]:.4f} to {totals[adapted.best_step]:.4f}, "
        f"at step {adapted.best_step} of {adapted.steps}."
    )


def _scratch(found: Validation, learned: dict[str, float], scratch: dict[str, float] | None) -> str:
    if scratch is None:
        return "Training on each of these scenes alone was not measured; --compare-scratch 100 does so."
    won = [n for n in ALL if _better(n, learned, scratch)]
    return (
        f"They are better than training on each of these scenes alone ({found.scratch_steps} steps from scratch) in "
        f"{len(won)} of {len(ALL)} indices{_named(won)}."
    )


def _better(index: str, one: dict[str, float], other: dict[str, float]) -> bool:
    return one[index] != other[index] and best_of(index, [one[index], other[index]]) == 0


def _named(indices: Sequence[str]) -> str:
    return f" ({', '.join(indices)})" if indices else ""


def _tile(name: str, mean: dict[str, dict[str, float]]) -> Tile:
    best = best_of(name, [mean[method][name] for method in _SHARPENING])
    note = f"{INDICES[name].ideal:g} is ideal; before {mean[BEFORE][name]:.4f}"
    if best is not None:
        note += f"; {_SHARPENING[best]} {mean[_SHARPENING[best]][name]:.4f}"
    return Tile(name, mean[LEARNED][name], note)


def _warnings(found: ArchiveResult) -> tuple[str, ...]:
    said = [str(warning) for warning in found.warnings]
    if found.adapted.stopped != "steps":
        said.append(f"The training ended at step {found.adapted.steps}, before all steps were done: {_ended(found)}.")
    validation = found.validation
    if validation is None:
        return tuple(said)
    if not validation.unseen:
        said.append("The archive has one scene, so no scene was held out: these numbers say nothing about others.")
    elif len(validation.scenes) == 1:
        said.append("Only one scene was measured: others may give different values.")
    said += [f"{item.path} could not be measured: {item.reason}" for item in validation.left_out]
    return tuple(said)


def _ended(found: ArchiveResult) -> str:
    return {"steps": "all steps were done"}.get(found.adapted.stopped, found.adapted.stopped)


def _quality(found: Validation) -> tuple[Section, ...]:
    if not found.scenes:
        return ()
    methods = (
        f"{LEARNED}: the new weights, without training on the scene. {BEFORE}: the weights that the training started "
        f"from. {', '.join(CLASSICAL)}: classical methods."
    )
    if found.scratch_steps:
        methods += f" {SCRATCH}: a network trained on the scene alone, {found.scratch_steps} steps."
    text = (
        f"The mean over the scenes measured: {found.measured}. ↑ higher is better, ↓ lower is better; ✓ marks the best "
        "value of a sharpened image.",
        f"{', '.join(FULL)}: of the scene itself, without a reference. {', '.join(REDUCED)}: by Wald's protocol; the "
        "pair was degraded by its ratio and sharpened, and MS itself is the reference.",
        methods,
        *((_CHOSE,) * found.unseen),
    )
    each = tuple((f"{scene.name}{_part(scene)}", _scores(scene.scores)) for scene in found.scenes)
    return Section("Quality", text, table=_scores(found.mean)), Section("Scene by scene", folded=each)


def _part(scene: SceneScores) -> str:
    return "" if scene.part is None else f": {describe_window(scene.part)}"


def _scores(scores: Sequence[MethodScores]) -> Table:
    """The unsharpened MS, which QNR and HQNR can prefer, is never marked as the best."""
    heads = (f"{n} {'↑' if INDICES[n].higher_is_better else '↓'}" for n in ALL)
    methods, best = [one.method for one in scores], best_methods([one for one in scores if one.method != "exp"])
    rows = tuple((one.method, tuple(one.metrics[n] for n in ALL)) for one in scores)
    return Table(("method", *heads), rows, tuple(methods.index(best[n]) if n in best else None for n in ALL))


def _training(found: ArchiveResult) -> Section:
    adapted = found.adapted
    curve = [{"step": float(p.step), "total": p.total, **p.parts} for p in adapted.curve]
    terms = [n for n in curve[0] if n not in ("step", "total")]
    alt = f"from {curve[0]['total']:.4f} to {min(p['total'] for p in curve):.4f}"
    total = loss_chart("Validation loss", f"Validation loss by step, {alt}", curve, ["total"], adapted.best_step)
    charts = [replace(total, from_zero=False)]
    if terms:
        alt = f"{', '.join(terms)} by step"
        charts.append(loss_chart("Its terms, unweighted", alt, curve, terms, adapted.best_step))
    rows = tuple(found.losses.items())
    table = Table(("validation loss", "before", "after"), rows)
    return Section("Training", (_loss(found),), tuple(charts), table)


def _provenance(archive: Path, found: ArchiveResult, options: ArchiveOptions, control: Control) -> Facts:
    adapt = options.adapt
    return (
        *facts_of_run(options.compute, control),
        ("archive", str(archive)),
        ("weights", str(found.output)),
        ("patches", f"{found.patches} from all scenes"),
        ("backbone", adapt.backbone),
        ("teacher", adapt.teacher),
        ("projection", "yes" if adapt.rounds else "no"),
        ("training", f"{found.adapted.steps} of {adapt.steps} steps, {found.adapted.seconds:.0f} s; {_ended(found)}"),
        *((("resumed", f"at step {found.resumed_at}"),) if found.resumed_at else ()),
        *((word, text) for word, text in card_lines(found.card) if word != "scenes"),
    )
