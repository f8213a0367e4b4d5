"""Collect the page of an assessment and write it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clippan_cli.pages.content import AssessmentContent, Row, Section, Table
from clippan_cli.pages.render import render_assessment
from clippan_cli.quality.result import Assessment, AssessReport, short_names
from clippan_cli.report.charts import adaptation, detail, histograms, spectra, take_samples
from clippan_cli.report.crops import choose_places, draw_crops, draw_overview, read_overview
from clippan_cli.report.files import write_text
from clippan_cli.report.findings import Findings
from clippan_cli.report.geometry import registration, seams
from clippan_cli.report.maps import page_maps
from clippan_cli.report.position import scale_bar
from clippan_cli.report.provenance import facts_of_files, facts_of_run
from clippan_cli.report.verdict import decide
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_models.metrics.catalogue import INDICES, best_of

MAX_BYTES = 9_500_000
"""A page is kept below this, so that it can be sent by mail."""

_BAND_COLUMNS = (
    "band", "mean of MS", "mean", "std of MS", "std", "bias", "RMSE", "correlation", "min", "max", "at limits %",
)  # fmt: skip


def write_page(page: Path, findings: Findings, compute: ComputeOptions, control: Control) -> Path:
    """Write the page; where it is too large, it shows fewer pictures.

    Raises:
        OutputError: it cannot be written.
    """
    content = _collect(findings.without_repeated_baselines(), compute, control)
    content = replace(content, data=findings.report.as_json())
    text = render_assessment(content)
    while len(text.encode()) > MAX_BYTES and content.crops:
        content = _with_fewer_pictures(content)
        text = render_assessment(content)
    return write_text(page, text)


def _collect(findings: Findings, compute: ComputeOptions, control: Control) -> AssessmentContent:
    report = findings.report
    with control.timed("report"):
        overview = read_overview(findings.scene, findings.first.subject.place)
        places = choose_places(findings, overview)
        crops, stretch = draw_crops(findings, places, overview)
        samples = take_samples(findings)
        sections = (
            histograms(findings, samples),
            detail(findings, samples),
            spectra(findings, places),
            registration(findings, samples),
            seams(findings.first),
            adaptation(findings.measured),
        )
    return AssessmentContent(
        title=f"Quality of {', '.join(short_names([i.path for i in report.given]))}",
        images=tuple(short_names([i.path for i in report.images])),
        roles=tuple(_role(findings, i) for i in report.images),
        verdict=decide(report),
        warnings=tuple(map(str, report.warnings)),
        rows=_rows(report),
        wald=_wald(report),
        overview=draw_overview(findings.scene, places, overview) if places else None,
        overview_bar=scale_bar(findings.scene.pair, findings.first.subject.place) if places else None,
        crops=crops,
        stretch=stretch,
        maps=page_maps(findings),
        bands=tuple(_bands(image) for image in report.images),
        sections=tuple(s for s in sections if s is not None and _holds_something(s)),
        definitions=tuple(report.images[0].definition.items()),
        provenance=(*facts_of_run(compute, control), *facts_of_files(findings)),
    )


def _with_fewer_pictures(content: AssessmentContent) -> AssessmentContent:
    """Without false colours; then without the last place."""
    if any(view.false_colour is not None for crop in content.crops for view in crop.views):
        crops = tuple(
            replace(crop, views=tuple(replace(view, false_colour=None) for view in crop.views))
            for crop in content.crops
        )
        return replace(content, crops=crops)
    return replace(content, crops=content.crops[:-1])


def _rows(report: AssessReport) -> tuple[Row, ...]:
    """The unsharpened MS, which some indices prefer, is never marked as the best."""
    nan = float("nan")
    rows = []
    for name in report.names:
        values = tuple(image.metrics.get(name, nan) for image in report.images)
        sharpened = [nan if image.path == "EXP" else v for image, v in zip(report.images, values, strict=True)]
        several = sum(v == v for v in sharpened) > 1
        rows.append(Row(INDICES[name], values, best_of(name, sharpened) if several else None))
    return tuple(rows)


def _role(findings: Findings, image: Assessment) -> str:
    if image.role == "baseline":
        return "MS interpolated, not sharpened" if image.path == "EXP" else "baseline"
    same = findings.repeated.get(image.path)
    return f"assessed; the baseline {same} has the same values" if same else "assessed"


def _wald(report: AssessReport) -> Table | None:
    if not report.wald:
        return None
    names = tuple(report.wald[0].metrics)
    return Table(("method", *names), tuple((s.method, tuple(s.metrics[n] for n in names)) for s in report.wald))


def _bands(image: Assessment) -> tuple[str, Table]:
    against = tuple((image.bands[0].reference if image.bands else None) or ())
    rows = []
    for b in image.bands:
        values = (b.ms_mean, b.mean, b.ms_std, b.std, b.bias, b.rmse, b.correlation, b.minimum, b.maximum)
        rows.append((f"{b.band} {b.name}", (*values, 100 * b.at_limits, *(b.reference or {}).values())))
    return image.path, Table((*_BAND_COLUMNS, *(f"{name} to reference" for name in against)), tuple(rows))


def _holds_something(section: Section) -> bool:
    return bool(section.text or section.figures or section.table or section.groups)
