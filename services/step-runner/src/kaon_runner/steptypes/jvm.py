"""Locates Java and the jars of Spark's Python package, which include Spark and the Scala compiler."""

from __future__ import annotations

import importlib.util
import shutil
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@lru_cache(maxsize=1)
def spark_jars() -> Path | None:
    """Return the directory of pyspark's jars; None when pyspark is not installed."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        return None
    jars = Path(spec.origin).parent / "jars"
    return jars if jars.is_dir() else None


def spark_version() -> str:
    """Return the major and minor version of pyspark; empty when it is not installed."""
    try:
        return ".".join(version("pyspark").split(".")[:2])
    except PackageNotFoundError:
        return ""


def scala_version() -> str:
    """Return the major and minor version of the Scala compiler among the jars; empty when there is none."""
    jars = spark_jars()
    found = sorted(jars.glob("scala-compiler-*.jar")) if jars is not None else []
    return ".".join(found[0].stem.removeprefix("scala-compiler-").split(".")[:2]) if found else ""


def java() -> str | None:
    """Return the java program; None when there is none."""
    return shutil.which("java")
