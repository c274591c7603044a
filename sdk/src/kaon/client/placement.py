"""Tells before a run begins which of its steps no runner can take, and which wait for their environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kaon.client.client import Client
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.texts import enumerated
from kaonapi.runner.v1 import runner_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

DEFAULT_POOL = "default"
# Runners have one such label for each step type that they can execute.
_STEP_TYPE = "step-type."
_NAMED = 3


def problems(client: Client, definition: d.WorkflowDefinition) -> list[str]:
    """Return why no runner that is heard now can take some steps of a workflow; a runner may still come.

    Raises:
        KaonError: the coordinator does not answer.
    """
    steps = _steps(definition)
    if not steps:
        return []
    pools, found = client.list_pools(), client.list_runners()
    away = {each.pool for each in pools.unreachable if not each.unknown}
    # Their owners may not have heard all runners yet.
    away |= {pool.name for pool in pools.pools if pool.settling}
    runners: dict[str, list[runner_pb2.Runner]] = {pool.name: [] for pool in pools.pools}
    for runner in found.runners:
        runners.setdefault(runner.pool, []).append(runner)
    return [
        text
        for pool, blocks in steps.items()
        if pool not in away
        for text in _of(pool, blocks, runners)
    ]


def builds(client: Client, definition: d.WorkflowDefinition) -> list[str]:
    """Return which environments of a workflow runners are building now, for runs that came before.

    Raises:
        KaonError: the coordinator does not answer.
    """
    steps = _steps(definition)
    if not any(block.step.requirements_file for blocks in steps.values() for block in blocks):
        return []
    runners = client.list_runners().runners
    return [
        text
        for pool, blocks in steps.items()
        for text in _builds(definition.name, pool, blocks, runners)
    ]


def _steps(definition: d.WorkflowDefinition) -> dict[str, list[d.Block]]:
    """Return the steps of a workflow, by pool; without those whose pool is known only at run time."""
    steps: dict[str, list[d.Block]] = {}
    for block in all_blocks(definition.body):
        if block.HasField("step") and "step.pool" not in block.bound:
            steps.setdefault(block.step.pool or DEFAULT_POOL, []).append(block)
    return steps


def _of(
    pool: str, blocks: Sequence[d.Block], runners: Mapping[str, Sequence[runner_pb2.Runner]]
) -> Iterator[str]:
    who = _named([block.name for block in blocks])
    if pool not in runners:
        yield f"{who}: there is no pool {pool!r}; there is {', '.join(sorted(runners)) or 'none'}"
    elif not runners[pool]:
        yield f"{who}: no runner of pool {pool!r} is heard"
    else:
        yield from _types(pool, blocks, runners[pool])


def _types(
    pool: str, blocks: Sequence[d.Block], runners: Sequence[runner_pb2.Runner]
) -> Iterator[str]:
    offered = {
        name.removeprefix(_STEP_TYPE)
        for runner in runners
        for name in runner.labels
        if name.startswith(_STEP_TYPE)
    }
    missing: dict[str, list[str]] = {}
    for block in blocks:
        if block.step.type not in offered:
            missing.setdefault(block.step.type, []).append(block.name)
    for kind, names in missing.items():
        have = ", ".join(sorted(offered)) or "none"
        yield f"{_named(names)}: no runner of pool {pool!r} executes steps of type {kind!r}; they execute {have}"


def _builds(
    workflow: str, pool: str, blocks: Sequence[d.Block], runners: Sequence[runner_pb2.Runner]
) -> Iterator[str]:
    files: dict[str, list[str]] = {}
    for block in blocks:
        files.setdefault(block.step.requirements_file, []).append(block.name)
    found = {
        (build.requirements_file, runner.runner_id): build.key.run_id
        for runner in runners
        if runner.pool == pool
        for build in runner.building
        if build.workflow == workflow and build.requirements_file in files
    }
    for (file, runner_id), run_id in found.items():
        yield f"{_named(files[file])}: runner {runner_id} is building the environment of {file}, for run {run_id}"


def _named(names: Sequence[str]) -> str:
    return f"step{'s' if len(names) > 1 else ''} {enumerated(names, _NAMED)}"
