"""Brings MovieLens 100k into the artifact store as CSV files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kaon.step import StepContext

_USERS = ["user", "age", "gender", "occupation", "zip"]
_RATINGS = ["user", "item", "rating", "time"]


def import_data(context: StepContext, data: str) -> None:
    """Reads the three tables of the data set from directory `data`."""
    directory = Path(data)
    missing = [
        name for name in ("user", "inter", "item") if not (directory / f"ml-100k.{name}").is_file()
    ]
    if missing:
        raise FileNotFoundError(
            f"{data} has no ml-100k.{', ml-100k.'.join(missing)}: give the data set's directory as parameter data"
        )
    _write(context, "users", pd.read_csv(directory / "ml-100k.user", sep="\t", dtype=str), _USERS)
    _write(context, "ratings", pd.read_csv(directory / "ml-100k.inter", sep="\t"), _RATINGS)
    items = pd.read_csv(directory / "ml-100k.item", sep="\t", dtype=str, keep_default_na=False)
    _write(context, "items", items.iloc[:, :3], ["item", "title", "year"])


def _write(context: StepContext, name: str, table: pd.DataFrame, columns: list[str]) -> None:
    table.columns = pd.Index(columns)
    table.to_csv(context.artifact_path(name), index=False)
    print(f"{name}: {len(table)} rows")
