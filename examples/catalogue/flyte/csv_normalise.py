"""A file goes in, columns of it are normalised, and a file comes out: Flyte's data_types_and_io/file.py."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean, pstdev

from kaon import Workflow, param, steps
from kaon.step import Artifact


def normalise(table: Artifact, columns: list[str]) -> Path:
    """Scales columns to mean 0 and deviation 1."""
    rows = list(csv.DictReader(Path(table).read_text().splitlines()))
    for column in columns:
        values = [float(row[column]) for row in rows]
        centre, spread = mean(values), pstdev(values) or 1.0
        for row, value in zip(rows, values, strict=True):
            row[column] = f"{(value - centre) / spread:.2f}"
    made = Path("normalised.csv")
    lines = [",".join(columns), *(",".join(row[name] for name in columns) for row in rows)]
    made.write_text("\n".join(lines))
    return made


def last_line(table: Artifact) -> str:
    """Reads the last line."""
    return Path(table).read_text().splitlines()[-1]


scaled = steps.python(
    "normalize-columns",
    normalise,
    table=param("table", "dataset"),
    columns=param("columns", list[str]),
    outputs={"table": "dataset"},
)
read = steps.python("read", last_line, table=scaled["table"], outputs={"line": str})

workflow = Workflow("normalize-csv-file", scaled >> read, outputs={"line": read["line"]})

EXPECTED = {
    "params": {"table": "@biostats.csv", "columns": ["age", "weight"]},
    "outputs": {"line": "1.22,0.00"},
}
