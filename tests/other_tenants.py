"""Requests that name another tenant's things, made from descriptors: they get what a request gets that names nothing.

A test gives the things of the other tenant by kind, and a request in order for each method. Every field of text is of a kind in
`KINDS`, or in `NOT_NAMES`: a field that is in neither makes the test fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import hostile_calls
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from grpc import aio

# What the fields of a name, or of a place in a request, name. The longest end of the field's place counts.
KINDS: Mapping[str, str] = {
    "run_id": "run",
    "run_ids": "run",
    "run_id_prefix": "run",
    "parent_run_id": "run",
    "last_run_id": "run",
    "workflow": "workflow",
    "workflows": "workflow",
    "version": "version",
    "workflow_version": "version",
    "path": "path",
    "scope": "path",
    "block": "path",
    "node": "path",
    "reset": "path",
    "step": "path",
    "targets.only": "path",
    "targets.until": "path",
    "SignalRun.name": "signal",
    "SignalRuns.name": "signal",
    "schedule.name": "schedule",
    "GetWorkflow.name": "workflow",
    "GetSchedule.name": "schedule",
    "DeleteSchedule.name": "schedule",
    "RunSchedule.name": "schedule",
    "Backfill.name": "backfill",
    "GetDataset.name": "dataset",
    "ListDatasetUpdates.name": "dataset",
    "RecordDatasetUpdate.name": "dataset",
    "dataset_updated.dataset": "dataset",
    "caller.tenant": "tenant",
    "token_id": "secret",
    "pool": "pool",
    "record_arrived.topic": "topic",
    "permits.tag": "tag",
    "model": "model",
    "consumer": "consumer",
    "page_token": "token",
    "cursor": "token",
    "topics.key": "token",
    "idempotency_key": "key",
    "submitters": "submitter",
    "ListAudit.principal": "submitter",
    "put_by": "submitter",
    "origins": "origin",
    "output": "output",
    "metric": "output",
    "labels.value": "label",
    "text": "label",
    "params_json.value": "value",
    "filter.params_json.value": "value",
    "outputs_json.value": "value",
    "values_json.value": "value",
    "payload_json": "value",
    "digest": "digest",
    "artifact_digest": "digest",
    "data_digests": "digest",
    "artifact_uri": "uri",
}
NOT_NAMES = {
    "ListAudit.method",
    "ListAudit.outcome",
    "caller.name",
    "caller.roles",
    "caller.kind",
    "caller.authentication",
    "put_roles",
    "put_authentication",
    "reason",
    "comment",
    "parameter",
    "header.type",
    "header.name",
    "header.media_type",
    "ListDatasetUpdates.partition",
    "RecordDatasetUpdate.partition",
    "first_date",
    "last_date",
    "expression",
    "time_zone",
    "last_error",
    "stage",
    "kinds",
    "data",
    "params_json.key",
    "labels.key",
    "outputs_json.key",
    "values_json.key",
    "metrics.key",
    "more_expressions",
    "all.name",
    "filter_cel",
    "join_cel",
    "params_cel.key",
    "params_cel.value",
}
# Streams that are silent where there is nothing; the others answer at once.
_SILENT = {"WatchModels"}
_SECONDS, _PATIENCE = 0.3, 60.0
_RUN_ID = re.compile(r"\b[0-9a-hjkmnp-tv-z]{26}\b")
# Times, counts and ids that each call makes anew.
_NUMBER = re.compile(r"\d+(?:[:.TZ-]+\d*)*")
# A pool's owner has just begun to listen, until some seconds have passed.
_BEGUN = re.compile(r'\s*"settling": true,')


@dataclass(frozen=True, kw_only=True)
class Case:
    """One field of one method's request."""

    method: MethodDescriptor
    # Such as "filter.labels.value".
    field: str
    kind: str

    def __str__(self) -> str:
        return f"{self.method.name}.{self.field}"


def cases(methods: Sequence[MethodDescriptor]) -> list[Case]:
    """Return every field that names a thing."""
    return [
        Case(method=method, field=field, kind=kind)
        for method in methods
        for field in _texts(method.input_type, "", frozenset())
        if (kind := _kind(method.name, field)) is not None
    ]


def _kind(method: str, field: str) -> str | None:
    whole = f"{method}.{field}".split(".")
    ends = [".".join(whole[first:]) for first in range(len(whole))]
    for end in ends:
        if end in KINDS:
            return KINDS[end]
    assert any(end in NOT_NAMES for end in ends), f"say in KINDS or NOT_NAMES what {whole} names"
    return None


def _texts(kind: Descriptor, before: str, seen: frozenset[str]) -> Iterator[str]:
    for field in kind.fields:
        inner, place = field.message_type, before + field.name
        if inner is None:
            if field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}:
                yield place
        # A definition names what it is made of; its bundle has a test of its own.
        elif inner.name != "WorkflowDefinition" and inner.full_name not in seen:
            yield from _texts(inner, f"{place}.", seen | {inner.full_name})


def put(message: Any, field: str, thing: str) -> None:
    """Set a field of a request, in the messages of a repeated field in the first one."""
    name, _, rest = field.partition(".")
    described = message.DESCRIPTOR.fields_by_name[name]
    inner = described.message_type
    if inner is not None and inner.GetOptions().map_entry:
        entries = getattr(message, name)
        given = dict(entries) or {"name": ""}
        entries.clear()
        entries.update(dict.fromkeys(given, thing))
    elif rest and described.is_repeated:
        entries = getattr(message, name)
        put(entries[0] if entries else entries.add(), rest, thing)
    elif rest:
        put(getattr(message, name), rest, thing)
    elif described.is_repeated:
        del getattr(message, name)[:]
        getattr(message, name).append(thing)
    else:
        setattr(message, name, thing)


async def outcome(
    channel: aio.Channel, method: MethodDescriptor, request: Message, metadata: Any, named: str
) -> str:
    """Call a method, and return what came back, in words that do not depend on the name and the time."""
    path = hostile_calls.path_of(method)
    codecs = {
        "request_serializer": method.input_type._concrete_class.SerializeToString,
        "response_deserializer": method.output_type._concrete_class.FromString,
    }
    try:
        if method.client_streaming:
            call = channel.stream_unary(path, **codecs)
            answers = [await call(iter([request]), metadata=metadata)]
        elif method.server_streaming:
            stream = channel.unary_stream(path, **codecs)(
                request,
                metadata=metadata,
                timeout=_SECONDS if method.name in _SILENT else _PATIENCE,
            )
            # What comes later is of the caller's own: a stream begins with what is there.
            answers = [first] if (first := await stream.read()) is not aio.EOF else []
            stream.cancel()
        else:
            answers = [await channel.unary_unary(path, **codecs)(request, metadata=metadata)]
        text = "".join(MessageToJson(each, sort_keys=True) for each in answers)
    except aio.AioRpcError as error:
        if method.name in _SILENT and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return "silence"
        text = f"{error.code().name}: {error.details()}"
    for written in {named, named.replace('"', '\\"')} - {""}:
        text = text.replace(written, "THING")
    return _NUMBER.sub("0", _RUN_ID.sub("RUN", _BEGUN.sub("", text)))
