"""Schedules as people write them: TOML or JSON.

name = "nightly"
workflow = "recommendations"
cron = "0 3 * * *"                 # or "@daily", or several: ["0 3 * * 1-5", "@monthly"]
                                   # or every = "6h", run_finished = "other", record_arrived = "topic", model_published = "name",
                                   # dataset = "ratings"
filter = "date != '2026-12-25'"    # CEL over `time`, `date`, `event` and `trigger`: when it is false, there is no run
jitter = "10m"                     # of cron and every: a run is submitted up to so much after its time
time_zone = "Europe/Berlin"        # of cron; UTC without it
catch_up = "latest"                # none, latest, all: times that passed while nobody could submit
overlap = "skip"                   # allow, skip, buffer, cancel_other: when the previous run has not ended
start_time = 2026-12-01T00:00:00Z
end_time = 2027-12-01T00:00:00Z

[[any]]                            # in place of the above: several triggers, each of which gives a run
cron = "@daily"
jitter = "5m"                      # in place of the schedule's
[[any]]                            # all of these, within an hour of each other
within = "1h"
all = [
    {name = "sales", run_finished = "daily-sales", filter = "event.outputs.total > 0"},
    {name = "stock", run_finished = "daily-stock"},
]

[[any]]                            # both for the same partition, such as a day
join = "event.partition"           # of all of them; one trigger may have its own, as {name = "b", dataset = "b", join = "date"}
all = [{name = "clicks", dataset = "clicks"}, {name = "orders", dataset = "orders"}]

[params]
min_ratings = 30

[params_cel]                       # over `time` and `date` (what the run stands for), `event` (what happened) and `trigger`
day = "date"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from kaon.cli import formatting
from kaon.dsl.errors import WorkflowError
from kaon.dsl.policies import milliseconds
from kaon.dsl.source import Source
from kaon_wire import bounds, canonical
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import run_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s

_NOWHERE = Source(file="", line=0)
_WHEN = ("cron", "every", "run_finished", "record_arrived", "model_published", "dataset")
_DETAILS = ("time_zone", "anchor", "statuses", "stage", "filter")
_KEYS = (
    "name",
    "workflow",
    "version",
    *_WHEN,
    *_DETAILS,
    "any",
    "all",
    "within",
    "join",
    "jitter",
    "params",
    "params_cel",
    "priority",
    "catch_up",
    "overlap",
    "paused",
    "start_time",
    "end_time",
)


def read(path: Path) -> s.Schedule:
    """Read the schedule of a file.

    Raises:
        InvalidValue: the file cannot be read, or something in it is wrong; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidValue(f"{path}: {error}") from error
    except RecursionError:
        raise InvalidValue(f"{path}: nested too deeply") from None
    try:
        return from_mapping(given)
    except InvalidValue as error:
        raise InvalidValue(f"{path}: {error}") from error


def from_mapping(given: object) -> s.Schedule:
    """Parse the content of a schedule file.

    Raises:
        InvalidValue: something in it is wrong; the message names it.
    """
    if not isinstance(given, Mapping):
        raise InvalidValue("a schedule is a table of settings by name")
    _check_known(given, _KEYS)
    schedule = bounds.made(
        s.Schedule,
        name=_text(given, "name"),
        workflow=_text(given, "workflow"),
        version=_text(given, "version"),
        priority=_of_type(given, "priority", int, 0),
        paused=_of_type(given, "paused", bool, False),
    )
    if not schedule.name or not schedule.workflow:
        raise InvalidValue("name and workflow are required")
    if _combines(given):
        schedule.triggers.any.extend(_alternatives(given))
    else:
        _set_when(schedule, given)
    schedule.filter_cel = _text(given, "filter")
    if "jitter" in given:
        schedule.jitter_ms = _duration(given, "jitter")
    schedule.catch_up = _enum(given, "catch_up", s.CatchUp, "CATCH_UP_")
    schedule.overlap = _enum(given, "overlap", s.Overlap, "OVERLAP_")
    for key in ("start_time", "end_time"):
        if key in given:
            getattr(schedule, key).CopyFrom(_time(key, given[key]))
    _set_params(
        schedule, _of_type(given, "params", dict, {}), _of_type(given, "params_cel", dict, {})
    )
    bounds.check(schedule)
    return schedule


def _check_known(given: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise InvalidValue(
            f"there is no setting {unknown[0]!r}; the settings are {', '.join(known)}"
        )


def _combines(given: Mapping[str, Any]) -> bool:
    """Tell whether several triggers are given."""
    ways = [key for key in (*_WHEN, "any", "all") if key in given]
    if not {"any", "all"} & set(ways):
        return False
    if len(ways) > 1:
        raise InvalidValue(f"give one of {', '.join((*_WHEN, 'any', 'all'))}; there are several")
    return True


def _alternatives(given: Mapping[str, Any]) -> Iterator[s.Alternative]:
    for each in _of_type(given, "any", list, [given]):
        if not isinstance(each, Mapping):
            raise InvalidValue(f"any: {each!r} is no table of settings")
        if "all" not in each:
            yield s.Alternative(all=[_trigger(each)])
            continue
        if each is not given:
            _check_known(each, ("all", "within", "join"))
        alternative = s.Alternative(all=[_trigger(one) for one in _of_type(each, "all", list, [])])
        join = _text(each, "join")
        for trigger in alternative.all:
            trigger.join_cel = trigger.join_cel or join
        if "within" in each:
            alternative.within_ms = _duration(each, "within")
        yield alternative


def _trigger(given: object) -> s.Trigger:
    if not isinstance(given, Mapping):
        raise InvalidValue(f"{given!r} is no trigger; write a table such as {{cron = '@daily'}}")
    _check_known(given, ("name", *_WHEN, *_DETAILS, "join", "jitter"))
    trigger = s.Trigger(
        name=_text(given, "name"), filter_cel=_text(given, "filter"), join_cel=_text(given, "join")
    )
    if "jitter" in given:
        trigger.jitter_ms = _duration(given, "jitter")
    _set_when(trigger, given)
    return trigger


def _set_params(
    schedule: s.Schedule, values: Mapping[str, Any], expressions: Mapping[str, Any]
) -> None:
    for name, value in values.items():
        try:
            schedule.params_json[_kept(name, "params")] = canonical.dumps(value)
        except InvalidValue as error:
            raise InvalidValue(f"params: {name!r}: {error}") from error
    for name in expressions:
        schedule.params_cel[_kept(name, "params_cel")] = _text(expressions, name)


def _set_when(schedule: s.Schedule | s.Trigger, given: Mapping[str, Any]) -> None:
    chosen = [key for key in _WHEN if key in given]
    if len(chosen) != 1:
        raise InvalidValue(
            f"give one of {', '.join(_WHEN)}; there {'is none' if not chosen else 'are several'}"
        )
    match chosen[0]:
        case "cron":
            first, *more = _crons(given["cron"])
            schedule.cron.CopyFrom(
                s.Cron(expression=first, more_expressions=more, time_zone=_text(given, "time_zone"))
            )
        case "every":
            every = _duration(given, "every")
            schedule.interval.CopyFrom(s.Interval(every_ms=every))
            if "anchor" in given:
                schedule.interval.anchor.CopyFrom(_time("anchor", given["anchor"]))
        case "run_finished":
            statuses = [_status(each) for each in _of_type(given, "statuses", list, [])]
            schedule.run_finished.CopyFrom(
                s.RunFinished(workflow=_text(given, "run_finished"), statuses=statuses)
            )
        case "record_arrived":
            schedule.record_arrived.CopyFrom(s.RecordArrived(topic=_text(given, "record_arrived")))
        case "dataset":
            schedule.dataset_updated.CopyFrom(s.DatasetUpdated(dataset=_text(given, "dataset")))
        case _:
            model, stage = _text(given, "model_published"), _text(given, "stage")
            schedule.model_published.CopyFrom(s.ModelPublished(model=model, stage=stage))


def _crons(given: object) -> list[str]:
    """Read one cron expression or a list of them."""
    found = given if isinstance(given, list) else [given]
    if not found:
        raise InvalidValue("cron is an empty list; write at least one expression")
    return [_text({"cron": each}, "cron") for each in found]


def _duration(given: Mapping[str, Any], key: str) -> int:
    try:
        return milliseconds(given[key], key, _NOWHERE)
    except WorkflowError as error:
        raise InvalidValue(error.problem) from None


def _text(given: Mapping[str, Any], key: str) -> str:
    return _kept(_of_type(given, key, str, ""), key)


def _kept(text: str, key: str) -> str:
    """Check that a message can hold a text, and return it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"{key} has half of a surrogate pair, which is no character: {error}"
        ) from error
    return text


def _of_type(given: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = given.get(key, default)
    if type(value) is not kind:
        raise InvalidValue(f"{key} is {value!r}, which is no {kind.__name__}")
    return value


def _enum(given: Mapping[str, Any], key: str, kind: Any, prefix: str) -> Any:
    name = prefix + _text(given, key).upper()
    if name == prefix:
        return 0
    names = [each.name for each in kind.DESCRIPTOR.values if each.number]
    if name not in names:
        known = ", ".join(each.removeprefix(prefix).lower() for each in names)
        raise InvalidValue(f"{key} is {given[key]!r}; it must be one of {known}")
    return kind.Value(name)


def _status(name: object) -> run_pb2.Status.ValueType:
    status = formatting.parse_status(str(name))
    if not status:
        raise InvalidValue(f"statuses: there is no status {name!r}")
    return status


def _time(key: str, value: object) -> Timestamp:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        time = None
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise InvalidValue(
            f"{key} is {value!r}; write a time with its zone, such as 2026-12-01T00:00:00Z"
        )
    stamp = Timestamp()
    try:
        stamp.FromDatetime(time.astimezone(UTC))
    except (OverflowError, ValueError) as error:
        raise InvalidValue(f"{key} is {value!r}: {error}") from error
    return stamp
