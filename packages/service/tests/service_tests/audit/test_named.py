"""What is recorded of a request names things and holds no values."""

from __future__ import annotations

from kaon_service.audit.named import named
from kaonapi.access.v1 import access_service_pb2
from kaonapi.run.v1 import run_service_pb2
from kaonapi.schedule.v1 import schedule_pb2


def test_parameters_and_comments_are_not_recorded() -> None:
    request = run_service_pb2.SubmitRunRequest(
        workflow="train", priority=5, params_json={"password": '"hunter2"'}
    )
    assert named(request) == "workflow=train priority=5"
    answer = run_service_pb2.AnswerGateRequest(run_id="r1", path="ask", comment="hunter2")
    assert named(answer) == "run_id=r1 path=ask"


def test_what_lies_deeper_is_named_too() -> None:
    request = schedule_pb2.PutScheduleRequest(
        schedule=schedule_pb2.Schedule(name="nightly", workflow="train")
    )
    assert named(request) == "name=nightly workflow=train"
    caller = access_service_pb2.Caller(name="ci", roles=["operator", "viewer"])
    token = access_service_pb2.CreateTokenRequest(caller=caller)
    assert named(token) == "name=ci roles=operator,viewer"


def test_hostile_names_stay_one_line_and_short() -> None:
    request = run_service_pb2.GetRunRequest(run_id="a\n\u202eb" + "x" * 5_000)
    found = named(request)
    assert len(found) <= 1_000
    assert found.isprintable()
