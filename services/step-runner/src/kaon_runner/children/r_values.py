"""Conversions between Python and R: JSON values, and datasets as data frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rpy2 import robjects
from rpy2.robjects import pandas2ri
from rpy2.robjects.vectors import DataFrame, FactorVector, ListVector, Vector

from kaon.step import Artifact, StepContext
from kaon_runner.children.faults import EngineError

_PARQUET = b"PAR1"
# R has no larger integers; it computes with larger numbers as doubles.
_LARGEST_INTEGER = 2**31 - 1


def to_r(value: Any) -> Any:
    """Convert a JSON value to R: a dataset to a data frame, another artifact to its local path."""
    if isinstance(value, Artifact):
        if (
            value.type in {"dataset", "table"}
            and value.path is not None
            and Path(value.path).is_file()
        ):
            return frame(value)
        return str(value.path or value.uri)
    if value is None:
        return robjects.NULL
    if isinstance(value, dict):
        return ListVector({name: to_r(each) for name, each in value.items()})
    if isinstance(value, list):
        return _list(value)
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return float(value)
    return value


def outputs(result: Any, context: StepContext) -> dict[str, Any]:
    """Convert a function's named list to outputs; a data frame for an artifact output is written as CSV.

    Raises:
        EngineError: The value is not a named list, or contains a value that cannot be an output.
    """
    if (
        not isinstance(result, ListVector)
        or isinstance(result, DataFrame)
        or result.names is robjects.NULL
    ):
        raise EngineError("the R function must return a named list of its outputs")
    found: dict[str, Any] = {}
    for name, value in zip(result.names, result, strict=True):
        if isinstance(value, DataFrame):
            pandas2ri.converter.rpy2py(value).to_csv(
                context.artifact_path(name, ".csv"), index=False
            )
        else:
            found[name] = output(name, value, context)
    return found


def output(name: str, value: Any, context: StepContext) -> Any:
    """Convert an R value to the output `name`.

    Most numbers in R are doubles: whole ones can be an output of type int.
    """
    plain = from_r(value)
    if context.outputs.get(name) == "int" and isinstance(plain, float) and plain.is_integer():
        return int(plain)
    return plain


def from_r(value: Any) -> Any:
    """Convert an R value to JSON: a vector of one to a scalar, a longer one to a list, a named list to a dict."""
    if value is robjects.NULL:
        return None
    if isinstance(value, ListVector):
        if value.names is robjects.NULL:
            return [from_r(each) for each in value]
        return {str(name): from_r(each) for name, each in zip(value.names, value, strict=True)}
    if isinstance(value, FactorVector):
        return list(value.iter_labels())
    if isinstance(value, Vector):
        values = list(value)
        return values[0] if len(values) == 1 else values
    raise EngineError(f"an R value of class {type(value).__name__} cannot be an output")


def frame(artifact: Artifact) -> Any:
    """Convert a dataset to an R data frame."""
    with robjects.conversion.localconverter(robjects.default_converter + pandas2ri.converter):
        return robjects.conversion.get_conversion().py2rpy(_frame(Path(artifact)))


def _frame(path: Path) -> pd.DataFrame:
    with path.open("rb") as file:
        parquet = file.read(4) == _PARQUET
    return pd.read_parquet(path) if parquet else pd.read_csv(path)


def _list(values: list[Any]) -> Any:
    if all(isinstance(value, str) for value in values):
        return robjects.StrVector(values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return robjects.FloatVector(values)
    if all(isinstance(value, bool) for value in values):
        return robjects.BoolVector(values)
    return robjects.r["list"](*map(to_r, values))
