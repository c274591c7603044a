"""Calls a PySpark function, or runs a script, with a session of its own."""

from __future__ import annotations

import inspect
import os
import runpy
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import grpc
from pyspark.sql import SparkSession

from kaon.step import StepContext
from kaon.step.call import load
from kaon_runner.children.faults import PlatformFault
from kaon_runner.children.spark_interrupt import OVER_TLS, credentials, release

_CONNECT_SECONDS = 5.0
# Texts of Spark Connect's errors when the server is gone or was replaced.
_SERVER_LOST = (
    "UNAVAILABLE",
    "INVALID_HANDLE.SESSION_CHANGED",
    "INVALID_HANDLE.SESSION_NOT_FOUND",
    "RETRIES_EXCEEDED",
)


def run(context: StepContext) -> Any:
    """Run the step. Its session ends with it, and with the session all of its work on the server."""
    server = os.environ.get("KAON_SPARK_CONNECT", "")
    if not server:
        spark = _classic(context)
        try:
            return _execute(context, spark)
        finally:
            spark.stop()
    session = os.environ["KAON_SPARK_SESSION"]
    spark = _connect(context, server, session)
    try:
        return _execute(context, spark)
    except Exception as error:
        if any(word in str(error) for word in _SERVER_LOST) and not _answers(server):
            raise PlatformFault(f"the Spark server {server} was lost: {error}") from error
        raise
    finally:
        _release(server, context.tenant, session)


def _release(server: str, tenant: str, session: str) -> None:
    """End the session on the server; pyspark's own way would retry for minutes when the server is gone."""
    try:
        release(server, tenant, session)
    except grpc.RpcError as error:
        print(f"the Spark session could not be released: {error}", file=sys.stderr, flush=True)


def session_url(server: str, tenant: str, session: str) -> str:
    """Return the address of one session of a tenant at a Spark Connect server."""
    known = server if "/;" in server else f"{server}/"
    return f"{known};user_id={tenant};session_id={session}"


def _session(server: str, tenant: str, session_id: str) -> SparkSession:
    url = session_url(server, tenant, session_id)
    if OVER_TLS not in server:
        return SparkSession.builder.remote(url).getOrCreate()
    # A driver in the step's own process has no use for what this loads.
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    class Secured(DefaultChannelBuilder):
        """Checks the server's certificate by the administrator's authorities."""

        def toChannel(self) -> grpc.Channel:  # noqa: N802 (as pyspark has it)
            return self._secure_channel(self.endpoint, credentials())

    session = ConnectSession.builder.channelBuilder(Secured(url)).getOrCreate()
    return cast(SparkSession, session)


def _connect(context: StepContext, server: str, session: str) -> SparkSession:
    if not _answers(server):
        raise PlatformFault(f"the Spark server {server} does not answer")
    try:
        spark = _session(server, context.tenant, session)
        # The first call: a server that refuses is no fault of the step's code.
        spark.conf.get("spark.sql.shuffle.partitions")
        for name, value in context.config.get("conf", {}).items():
            spark.conf.set(name, value)
    except Exception as error:
        raise PlatformFault(f"the Spark server {server} gives no session: {error}") from error
    spark.registerProgressHandler(_progress_handler(context))  # type: ignore[arg-type]
    return spark


def _answers(server: str) -> bool:
    """Tell whether a server listens there; pyspark would retry for ten minutes."""
    place = urlsplit(server)
    try:
        socket.create_connection(
            (place.hostname or "", place.port or 15002), _CONNECT_SECONDS
        ).close()
    except OSError:
        return False
    return True


def _classic(context: StepContext) -> SparkSession:
    # Nothing of Hadoop: the cluster's own files say it, which HADOOP_CONF_DIR names.
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.local.dir": str(context.work),
        **context.config.get("conf", {}),
    }
    builder = SparkSession.builder.appName(context.step).master(
        settings.pop("spark.master", "local[*]")
    )
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _progress_handler(context: StepContext) -> Callable[..., None]:
    """Return a handler that reports the finished tasks of the running operation.

    It also counts stages that Spark will skip, so the fraction is an estimate.
    """

    def told(
        stages: Iterable[Any] | None, inflight_tasks: int, operation_id: str | None, done: bool
    ) -> None:
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
        runpy.run_path(
            str(path), init_globals={"spark": spark, "context": context}, run_name="__main__"
        )
        # A script's outputs are the files that it wrote: there is no return value.
        raise SystemExit(0)
    function, _ = load(context.config["entry"])
    given = {"spark": spark, "context": context}
    wanted = inspect.signature(function).parameters
    extra = {
        name: value
        for name, value in given.items()
        if name in wanted and name not in context.inputs
    }
    return function(**context.inputs, **extra)
