"""Where Java and the jars of Spark's Python package are: Spark and the Scala compiler come with it."""

from __future__ import annotations

import importlib.util
import shutil
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@lru_cache(maxsize=1)
def spark_jars() -> Path | None:
    """The directory of pyspark's jars; None where pyspark is not installed."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        return None
    jars = Path(spec.origin).parent / "jars"
    return jars if jars.is_dir() else None


def spark_version() -> str:
    """Major and minor version of pyspark; empty where it is not installed."""
    try:
        return ".".join(version("pyspark").split(".")[:2])
    except PackageNotFoundError:
        return ""


def scala_version() -> str:
    """Major and minor version of the Scala compiler among the jars; empty where there is none."""
    jars = spark_jars()
    found = sorted(jars.glob("scala-compiler-*.jar")) if jars is not None else []
    return ".".join(found[0].stem.removeprefix("scala-compiler-").split(".")[:2]) if found else ""


def java() -> str | None:
    """The java program; None where there is none."""
    return shutil.which("java")
