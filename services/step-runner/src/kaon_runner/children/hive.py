"""Runs SQL statements over HiveServer2's protocol and keeps the last one's rows."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from impala import dbapi
from impala._thrift_gen.TCLIService.ttypes import (
    TCancelOperationReq,
    TCloseOperationReq,
    TGetOperationStatusReq,
    TOperationState,
)
from impala.error import Error as HiveError
from thrift.transport.TTransport import TTransportException

from kaon.step import Artifact, StepContext
from kaon_runner.children.faults import EngineError, PlatformFault
from kaon_runner.children.statements import UnknownName, bind, split

_POLL_SECONDS = 0.05
_SLOW_POLL_SECONDS = 0.5
# How long a server may plan a statement, and how late after a cancel a job may begin.
_PLANNING_SECONDS = 30.0
_LATE_SECONDS = 2.5
_ENDED = frozenset(
    {
        TOperationState.FINISHED_STATE,
        TOperationState.CANCELED_STATE,
        TOperationState.CLOSED_STATE,
        TOperationState.ERROR_STATE,
    }
)
_FRAME_TYPES = ("dataset", "table")


def run(context: StepContext) -> dict[str, Any]:
    """Runs the step's statements one after the other in one session."""
    statements = split(_script(context))
    if not statements:
        raise EngineError("the query holds no statement")
    bound = _bound(statements, context.inputs)
    try:
        return _run(context, bound)
    except HiveError as error:
        raise EngineError(f"Hive: {error}") from error
    except TTransportException as error:
        raise PlatformFault(
            f"HiveServer2 at {os.environ['KAON_HIVE']} does not answer any more: {error}"
        ) from error


def _run(context: StepContext, statements: list[str]) -> dict[str, Any]:
    connection = _connect()
    try:
        cursor = connection.cursor(user="kaon")
        for number, statement in enumerate(statements, 1):
            context.progress((number - 1) / len(statements), f"statement {number} of {len(statements)}")
            _execute(cursor, statement)
        return _outputs(context, cursor)
    finally:
        connection.close()


def _bound(statements: list[str], inputs: Mapping[str, Any]) -> list[str]:
    """The statements with the inputs in them; an artifact is its address.

    Raises:
        EngineError: a statement names an input that is not there, or one that SQL has no literal for.
    """
    values = {name: value.uri if isinstance(value, Artifact) else value for name, value in inputs.items()}
    try:
        return [bind(statement, values) for statement in statements]
    except UnknownName as error:
        raise EngineError(str(error)) from error
    except TypeError as error:
        raise EngineError(f"{error}; a query's parameters are texts, numbers and true or false") from error


def _script(context: StepContext) -> str:
    file = context.config.get("file")
    if file:
        return Path(os.environ["KAON_BUNDLE"], str(file)).read_text(encoding="utf-8")
    return str(context.config["query"])


def _connect() -> Any:
    host, _, port = os.environ["KAON_HIVE"].rpartition(":")
    try:
        return dbapi.connect(host=host, port=int(port), auth_mechanism="PLAIN", user="kaon", password="kaon")
    except (OSError, TTransportException) as error:
        raise PlatformFault(f"HiveServer2 at {host}:{port} does not answer: {error}") from error
    except HiveError as error:
        raise PlatformFault(f"HiveServer2 at {host}:{port} refuses a session: {error}") from error


def _execute(cursor: Any, statement: str) -> None:
    began = time.monotonic()
    try:
        cursor.execute_async(statement)
        _await_end(cursor)
    except BaseException:
        _cancel(cursor, age=time.monotonic() - began)
        raise


def _await_end(cursor: Any) -> None:
    began = time.monotonic()
    while (answer := _status(cursor)).operationState not in _ENDED:
        time.sleep(_POLL_SECONDS if time.monotonic() - began < 5 else _SLOW_POLL_SECONDS)
    if answer.operationState != TOperationState.FINISHED_STATE:
        state = TOperationState._VALUES_TO_NAMES[answer.operationState]
        raise EngineError(f"Hive: {answer.errorMessage or f'the statement ended as {state}'}")


def _status(cursor: Any) -> Any:
    """The server's whole answer: the cursor's own `status` leaves out why a statement failed."""
    operation = cursor._last_operation
    answer = operation._rpc(
        "GetOperationStatus", TGetOperationStatusReq(operationHandle=operation.handle), True
    )
    operation.update_has_result_set(answer)
    return answer


def _cancel(cursor: Any, *, age: float) -> None:
    """Cancels the running statement from a connection of its own: this one may wait in the middle of an answer.

    A server that still plans the statement (`age` is in seconds) has no job to cancel yet, forgets the cancel, and starts it
    afterwards: closing the operation cancels a second time, and nothing tells when there is a job.
    """
    operation = getattr(cursor, "_last_operation", None)
    if operation is None:
        return
    try:
        other = _connect()
        try:
            request = TCancelOperationReq(operationHandle=operation.handle)
            other.service.client.CancelOperation(request)
            if age < _PLANNING_SECONDS:
                time.sleep(_LATE_SECONDS)
            other.service.client.CloseOperation(TCloseOperationReq(operationHandle=operation.handle))
        finally:
            other.close()
    except Exception as error:
        # The session ends with this process's connection, and its statements with it.
        print(
            f"cancelling by a second connection failed ({error}); the session is closed instead", flush=True
        )


def _outputs(context: StepContext, cursor: Any) -> dict[str, Any]:
    rows = cursor.fetchall() if cursor.has_result_set else []
    columns = [column[0].rsplit(".", 1)[-1] for column in cursor.description or ()]
    found: dict[str, Any] = {"rows": len(rows)} if "rows" in context.outputs else {}
    frames = [name for name, kind in context.outputs.items() if kind in _FRAME_TYPES]
    if len(frames) > 1:
        raise EngineError(f"a query has one result, but the step declares {frames}")
    if frames:
        if not columns:
            raise EngineError(f"the last statement has no rows to write to {frames[0]}")
        place = context.artifact_path(frames[0], ".parquet")
        pd.DataFrame(rows, columns=columns).to_parquet(place, index=False)
    print(f"{len(rows)} rows", flush=True)
    return found
