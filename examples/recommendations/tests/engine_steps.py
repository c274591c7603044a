"""A Spark step of the tests."""

from __future__ import annotations

from typing import Any


def count(spark: Any) -> dict[str, int]:
    """Has the server count, with more code than the gateway reads at once."""
    frame = spark.createDataFrame([("x" * 100,)] * 1000, ["text"])
    return {"rows": frame.count()}
