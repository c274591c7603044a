"""The fencing key of a step is one value, wherever the engine is told of it or tells of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest

from kaon_coordinator.engine.actions import Action
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import Lease, Message


@pytest.mark.parametrize("kind", [*get_args(Action), *get_args(Message), Lease])
def test_no_action_or_message_spells_the_fencing_key(kind: type[Any]) -> None:
    assert not {"attempt", "generation"} & {each.name for each in fields(kind)}


def test_issues_of_a_step_come_in_the_order_in_which_they_were_made() -> None:
    first, again, second = (
        StepIssue(path="s", attempt=attempt, generation=generation)
        for attempt, generation in ((1, 1), (1, 2), (2, 3))
    )
    assert first < again < second
    assert len({first, again, StepIssue(path="s", attempt=1, generation=1)}) == 2
