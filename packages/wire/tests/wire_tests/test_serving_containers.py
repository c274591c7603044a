"""Settings of docker steps come from anybody: whatever they are, validation ends with problems."""

from __future__ import annotations

import pytest

from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

HOSTILE = (
    "",
    "[]",
    "{",
    "[" * 100_000,
    '{"ready": {}, "publish": "80"}',
    '{"ready": [1], "publish": {"": null}}',
    '{"ready": ["x"], "publish": {"a": 1e400}, "network": ["none"]}',
)


@pytest.mark.parametrize("config", HOSTILE, ids=range(len(HOSTILE)))
def test_settings_that_are_none_are_problems(config: str) -> None:
    server = d.Block(name="db", step=d.Step(type="docker", config_json=config, serves=True))
    user = d.Block(name="use", step=d.Step(type="shell", config_json='{"argv": ["true"]}'))
    body = d.Graph(blocks=[server, user], edges=[d.Edge(source="db", target="use")])
    problems = validate(d.WorkflowDefinition(name="w", body=body))
    assert [each for each in problems if "db" in each]
