"""What the broker could not serve is asked again; every other answer passes as it came."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError, UnknownError
from aiokafka.protocol.commit import OffsetCommitResponse_v2, OffsetFetchResponse_v1
from aiokafka.protocol.group import HeartbeatResponse_v0, SyncGroupResponse_v0

from kaon_coordinator.transport import patience
from kaon_coordinator.transport.broker_watch import BrokerWatch
from kaon_coordinator.transport.transient import may_pass

FULL = UnknownError.errno


def group_that_answers(response: Any) -> Any:
    """A group coordinator's connection with one answer to everything."""

    async def send(_request: Any) -> Any:
        return response

    group = SimpleNamespace(_send_req=send)
    watch = BrokerWatch(silence=4.0)
    patience.retry_group_requests(SimpleNamespace(_coordinator=group), watch)
    return group


def test_a_request_that_failed_for_an_unknown_reason_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(UnknownError, "retriable", False)
    patience.retry_unknown_errors()
    assert may_pass(UnknownError())


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize(
    "response",
    [
        OffsetCommitResponse_v2([("step-events", [(0, 0), (1, FULL)])]),
        OffsetFetchResponse_v1([("step-events", [(0, 7, "", FULL)])]),
        SyncGroupResponse_v0(FULL, b""),
        HeartbeatResponse_v0(FULL),
    ],
    ids=lambda response: type(response).__name__,
)
async def test_an_unknown_error_counts_as_the_absence_of_the_groups_coordinator(
    response: Any,
) -> None:
    with pytest.raises(GroupCoordinatorNotAvailableError) as told:
        await group_that_answers(response)._send_req("a request")
    assert told.value.retriable, "aiokafka waits and asks again"


@pytest.mark.parametrize(
    "response",
    [
        OffsetCommitResponse_v2([("step-events", [(0, 0), (1, 22)])]),
        OffsetFetchResponse_v1([("step-events", [(0, -1, "", 0)])]),
        HeartbeatResponse_v0(27),
    ],
    ids=lambda response: type(response).__name__,
)
async def test_any_other_answer_passes(response: Any) -> None:
    assert await group_that_answers(response)._send_req("a request") is response
