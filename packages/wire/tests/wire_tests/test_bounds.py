"""Every integer that a caller may send has a bound, and whatever is beyond a bound is refused by name."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor

from kaon_wire import bounds, canonical
from kaon_wire.errors import InvalidValue
from kaonapi.log.v1 import log_pb2
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import command_pb2, run_service_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.schedule.v1 import schedule_pb2
from kaonapi.system.v1 import system_pb2
from kaonapi.view.v1 import view_service_pb2
from kaonapi.workflow.v1 import definition_pb2, workflow_service_pb2

FILES = (
    log_pb2,
    model_pb2,
    run_service_pb2,
    runner_pb2,
    schedule_pb2,
    system_pb2,
    view_service_pb2,
    workflow_service_pb2,
)
REQUESTS: list[Descriptor] = [
    method.input_type
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.mark.parametrize(
    "root",
    [
        *REQUESTS,
        definition_pb2.WorkflowDefinition.DESCRIPTOR,
        command_pb2.SetRunPriority.DESCRIPTOR,
    ],
    ids=lambda root: root.name,
)
def test_every_integer_of_every_request_has_a_bound(root: Descriptor) -> None:
    unbounded = [
        name
        for name, field in bounds.integer_fields(root).items()
        if bounds.range_of(field) is None
    ]
    assert not unbounded


@pytest.mark.parametrize("root", REQUESTS, ids=lambda root: root.name)
def test_what_becomes_part_of_a_key_is_short_enough_for_any_index(root: Descriptor) -> None:
    """By the names that such fields have."""
    for field in root.fields:
        if field.name in {"idempotency_key", "consumer", "tag"}:
            request = root._concrete_class(**{field.name: "x" * (bounds.KEY_CHARACTERS + 1)})
            assert bounds.violations(request), field.full_name


def test_sums_of_what_is_allowed_fit() -> None:
    assert 2 * bounds.HIGHEST_PRIORITY < 2**31
    assert bounds.END_OF_TIME_US + bounds.LONGEST_MS * 1000 < 2**63


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            run_service_pb2.SetRunPriorityRequest(priority=2**31 - 1),
            "priority 2147483647: must be from -1000000000 to 1000000000",
        ),
        (
            run_service_pb2.SubmitRunRequest(idempotency_key="a\0"),
            "idempotency_key has a NUL character, which no text may have",
        ),
        (
            run_service_pb2.SubmitRunRequest(params_json={"a\0": "1"}),
            r"params_json[a\0] has a NUL character",
        ),
        (
            run_service_pb2.SubmitRunRequest(params_json={"x": r'"\ud800"'}),
            "params_json[x] cannot be kept: a text in it has half of a surrogate pair",
        ),
        (
            run_service_pb2.SubmitRunRequest(params_json={"x": "1e400"}),
            "params_json[x] is not a JSON value: Out of range float values",
        ),
        (run_service_pb2.ListRunsRequest(status=77), "status 77 is none of STATUS_UNSPECIFIED"),  # type: ignore[arg-type]
        (
            schedule_pb2.Schedule(interval=schedule_pb2.Interval(every_ms=2**62)),
            "interval.every_ms 4611686018427387904: must be from 0 to 315576000000",
        ),
        (definition_pb2.Resources(custom={"gpu": -1}), "custom[gpu] -1: must be from 0 to"),
        (definition_pb2.RetryPolicy(jitter=float("nan")), "jitter nan is not a finite number"),
        (
            run_service_pb2.GetRunRequest(run_id="x" * 5_000),
            "run_id has 5000 characters; use at most 4096",
        ),
        (schedule_pb2.BackfillRequest(name="x" * 201), "name has 201 characters; use at most 200"),
        (
            model_pb2.AcknowledgeModelRequest(consumer="x" * 201),
            "consumer has 201 characters; use at most 200",
        ),
    ],
)
def test_what_is_out_of_bounds_is_told_by_field_and_bound(message: object, told: str) -> None:
    with pytest.raises(InvalidValue) as error:
        bounds.check(message)  # type: ignore[arg-type]
    assert told in str(error.value)


def test_a_message_is_made_of_values_that_no_field_can_hold_only_with_an_error_in_words() -> None:
    with pytest.raises(InvalidValue, match="priority 99999999999: must be from"):
        bounds.made(run_service_pb2.SubmitRunRequest, workflow="w", priority=99999999999)
    with pytest.raises(InvalidValue, match="limit 2147483648: must be from 0"):
        bounds.made(schedule_pb2.Permits, tag="t", limit=2**31)
    with pytest.raises(InvalidValue, match="surrogate"):
        bounds.made(schedule_pb2.Permits, tag="\ud800", limit=1)


@pytest.mark.parametrize(
    "text",
    [
        r'"\ud800"',
        r'{"\udfff":1}',
        r'"\u0000"',
        r'"\\\u0000"',
        "NaN",
        "-Infinity",
        "1e400",
        "[" * 101 + "]" * 101,
        "{",
    ],
)
def test_json_that_cannot_be_kept_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        canonical.strict(text)


@pytest.mark.parametrize(
    "text", [r'"\ud83d\ude00"', r'"\\u0000"', "1e308", "[" * 100 + "]" * 100, r'"\\ud800"']
)
def test_json_that_only_looks_so_is_kept(text: str) -> None:
    assert canonical.loads(canonical.strict(text)) == canonical.loads(text)
