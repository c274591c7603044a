"""What becomes of occasions while the previous run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from kaon_coordinator.schedules.overlap import plan
from kaon_coordinator.schedules.schedule_state import Occasion
from kaonapi.schedule.v1 import schedule_pb2 as s

A, B, C = (Occasion(key=key, time_us=number) for number, key in enumerate("abc"))


@pytest.mark.parametrize(
    ("policy", "active", "buffered", "submitted", "kept", "cancels"),
    [
        (s.OVERLAP_UNSPECIFIED, True, None, [A, B], None, False),
        (s.OVERLAP_ALLOW, True, None, [A, B], None, False),
        (s.OVERLAP_SKIP, True, None, [], None, False),
        (s.OVERLAP_SKIP, False, None, [A], None, False),
        (s.OVERLAP_BUFFER, True, None, [], A, False),
        (s.OVERLAP_BUFFER, False, None, [A], B, False),
        (s.OVERLAP_BUFFER, True, C, [], C, False),
        (s.OVERLAP_BUFFER, False, C, [C], A, False),
        (s.OVERLAP_CANCEL_OTHER, True, None, [B], None, True),
        (s.OVERLAP_CANCEL_OTHER, False, None, [B], None, False),
    ],
)
def test_the_policy_decides(
    policy: Any, active: bool, buffered: Any, submitted: list[Occasion], kept: Any, cancels: bool
) -> None:
    found = plan(policy, [A, B], active=active, buffered=buffered)
    assert (list(found.submit), found.buffered, found.cancel) == (submitted, kept, cancels)


def test_without_an_occasion_nothing_is_cancelled_and_what_waits_begins_in_its_turn() -> None:
    assert not plan(s.OVERLAP_CANCEL_OTHER, [], active=True, buffered=None).cancel
    waits = plan(s.OVERLAP_BUFFER, [], active=True, buffered=A)
    assert (list(waits.submit), waits.buffered) == ([], A)
    begins = plan(s.OVERLAP_BUFFER, [], active=False, buffered=A)
    assert (list(begins.submit), begins.buffered) == ([A], None)
