"""Calls a PySpark function, or runs a script, with a session of its own."""

from __future__ import annotations

import inspect
import os
import runpy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from kaon.step import StepContext
from kaon.step.call import load
from kaon_runner.children.faults import PlatformFault

USER = "kaon"


def run(context: StepContext) -> Any:
    """Runs the step; its session ends with it, and with the session everything that the server does for it."""
    connect = os.environ.get("KAON_SPARK_CONNECT", "")
    spark = _connect(context, connect) if connect else _classic(context)
    try:
        return _execute(context, spark)
    finally:
        if connect:
            spark.interruptAll()
        spark.stop()


def session_url(server: str, session: str) -> str:
    """The address of one session of a Spark Connect server."""
    return f"{server}/;user_id={USER};session_id={session}"


def _connect(context: StepContext, server: str) -> SparkSession:
    try:
        spark = SparkSession.builder.remote(
            session_url(server, os.environ["KAON_SPARK_SESSION"])
        ).getOrCreate()
        for name, value in context.config.get("conf", {}).items():
            spark.conf.set(name, value)
    except Exception as error:
        raise PlatformFault(f"the Spark server {server} does not answer: {error}") from error
    spark.registerProgressHandler(_progress_handler(context))  # type: ignore[arg-type]
    return spark


def _classic(context: StepContext) -> SparkSession:
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.hadoop.dfs.replication": "1",
        "spark.local.dir": str(context.work),
        **context.config.get("conf", {}),
    }
    builder = SparkSession.builder.appName(context.step).master(settings.pop("spark.master", "local[*]"))
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _progress_handler(context: StepContext) -> Callable[..., None]:
    """Tells how many tasks of the running operation are done. Stages that Spark will skip count too, so this is no promise."""

    def told(stages: Iterable[Any] | None, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        known = list(stages or ())
        tasks = sum(stage.num_tasks for stage in known)
        ready = sum(stage.num_completed_tasks for stage in known)
        if tasks and not done:
            context.progress(ready / tasks, f"{ready} of {tasks} tasks, {inflight_tasks} running")

    return told


def _execute(context: StepContext, spark: SparkSession) -> Any:
    file = context.config.get("file")
    if file:
        path = Path(os.environ["KAON_BUNDLE"]) / file
        runpy.run_path(str(path), init_globals={"spark": spark, "context": context}, run_name="__main__")
        return None
    function, _ = load(context.config["entry"])
    given = {"spark": spark, "context": context}
    wanted = inspect.signature(function).parameters
    extra = {name: value for name, value in given.items() if name in wanted and name not in context.inputs}
    return function(**context.inputs, **extra)
