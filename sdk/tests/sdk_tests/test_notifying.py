"""Whom a workflow tells of its runs."""

from __future__ import annotations

from typing import Any

import pytest

from kaon import Workflow, WorkflowError, notify, steps
from kaonapi.workflow.v1 import definition_pb2 as d


def workflow(notification: Any) -> Workflow:
    return Workflow("w", steps.shell("s", argv=["true"]), notify=notification)


def test_notifications_stand_in_the_definition() -> None:
    both = [notify("failed", "late", to="ops"), notify("waiting", to="team-1")]
    assert list(workflow(both).definition().notifications) == [
        d.Notification(on=[d.OCCASION_FAILED, d.OCCASION_LATE], channel="ops"),
        d.Notification(on=[d.OCCASION_WAITING], channel="team-1"),
    ]
    assert workflow(both[0]).version != workflow(()).version


@pytest.mark.parametrize(
    ("occasions", "to", "problem"),
    [
        ((), "ops", 'needs an occasion: "succeeded" | "failed"'),
        (("fail",), "ops", "'fail' is no occasion; did you mean failed?"),
        ((3,), "ops", '3 is no occasion; use "succeeded" | "failed"'),
        (("failed", "failed"), "ops", "an occasion twice"),
        (("failed",), "Ops!", "the name of a channel has lower-case letters"),
        (("failed",), None, "the name of a channel has lower-case letters"),
    ],
)
def test_mistakes_are_named_at_their_line(occasions: Any, to: Any, problem: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        notify(*occasions, to=to)
    assert problem in str(refused.value)
    assert "test_notifying.py" in str(refused.value)


@pytest.mark.parametrize("given", ["ops", ["ops"], 3])
def test_something_else_than_a_notification_is_refused(given: Any) -> None:
    with pytest.raises(WorkflowError, match=r'notify takes notify\("failed", to="ops"\), not'):
        workflow(given)
