"""Small definitions for tests of the engine."""

from __future__ import annotations

import itertools

from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d


def literal(value: object) -> d.Binding:
    return d.Binding(literal_json=canonical.dumps(value))


def output(step: str, name: str = "out") -> d.Binding:
    return d.Binding(output=d.OutputReference(step=step, output=name))


def step(name: str, *, attempts: int = 1, timeout_ms: int = 0, **inputs: d.Binding) -> d.Block:
    return d.Block(
        name=name,
        step=d.Step(
            type="python",
            inputs=inputs,
            outputs={"out": d.VALUE_TYPE_ANY},
            timeout_ms=timeout_ms,
            retry=d.RetryPolicy(max_attempts=attempts, backoff_ms=1000),
        ),
    )


def chain(*blocks: d.Block) -> d.Graph:
    edges = [d.Edge(source=a.name, target=b.name) for a, b in itertools.pairwise(blocks)]
    return d.Graph(blocks=blocks, edges=sorted(edges, key=lambda edge: (edge.source, edge.target)))


def fan(*blocks: d.Block) -> d.Graph:
    return d.Graph(blocks=blocks)


def for_each(
    name: str,
    items: d.Binding,
    body: d.Graph,
    *,
    item: str = "item",
    at_once: int = 0,
    tolerate: int = 0,
) -> d.Block:
    return d.Block(
        name=name,
        for_each=d.ForEach(
            item=item,
            items=items,
            body=body,
            max_concurrency=at_once,
            failure=d.FailurePolicy(count=tolerate) if tolerate else None,
        ),
    )


def repeat(
    name: str, body: d.Graph, until: d.Binding, times: int = 5, *, accept: bool = False
) -> d.Block:
    exhausted = d.EXHAUSTED_ACCEPT if accept else d.EXHAUSTED_FAIL
    return d.Block(
        name=name,
        repeat=d.Repeat(body=body, until=until, max_iterations=times, exhausted=exhausted),
    )


def branch(
    name: str, condition: d.Binding, body: d.Graph, otherwise: d.Graph | None = None
) -> d.Block:
    return d.Block(
        name=name,
        branch=d.Branch(cases=[d.Case(condition=condition, body=body)], otherwise=otherwise),
    )


def workflow(body: d.Graph) -> d.WorkflowDefinition:
    return d.WorkflowDefinition(name="test", body=body)
