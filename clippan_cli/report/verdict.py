"""The verdict of an assessment in words."""

from __future__ import annotations

import math

from clippan_cli.pages.content import Tile, Verdict
from clippan_cli.quality.result import Assessment, AssessReport, short_names
from clippan_models.errors import ClippanError
from clippan_models.metrics.catalogue import INDICES, best_of

_SHARP, _SOMEWHAT = 0.6, 0.25  # share by which D_rho is below that of the unsharpened MS
_KEEPS, _NEARLY = 0.03, 0.10  # by how much R_Q2n is below that of the unsharpened MS
_FIGURES = (("D_rho", 3), ("R_SAM", 2), ("R_Q2n", 3), ("Q2n", 3), ("ERGAS", 2))
_WHAT_IS_GOOD = (
    "Detail: D_rho is 0 where every band follows PAN everywhere. Colour: R_SAM and R_Q2n compare the MTF-degraded "
    "image with MS; 0 and 1 are ideal."
)
_TILES = ("QNR", "HQNR", "D_rho", "R_Q2n", "Q2n", "ERGAS")


def decide(report: AssessReport) -> Verdict:
    """The verdict on each image of the user."""
    given = report.given
    exp = next((i for i in report.images if i.path == "EXP"), None)
    classical = next((i for i in report.images if i.role == "baseline" and i is not exp), None)
    names = short_names([i.path for i in report.images])
    verdicts = [f"{name} {_detail(i, exp)} and {_colour(i, exp)}" for name, i in zip(names, given, strict=False)]
    if len(given) == 1:
        return Verdict(
            headline=f"{verdicts[0]}.",
            sentences=tuple(_sentences(given[0], exp, classical)),
            tiles=tuple(_tile(name, given[0], exp, classical) for name in _TILES if name in given[0].metrics),
            gates=_gates(report),
        )
    beside = tuple(f"{i.path}, {_figures(i)}" for i in (exp, classical) if i is not None)
    compared = f"For comparison: {'; '.join(beside)}." if beside else ""
    return Verdict(
        headline=_ranking(report),
        sentences=tuple(s for s in (compared, _WHAT_IS_GOOD) if s),
        tiles=(),
        gates=_gates(report),
        images=tuple(f"{text}: {_figures(image)}." for text, image in zip(verdicts, given, strict=True)),
    )


def _figures(image: Assessment) -> str:
    shown = [(name, digits) for name, digits in _FIGURES if name in image.metrics]
    text = ", ".join(f"{name} {image.metrics[name]:.{digits}f}{INDICES[name].unit}" for name, digits in shown)
    return text + (f"; {image.valid_share:.1%} of its pixels are valid" if image.valid_share < 1 else "")


def _detail(first: Assessment, exp: Assessment | None) -> str:
    gained = _gained(first, exp)
    if gained >= _SHARP:
        return "is sharp"
    return "is somewhat sharp" if gained >= _SOMEWHAT else "is hardly sharper than MS"


def _gained(first: Assessment, exp: Assessment | None) -> float:
    blurred = exp.metrics["D_rho"] if exp is not None else 0.8
    return 1 - first.metrics["D_rho"] / max(blurred, 1e-9)


def _colour(first: Assessment, exp: Assessment | None) -> str:
    lost = _lost(first, exp)
    if not math.isfinite(lost):
        return "is too small to tell whether it keeps the colours of MS"
    if lost <= _KEEPS:
        return "keeps the colours of MS"
    return "changes the colours of MS a little" if lost <= _NEARLY else "changes the colours of MS"


def _lost(first: Assessment, exp: Assessment | None) -> float:
    return (exp.metrics["R_Q2n"] if exp is not None else 1.0) - first.metrics["R_Q2n"]


def _sentences(first: Assessment, exp: Assessment | None, classical: Assessment | None) -> list[str]:
    m = first.metrics
    compared = [i for i in (exp, classical) if i is not None]

    def beside(name: str, digits: int) -> str:
        others = "; ".join(f"{i.path} {i.metrics[name]:.{digits}f}" for i in compared)
        return f" ({others})" if others else ""

    said = [
        f"Detail: D_rho is {m['D_rho']:.3f}{beside('D_rho', 3)}; it is 0 where every band follows PAN everywhere. "
        f"{m['D_sR']:.1%} of PAN cannot be explained by a mixture of the bands.",
        f"Colour: MTF-degraded, its spectra differ from MS by {m['R_SAM']:.2f}°{beside('R_SAM', 2)} on average, and "
        f"R_Q2n is {m['R_Q2n']:.3f}{beside('R_Q2n', 3)}.",
    ]
    if classical is not None:
        common = [n for n in INDICES if n in m and n in classical.metrics]
        won = [n for n in common if best_of(n, [m[n], classical.metrics[n]]) == 0 and m[n] != classical.metrics[n]]
        said.append(f"It is better than {classical.path} in {len(won)} of {len(common)} indices.")
    if "Q2n" in m:
        said.append(
            f"Against the reference: Q2n {m['Q2n']:.3f}, SAM {m['SAM']:.2f}°, ERGAS {m['ERGAS']:.2f}, PSNR "
            f"{m['PSNR']:.1f} dB."
        )
    if first.valid_share < 1:
        said.append(f"{first.valid_share:.1%} of the pixels measured are valid; only these count.")
    return said


def _ranking(report: AssessReport) -> str:
    wins = [0] * len(report.given)
    for name in report.names:
        best = best_of(name, [image.metrics.get(name, float("nan")) for image in report.given])
        if best is not None:
            wins[best] += 1
    names = short_names([image.path for image in report.given])
    order = sorted(range(len(wins)), key=lambda k: -wins[k])
    listed = ", ".join(f"{names[k]} in {wins[k]}" for k in order)
    return f"The best values of {len(report.given)} images: {listed} of {len(report.names)} indices."


def _tile(name: str, first: Assessment, exp: Assessment | None, classical: Assessment | None) -> Tile:
    ideal = f"{INDICES[name].ideal:g} is ideal"
    others = "; ".join(
        f"{i.path} {i.metrics[name]:.3f}" for i in (classical, exp) if i is not None and name in i.metrics
    )
    return Tile(name, first.metrics[name], f"{ideal}; {others}" if others else ideal)


def _gates(report: AssessReport) -> tuple[tuple[str, bool], ...]:
    found = []
    for gate in report.gates:
        for image in report.given:
            bound = f"{gate.index} {'at least' if gate.at_least else 'at most'} {gate.value:g}"
            value = image.metrics.get(gate.index, float("nan"))
            try:
                gate.check(image)
                kept = True
            except ClippanError:
                kept = False
            found.append((f"{image.path}: {bound}, measured {value:.4f}", kept))
    return tuple(found)
