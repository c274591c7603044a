"""Validation of schedules: reports all problems at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zoneinfo import ZoneInfoNotFoundError

from kaon_coordinator import expressions, params
from kaon_coordinator.computed_params import computed_names
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.problems import InvalidRequest, Problem
from kaon_coordinator.schedules import combining, scheduled_runs, times
from kaon_coordinator.schedules.schedule_state import Occasion
from kaon_wire.definitions.names import NAME, NAME_RULE
from kaon_wire.errors import InvalidValue
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.workflow.v1 import definition_pb2 as d

# A sample time with which expressions are tried.
_SOME_TIME_US = 1_767_225_600_000_000
_TRIGGER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")


def check(schedule: s.Schedule, definition: d.WorkflowDefinition, limits: Limits = DEFAULT) -> None:
    """Check a schedule of a workflow.

    Raises:
        InvalidRequest: The schedule has problems; the error names them all.
    """
    problems = [
        Problem(field=f"schedule.{field}", text=text)
        for field, text in _problems(schedule, definition, limits)
    ]
    if problems:
        raise InvalidRequest(f"schedule {schedule.name[:80]!r}", problems)


def _problems(
    schedule: s.Schedule, definition: d.WorkflowDefinition, limits: Limits
) -> Iterator[tuple[str, str]]:
    if not _NAME.match(schedule.name):
        yield "name", f"name {schedule.name[:80]!r}: use lower-case letters, digits and hyphens"
    yield from _when(schedule)
    yield from _filter(schedule.filter_cel, "filter_cel")
    bounded = schedule.HasField("start_time") and schedule.HasField("end_time")
    if bounded and schedule.end_time.ToMicroseconds() <= schedule.start_time.ToMicroseconds():
        yield "end_time", "end_time: must be after start_time"
    yield from _parameters(schedule, definition, limits)


def _when(schedule: s.Schedule) -> Iterator[tuple[str, str]]:
    when = schedule.WhichOneof("when")
    if when is None:
        yield (
            "when",
            "one of cron, interval, run_finished, record_arrived, model_published, dataset_updated and triggers must be set",
        )
    elif when == "triggers":
        yield from _triggers(schedule)
        return
    elif when == "run_finished" and not schedule.run_finished.workflow:
        yield "run_finished.workflow", "run_finished.workflow: name a workflow"
    elif when == "dataset_updated" and not NAME.match(schedule.dataset_updated.dataset):
        dataset = schedule.dataset_updated.dataset[:80]
        yield "dataset_updated.dataset", f"dataset_updated.dataset {dataset!r}: {NAME_RULE}"
    elif when == "record_arrived" and not schedule.record_arrived.topic:
        yield "record_arrived.topic", "record_arrived.topic: name a topic"
    try:
        times.check(schedule)
    except InvalidValue as error:
        yield "when", str(error)


def _triggers(schedule: s.Schedule) -> Iterator[tuple[str, str]]:
    found = list(combining.leaves(schedule))
    empty = not schedule.triggers.any or not all(each.all for each in schedule.triggers.any)
    if empty or len(found) > combining.MOST_TRIGGERS:
        text = f"use 1 to {combining.MOST_TRIGGERS} triggers, and none of the alternatives empty"
        yield "triggers", f"triggers: {text}"
    if schedule.jitter_ms and not any(times.is_timed(leaf.schedule) for leaf in found):
        yield "jitter_ms", "jitter_ms: only a cron or an interval has a jitter"
    yield from _joins(schedule)
    names = [leaf.name for leaf in found]
    for leaf in found:
        place = f"triggers.any[{leaf.alternative}].all[{leaf.place.split('.')[1]}]"
        if leaf.name != leaf.place and not _TRIGGER.match(leaf.name):
            yield f"{place}.name", f"name {leaf.name[:80]!r}: use letters, digits and underscores"
        if names.count(leaf.name) > 1:
            yield f"{place}.name", f"name {leaf.name[:80]!r}: several triggers have it"
        cels = (*_filter(leaf.filter_cel, "filter_cel"), *_filter(leaf.join_cel, "join_cel"))
        for field, text in (*_when(leaf.schedule), *cels):
            yield f"{place}.{field}", f"trigger {leaf.name[:80]}: {text}"


def _joins(schedule: s.Schedule) -> Iterator[tuple[str, str]]:
    for number, alternative in enumerate(schedule.triggers.any):
        having = sum(bool(trigger.join_cel) for trigger in alternative.all)
        if having and (having < len(alternative.all) or having < 2):
            text = "join_cel: all of several triggers of an alternative have it, or none"
            yield f"triggers.any[{number}]", text


def _filter(cel: str, field: str) -> Iterator[tuple[str, str]]:
    problem = expressions.check(cel) if cel else ""
    if problem:
        yield field, f"{field}: {problem}"


def _parameters(
    schedule: s.Schedule, definition: d.WorkflowDefinition, limits: Limits
) -> Iterator[tuple[str, str]]:
    declared = {parameter.name: parameter for parameter in definition.parameters}
    for name, cel in sorted(schedule.params_cel.items()):
        if name not in declared:
            yield f"params_cel[{name}]", f"there is no parameter {name!r}"
        elif problem := expressions.check(cel) or _problem_by_trying(schedule, cel):
            yield f"params_cel[{name}]", problem
    # The check of given values excludes parameters that are computed later: by the schedule, or as defaults.
    later = schedule.params_cel.keys() | computed_names(definition, schedule.params_json)
    given_now = d.WorkflowDefinition()
    given_now.CopyFrom(definition)
    del given_now.parameters[:]
    given_now.parameters.extend(each for each in definition.parameters if each.name not in later)
    try:
        params.complete(given_now, schedule.params_json, limits)
    except InvalidRequest as error:
        for each in error.problems:
            yield each.field, each.text


def _problem_by_trying(schedule: s.Schedule, cel: str) -> str:
    """Describe the fault of an expression that depends only on the time; return "" when it has a value."""
    if not times.is_timed(schedule):
        return ""
    some = Occasion(key="", time_us=_SOME_TIME_US)
    try:
        expressions.evaluate(cel, scheduled_runs.variables(schedule, some))
    except expressions.ExpressionError as error:
        return str(error)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ""  # another check reports the zone itself
    return ""
