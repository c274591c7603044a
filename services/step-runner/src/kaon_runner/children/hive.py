"""Runs SQL statements over HiveServer2's protocol and stores the rows of the last one."""

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
# Time-out of the planning of a statement, and of a job's start after a cancel.
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
    """Run the step's statements in order in one session."""
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
            context.progress(
                (number - 1) / len(statements), f"statement {number} of {len(statements)}"
            )
            _execute(cursor, statement)
        return _outputs(context, cursor)
    finally:
        connection.close()


def _bound(statements: list[str], inputs: Mapping[str, Any]) -> list[str]:
    """Return the statements with bound inputs; an artifact is bound as its address.

    Raises:
        EngineError: A statement names an unknown input, or one without an SQL literal.
    """
    values = {
        name: value.uri if isinstance(value, Artifact) else value for name, value in inputs.items()
    }
    try:
        return [bind(statement, values) for statement in statements]
    except UnknownName as error:
        raise EngineError(str(error)) from error
    except TypeError as error:
        raise EngineError(
            f"{error}; a query's parameters are texts, numbers and true or false"
        ) from error


def _script(context: StepContext) -> str:
    file = context.config.get("file")
    if file:
        return Path(os.environ["KAON_BUNDLE"], str(file)).read_text(encoding="utf-8")
    return str(context.config["query"])


def _connect() -> Any:
    host, _, port = os.environ["KAON_HIVE"].rpartition(":")
    try:
        return dbapi.connect(
            host=host, port=int(port), auth_mechanism="PLAIN", user="kaon", password="kaon"
        )
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
    """Return the server's complete status: the cursor's own `status` omits why a statement failed."""
    operation = cursor._last_operation
    answer = operation._rpc(
        "GetOperationStatus", TGetOperationStatusReq(operationHandle=operation.handle), True
    )
    operation.update_has_result_set(answer)
    return answer


def _cancel(cursor: Any, *, age: float) -> None:
    """Cancel the running statement over a second connection: this one may be waiting for an answer.

    A server that is still planning the statement (`age` is in seconds) has no job to cancel, forgets the
    cancel, and starts the job afterwards. Closing the operation cancels a second time; no call tells when
    there is a job.
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
            other.service.client.CloseOperation(
                TCloseOperationReq(operationHandle=operation.handle)
            )
        finally:
            other.close()
    except Exception as error:
        # The session and its statements end with this process's connection.
        print(
            f"cancelling by a second connection failed ({error}); the session is closed instead",
            flush=True,
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
