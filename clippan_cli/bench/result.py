"""What a suite finds, and the files that it is written to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from clippan_cli import __version__
from clippan_cli.bench.runs import Kind
from clippan_cli.bench.suite import Metrics
from clippan_cli.bench.tables import CONFIDENCE, RESAMPLES, Difference, Row, Table, differences, table_of
from clippan_cli.bench.texts import latex_table, markdown_table
from clippan_cli.report.files import write_text
from clippan_cli.writing.cells import table_text
from clippan_models.errors import BatchError
from clippan_models.plain import plain

SCHEMA = "clippan.bench/1"
"""Name and version of the JSON."""


@dataclass(frozen=True)
class BenchResult:
    """The figures of a suite.

    Attributes:
        title: of the suite.
        metrics: what was compared.
        rows: of all runs.
        folder: with all files.
    """

    title: str
    metrics: Metrics
    rows: tuple[Row, ...]
    folder: Path

    @property
    def tables(self) -> tuple[Table, ...]:
        """One for scenes with truth, one for those without, where there are any."""
        found = (table_of(kind, self.rows, self.metrics.names) for kind in get_args(Kind))
        return tuple(
            replace(table, aligned=self.metrics.align and table.kind == "with truth")
            for table in found
            if table is not None
        )

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Each method against the first one."""
        return tuple(each for kind in get_args(Kind) for each in differences(kind, self.rows, self.metrics.names))

    @property
    def failed(self) -> tuple[Row, ...]:
        """The runs without figures."""
        return tuple(row for row in self.rows if row.error)

    def as_json(self) -> dict[str, Any]:
        """Plain data without times, so that an interrupted suite gives the same as one in one go."""
        rows = [{key: value for key, value in asdict(row).items() if key != "seconds"} for row in self.rows]
        tables = [asdict(table) for table in self.tables]
        for table in tables:
            table["lines"] = [{k: v for k, v in line.items() if k != "seconds"} for line in table["lines"]]
        document = {
            "schema": SCHEMA,
            "version": __version__,
            "title": self.title,
            "metrics": asdict(self.metrics),
            "rows": rows,
            "tables": tables,
            "differences": [asdict(each) for each in self.differences],
            "bootstrap": {"resamples": RESAMPLES, "confidence": CONFIDENCE},
        }
        return dict(plain(document))

    def seconds(self) -> list[dict[str, Any]]:
        """The time that each method took."""
        return [{key: asdict(row)[key] for key in ("scene", "method", "seed", "seconds")} for row in self.rows]

    def as_csv(self) -> str:
        """A row for each run."""
        names = [name for name in self.metrics.names if any(name in row.metrics for row in self.rows)]
        header = ["scene", "method", "seed", "kind", *names, "error"]
        body = (
            [row.scene, row.method, _cell(row.seed), row.kind, *(_cell(row.metrics.get(n)) for n in names), row.error]
            for row in self.rows
        )
        return table_text([header, *body])

    def write(self) -> tuple[Path, ...]:
        """Write the figures and the tables.

        Raises:
            OutputError: a file cannot be written.
        """
        texts = {
            "results.json": json.dumps(self.as_json(), indent=1) + "\n",
            "seconds.json": json.dumps(self.seconds(), indent=1) + "\n",
            "results.csv": self.as_csv(),
        }
        for table in self.tables:
            name = table.kind.replace(" ", "_")
            texts[f"{name}.md"] = markdown_table(table, self.title)
            texts[f"{name}.tex"] = latex_table(table, self.title)
        return tuple(write_text(self.folder / name, text) for name, text in texts.items())

    def check(self) -> None:
        """Raise an error where runs failed, once everything is written.

        Raises:
            BatchError: there are such runs; names the first.
        """
        if self.failed:
            first = self.failed[0]
            seed = "" if first.seed is None else f", seed {first.seed}"
            raise BatchError(
                f"{len(self.failed)} of {len(self.rows)} runs failed, first {first.method} on {first.scene}{seed}: "
                f"{first.error}"
            )


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)
