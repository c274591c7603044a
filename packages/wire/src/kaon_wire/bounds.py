"""Bounds of requests: one check for any request, derived from its descriptor.

Every integer has a range, from the tables below. Texts have a maximum length and no NUL; JSON in texts is
valid, without NUL, lone surrogates, NaN, infinities and excessive nesting. Numbers are finite, and enums have
declared values. Accepted values can be added to the clock and to one another, and stored in any database.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kaon_wire import canonical
from kaon_wire.errors import InvalidValue

M = TypeVar("M", bound=Message)

# Ten years. Longer waits mean no limit.
LONGEST_MS = 315_576_000_000
# The last second of the year 9999, in microseconds since the epoch: nothing falls due later.
END_OF_TIME_US = 253_402_300_799_000_000
HIGHEST_PRIORITY = 1_000_000_000
MOST = 1_000_000_000
TEXT_CHARACTERS = 4_096
# Of texts that become part of a key: PostgreSQL's indexes hold 2,704 bytes, and a character has up to four.
KEY_CHARACTERS = 200
# Upper bound of times in requests, in seconds since the epoch: computed times are still dates.
_YEAR_2200 = 7_258_118_400
_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Range:
    """The least and the largest value of an integer."""

    low: int
    high: int

    def problem(self, value: int) -> str:
        """Describe how a value violates the range; empty when it is inside."""
        return (
            ""
            if self.low <= value <= self.high
            else f"{value}: must be from {self.low} to {self.high}"
        )


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A field that exceeds its bounds."""

    # From the request on, such as "schedule.priority" or "params_json[users]".
    field: str
    text: str


_POSITION = Range(low=0, high=_INT64_MAX)
_COUNT = Range(low=0, high=MOST)
# By the suffix of the field's name.
_BY_ENDING: Mapping[str, Range] = {
    "_ms": Range(low=0, high=LONGEST_MS),
    "_us": Range(low=0, high=END_OF_TIME_US),
    "priority": Range(low=-HIGHEST_PRIORITY, high=HIGHEST_PRIORITY),
    "seq": _POSITION,
    "version": _POSITION,
    "max_attempts": Range(low=0, high=1_000_000),
    "min_step": _POSITION,
    "min_cells": _COUNT,
    "max_concurrency": _COUNT,
    "max_active_runs": _COUNT,
    "max_active": _COUNT,
    "exit_code": Range(low=0, high=255),
    "skip_exit_codes": Range(low=0, high=255),
}
# By the field's full name, which takes precedence over its suffix.
_BY_NAME: Mapping[str, Range] = {
    "google.protobuf.Timestamp.seconds": Range(low=0, high=_YEAR_2200),
    "google.protobuf.Timestamp.nanos": Range(low=0, high=999_999_999),
    "kaonapi.workflow.v1.Lock.limit": _COUNT,
    "kaonapi.view.v1.CountLogsRequest.buckets": Range(low=0, high=1_000),
    "kaonapi.view.v1.LogFilter.attempt": _COUNT,
    "kaonapi.view.v1.QueryLogsRequest.page_size": Range(low=0, high=10_000),
    "kaonapi.view.v1.QueryLogsRequest.from_line": _POSITION,
    "kaonapi.access.v1.ListTenantsRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.access.v1.ListTokensRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.access.v1.ListAuditRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.model.v1.ListModelsRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.run.v1.GetRunRequest.page_size": Range(low=0, high=10_000),
    "kaonapi.run.v1.GetRunAtRequest.page_size": Range(low=0, high=10_000),
    "kaonapi.runner.v1.ListPoolsRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.runner.v1.ListRunnersRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.dataset.v1.ListDatasetsRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.dataset.v1.ListDatasetUpdatesRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.schedule.v1.ListPermitsRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.schedule.v1.ListSchedulesRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.workflow.v1.ListWorkflowsRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.artifact.v1.ListArtifactsRequest.page_size": Range(low=0, high=5_000),
    "kaonapi.artifact.v1.ReadArtifactRequest.offset": _POSITION,
    "kaonapi.artifact.v1.RunArtifact.size_bytes": _POSITION,
    "kaonapi.log.v1.ReadLogsRequest.attempt": _COUNT,
    "kaonapi.log.v1.ReadLogsRequest.tail": _COUNT,
    "kaonapi.log.v1.ReadWholeLogRequest.attempt": _COUNT,
    "kaonapi.log.v1.ReadWholeLogRequest.offset": _POSITION,
    "kaonapi.run.v1.ListRunsRequest.page_size": Range(low=0, high=500),
    "kaonapi.run.v1.WatchRunRequest.batch_size": Range(low=0, high=1_000),
    "kaonapi.schedule.v1.BackfillRequest.every_days": Range(low=0, high=36_600),
    "kaonapi.schedule.v1.Permits.limit": _COUNT,
    # A day.
    "kaonapi.schedule.v1.Schedule.jitter_ms": Range(low=0, high=86_400_000),
    "kaonapi.schedule.v1.Trigger.jitter_ms": Range(low=0, high=86_400_000),
    # Set by the server: a caller's values are ignored.
    "kaonapi.schedule.v1.Permits.taken": Range(low=-_INT32_MAX - 1, high=_INT32_MAX),
    "kaonapi.view.v1.CountRunsRequest.buckets": Range(low=0, high=2_000),
    "kaonapi.view.v1.GetCellsRequest.count": Range(low=0, high=1_000_000),
    "kaonapi.view.v1.GetCellsRequest.first": _POSITION,
    "kaonapi.view.v1.GetRunViewRequest.iterations": Range(low=0, high=1_000),
    "kaonapi.view.v1.GetSpansRequest.max_spans": Range(low=0, high=2_000_000),
    "kaonapi.view.v1.GetSpansRequest.pixels": Range(low=0, high=100_000),
    "kaonapi.view.v1.ListCellsRequest.indexes": _POSITION,
    "kaonapi.view.v1.ListCellsRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.view.v1.ListGatesRequest.page_size": Range(low=0, high=500),
    "kaonapi.view.v1.ListEventsRequest.page_size": Range(low=0, high=1_000),
    "kaonapi.view.v1.ListValuesRequest.runs": Range(low=0, high=1_000),
    "kaonapi.view.v1.LogsTopic.attempt": _COUNT,
    "kaonapi.view.v1.LogsTopic.tail": Range(low=0, high=10_000),
    "kaonapi.view.v1.QueryRunsRequest.page_size": Range(low=0, high=500),
    "kaonapi.view.v1.RunTopic.iterations": Range(low=0, high=1_000),
    "kaonapi.view.v1.RunsTopic.page_size": Range(low=0, high=500),
    "kaonapi.view.v1.Topic.interval_ms": Range(low=0, high=60_000),
    "kaonapi.model.v1.WatchModelsRequest.after_cursor": Range(low=-1, high=_INT64_MAX),
    "kaonapi.model.v1.AcknowledgeModelRequest.cursor": _POSITION,
    "kaonapi.workflow.v1.FailurePolicy.count": _COUNT,
    "kaonapi.workflow.v1.RandomSample.count": _COUNT,
    "kaonapi.workflow.v1.RandomSample.seed": Range(low=-_INT64_MAX - 1, high=_INT64_MAX),
    "kaonapi.workflow.v1.Repeat.max_iterations": _COUNT,
    "kaonapi.workflow.v1.SuccessiveHalving.eta": _COUNT,
    "kaonapi.workflow.v1.Resources.slots": Range(low=0, high=1_000_000),
    "kaonapi.workflow.v1.Resources.cpu_milli": _COUNT,
    "kaonapi.workflow.v1.Resources.memory_bytes": Range(low=0, high=2**50),
    "kaonapi.workflow.v1.Resources.gpu": Range(low=0, high=1_000_000),
    "kaonapi.workflow.v1.Resources.CustomEntry.value": _COUNT,
}
# By the field's full name.
_KEYS = frozenset(
    {
        "kaonapi.model.v1.AcknowledgeModelRequest.consumer",
        "kaonapi.model.v1.PublishModelRequest.idempotency_key",
        "kaonapi.model.v1.WatchModelsRequest.consumer",
        "kaonapi.run.v1.ForkRunRequest.idempotency_key",
        "kaonapi.run.v1.RerunRunRequest.idempotency_key",
        "kaonapi.run.v1.SignalRunsRequest.idempotency_key",
        "kaonapi.run.v1.SubmitRunRequest.idempotency_key",
        "kaonapi.schedule.v1.BackfillRequest.name",
        "kaonapi.schedule.v1.RunScheduleRequest.idempotency_key",
        "kaonapi.schedule.v1.Permits.tag",
    }
)
_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_REALS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})
# Requests within a request, each of which is checked, and refused, by itself.
_APART = frozenset({"kaonapi.run.v1.SubmitRunsRequest.requests"})
# Limited only as part of its definition, which the engine bounds as a whole.
_DEFINITIONS = "kaonapi.workflow.v1."


def range_of(field: FieldDescriptor) -> Range | None:
    """Return the range of an integer field; None when the tables do not contain it."""
    by_name = _BY_NAME.get(field.full_name)
    if by_name is not None:
        return by_name
    return next((each for ending, each in _BY_ENDING.items() if field.name.endswith(ending)), None)


def violations(message: Message, at: str = "") -> list[Violation]:
    """Yield all violations of a message, in the order of its fields."""
    return list(_message(message, at))


def check(message: Message) -> None:
    """Check a message.

    Raises:
        InvalidValue: A field exceeds its bound; the error names the first such field and the bound.
    """
    for each in _message(message, ""):
        raise InvalidValue(each.text)


def made(kind: type[M], **values: Any) -> M:
    """Build a message of these values, all of them within their bounds.

    Raises:
        InvalidValue: A field exceeds its bound; the error names the first such field and the bound.
    """
    for name, value in values.items():
        bound = _named_range(kind, name) if isinstance(value, int) else None
        if bound is not None and (problem := bound.problem(value)):
            raise InvalidValue(f"{name} {problem}")
    try:
        message = kind(**values)
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"a text has half of a surrogate pair, which is no character: {error}"
        ) from error
    check(message)
    return message


def integer_fields(root: Descriptor) -> dict[str, FieldDescriptor]:
    """Yield every integer field of a message and its nested messages, by its full name."""
    found: dict[str, FieldDescriptor] = {}
    seen, waiting = {root.full_name}, [root]
    while waiting:
        for field in waiting.pop().fields:
            if field.cpp_type in _INTEGERS:
                found[field.full_name] = field
            elif field.message_type is not None and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                waiting.append(field.message_type)
    return found


def _message(message: Message, at: str) -> Iterator[Violation]:
    for field, value in message.ListFields():
        if field.full_name in _APART:
            continue
        name = f"{at}.{field.name}" if at else field.name
        if _is_map(field):
            yield from _map(field, value, name)
        elif field.is_repeated:
            for index, each in enumerate(value):
                yield from _value(
                    field, each, f"{name}[{index}]", json=field.name.endswith("_json")
                )
        else:
            yield from _value(field, value, name, json=field.name.endswith("_json"))


def _map(field: FieldDescriptor, values: Any, name: str) -> Iterator[Violation]:
    assert field.message_type is not None
    keys, entries = (
        field.message_type.fields_by_name["key"],
        field.message_type.fields_by_name["value"],
    )
    for key in values:
        shown = f"{name}[{str(key)[:80]}]".replace("\0", "\\0")
        yield from _value(keys, key, shown, json=False)
        yield from _value(entries, values[key], shown, json=field.name.endswith("_json"))


def _value(field: FieldDescriptor, value: Any, name: str, *, json: bool) -> Iterator[Violation]:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        yield from _message(value, name)
        return
    if kind == FieldDescriptor.CPPTYPE_STRING:
        problem = _text_problem(field, value, json=json) if isinstance(value, str) else ""
    elif kind == FieldDescriptor.CPPTYPE_ENUM:
        assert field.enum_type is not None
        declared = field.enum_type.values_by_number
        names = ", ".join(field.enum_type.values_by_name)
        problem = "" if value in declared else f"{value} is none of {names}"
    elif kind in _REALS:
        problem = "" if math.isfinite(value) else f"{value} is not a finite number"
    elif kind in _INTEGERS:
        bound = _cached_range(field)
        problem = bound.problem(value) if bound is not None else ""
    else:
        problem = ""
    if problem:
        yield Violation(field=name, text=f"{name} {problem}")


def _text_problem(field: FieldDescriptor, text: str, *, json: bool) -> str:
    if "\0" in text:
        return "has a NUL character, which no text may have"
    if json:
        if not text:
            return ""
        try:
            canonical.strict(text)
        except InvalidValue as error:
            return f"is {error}" if str(error).startswith("n") else f"cannot be kept: {error}"
    elif not field.full_name.startswith(_DEFINITIONS):
        most = KEY_CHARACTERS if field.full_name in _KEYS else TEXT_CHARACTERS
        return f"has {len(text)} characters; use at most {most}" if len(text) > most else ""
    return ""


def _named_range(kind: type[Message], name: str) -> Range | None:
    field: Any = kind.DESCRIPTOR.fields_by_name[name]
    return range_of(field)


_cached_range = lru_cache(maxsize=None)(range_of)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
