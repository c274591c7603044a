"""Stand-ins for the runs that `last_run` gates wait for: small workflows that have succeeded with what a test says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kaon.client import Client
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import KaonError
from kaonapi.workflow.v1 import definition_pb2 as d

# Before the number of a stand-in's workflow.
_PREFIX = "kaon-testing-last-run-"
# A workflow that has no runs.
_NEVER = "kaon-testing-no-run"


def provide(
    client: Client,
    definitions: Sequence[d.WorkflowDefinition],
    wanted: Mapping[str, Mapping[str, Any] | None],
) -> None:
    """Make the gates of these names find what a test says; the definitions are changed.

    Args:
        client: Where the stand-ins run.
        definitions: Those of the workflow and of all that it runs.
        wanted: By the gate's name: the outputs of the last run, or None when there is none.

    Raises:
        KaonError: There is no such gate, or an output is unknown, missing or of another type.
    """
    gates = [block for each in definitions for block in all_blocks(each.body) if _waits(block)]
    if unknown := sorted(wanted.keys() - {gate.name for gate in gates}):
        known = ", ".join(sorted({gate.name for gate in gates})) or "none"
        raise KaonError(f"last_runs: there is no last_run gate {unknown[0]!r}; there are: {known}")
    for number, gate in enumerate(each for each in gates if each.name in wanted):
        outputs = wanted[gate.name]
        if outputs is None:
            _without(gate)
        else:
            _succeed(client, _stand_in(gate, f"{_PREFIX}{number}"), outputs)


def _waits(block: d.Block) -> bool:
    return block.HasField("gate") and block.gate.HasField("run")


def _without(block: d.Block) -> None:
    """Let the time of a gate be over at once: no run is there, and none will come."""
    # Of the workflow itself there may be some: a test may run several workflows in one directory.
    block.gate.run.workflow = _NEVER
    block.gate.run.no_wait = True
    block.gate.timeout_ms = 0
    block.bound.pop("gate.timeout_ms", None)


def _stand_in(block: d.Block, name: str) -> d.WorkflowDefinition:
    """Let a gate wait for a workflow of this name, which is returned: it gives its parameters as its outputs."""
    run = block.gate.run
    run.workflow = name
    run.params.clear()
    run.max_age_ms = 0
    timer = d.Gate(timer=d.TimerGate(after_ms=d.Binding(literal_json="0")))
    return d.WorkflowDefinition(
        name=name,
        parameters=[
            d.Parameter(name=key, type=kind, of=run.output_contents.get(key))
            for key, kind in _sorted(run.outputs)
        ],
        body=d.Graph(blocks=[d.Block(name="at-once", gate=timer)]),
        outputs={
            key: d.Output(type=kind, value=d.Binding(parameter=key))
            for key, kind in _sorted(run.outputs)
        },
    )


def _sorted(
    outputs: Mapping[str, d.ValueType.ValueType],
) -> Iterator[tuple[str, d.ValueType.ValueType]]:
    yield from sorted(outputs.items())


def _succeed(client: Client, definition: d.WorkflowDefinition, outputs: Mapping[str, Any]) -> None:
    version = client.register_definition(definition).workflow.version
    run = client.submit_registered(definition.name, outputs, version=version).wait()
    if run.status != "SUCCEEDED":
        raise KaonError(f"last_runs: run {run.run_id} of {definition.name} is {run.status}")
