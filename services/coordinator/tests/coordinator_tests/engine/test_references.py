"""Expressions pass references to artifacts on, and make none."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.messages import Start
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.expressions import evaluate
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, output, step, workflow
from .driver import Driver

GIVEN = {"artifact": {"digest": f"sha256:{'a' * 64}", "uri": "x"}}


def works(_: object) -> dict[str, object]:
    return {"out": GIVEN}


@pytest.mark.parametrize(
    ("cel", "passes"),
    [
        ("[given, given]", True),
        ("{'artifact': given.artifact}", True),
        ("{'artifact': {'digest': given.artifact.digest, 'uri': 'y'}}", True),
        (f"{{'artifact': {{'digest': 'sha256:{'b' * 64}', 'uri': 'y'}}}}", False),
        ("given.artifact.digest", True),
        # A runner would put the content in its place, and what that refers to.
        ("{'artifact': {'digest': given.artifact.digest, 'uri': 'y', 'type': 'value'}}", False),
        ("[{'artifact': {'digest': '', 'uri': 'y', 'type': 'list'}}]", False),
    ],
)
def test_an_expression_passes_on_what_it_is_given(cel: str, passes: bool) -> None:
    made = d.Binding(expression=d.Expression(cel=cel, variables={"given": output("a")}))
    driver = Driver(workflow(chain(step("a"), step("b", data=made))), works, evaluate=evaluate)
    driver.tell(Start())
    driver.drain()
    assert driver.state.status == (t.SUCCEEDED if passes else t.FAILED)
    if not passes:
        told = str(driver.state.error)
        assert "expressions only pass on" in told or ", which coordinators make" in told
    driver.check_replay()
