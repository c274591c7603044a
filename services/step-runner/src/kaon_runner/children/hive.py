"""Runs SQL statements over HiveServer2's protocol and stores the rows of the last one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import pandas as pd
from impala import dbapi
from impala._thrift_gen.TCLIService.ttypes import (
    TCancelOperationReq,
    TCloseOperationReq,
    TGetOperationStatusReq,
    TOperationState,
)
from impala.error import Error as HiveError
from impala.error import HttpError
from thrift.transport.TTransport import TTransportException

from kaon.step import Artifact, StepContext
from kaon_runner.children import engine_access
from kaon_runner.children.faults import EngineError, PlatformFault
from kaon_runner.children.statements import UnknownName, bind, split
from kaon_wire.texts import counted

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
    except HttpError as error:
        raise PlatformFault(f"HiveServer2 at {os.environ['KAON_HIVE']}: {error}") from error
    except HiveError as error:
        raise EngineError(f"Hive: {error}") from error
    except (TTransportException, ConnectionError) as error:
        raise PlatformFault(
            f"HiveServer2 at {os.environ['KAON_HIVE']} does not answer any more: {error}"
        ) from error


def _run(context: StepContext, statements: list[str]) -> dict[str, Any]:
    connection = _connect(context.tenant)
    try:
        cursor = connection.cursor(user=context.tenant)
        for number, statement in enumerate(statements, 1):
            context.progress(
                (number - 1) / len(statements), f"statement {number} of {len(statements)}"
            )
            _execute(cursor, statement, context.tenant)
        found = _outputs(context, cursor)
        _end_session(cursor)
        return found
    finally:
        _close(connection)


def _end_session(cursor: Any) -> None:
    """End the session: over HTTP the end of a connection does not. The step has its result already."""
    with contextlib.suppress(HiveError, ConnectionError):
        cursor.close()


def _close(connection: Any) -> None:
    # Over HTTP the client fails to close what a refused call has closed already.
    with contextlib.suppress(AttributeError):
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


def _connect(tenant: str) -> Any:
    """Connect as the step's tenant."""
    server = os.environ["KAON_HIVE"]
    place = urlsplit(server if "://" in server else f"//{server}")
    try:
        return dbapi.connect(
            host=place.hostname,
            port=place.port,
            auth_mechanism="PLAIN",
            user=tenant,
            password=engine_access.token() or "kaon",
            **_transport(place),
        )
    except (OSError, TTransportException) as error:
        raise PlatformFault(f"HiveServer2 at {server} does not answer: {error}") from error
    except HiveError as error:
        raise PlatformFault(f"HiveServer2 at {server} refuses a session: {error}") from error


def _transport(place: SplitResult) -> dict[str, Any]:
    if not place.scheme:
        return {}
    over_tls = {"use_ssl": True, "verify_cert": True, "ca_cert": engine_access.ca_file() or None}
    return {
        "use_http_transport": True,
        "http_path": place.path.lstrip("/"),
        # A cookie would stand for the password.
        "http_cookie_names": [],
        **(over_tls if place.scheme == "https" else {}),
    }


def _execute(cursor: Any, statement: str, tenant: str) -> None:
    began = time.monotonic()
    try:
        cursor.execute_async(statement)
        _await_end(cursor)
    except BaseException:
        _cancel(cursor, statement, tenant, age=time.monotonic() - began)
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


def _cancel(cursor: Any, statement: str, tenant: str, *, age: float) -> None:
    """Cancel the running statement over a second connection: this one may be waiting for an answer.

    A server that is still planning the statement (`age` is in seconds) has no job to cancel, forgets the
    cancel, and starts the job afterwards. Closing the operation cancels a second time; no call tells when
    there is a job, so this waits for as long as the server, busy as it is, needs for another plan, and longer.
    """
    operation = getattr(cursor, "_last_operation", None)
    if operation is None:
        return
    try:
        other = _connect(tenant)
        try:
            request = TCancelOperationReq(operationHandle=operation.handle)
            other.service.client.CancelOperation(request)
            if age < _PLANNING_SECONDS:
                time.sleep(max(_LATE_SECONDS, 2 * _planning_seconds(other, statement, tenant)))
            other.service.client.CloseOperation(
                TCloseOperationReq(operationHandle=operation.handle)
            )
        finally:
            _close(other)
    except Exception as error:
        # The session and its statements end with this process's connection.
        print(
            f"cancelling by a second connection failed ({error}); the session is closed instead",
            flush=True,
        )


def _planning_seconds(connection: Any, statement: str, tenant: str) -> float:
    """Return how long the server takes now to plan a statement; 0 for one that it does not explain."""
    began = time.monotonic()
    cursor = connection.cursor(user=tenant)
    try:
        cursor.execute(f"EXPLAIN {statement}")
    except HiveError:
        return 0.0
    finally:
        _end_session(cursor)
    return time.monotonic() - began


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
    print(counted(len(rows), "row"), flush=True)
    return found
