"""Adds to random definitions what came into the language after their generators.

These are failure policies, start rules, outcomes, policies that are known only at run time, datasets,
gates that take only some signals, and steps that serve others.

It draws from a generator of its own, so that everything else of a seed stays as it was.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from kaon_wire.definitions.graphs import inner_graphs
from kaonapi.workflow.v1 import definition_pb2 as d

_BESIDE = (
    d.TRIGGER_RULE_ANY_RUNNING,
    d.TRIGGER_RULE_ANY_RETRIED,
    d.TRIGGER_RULE_ANY_LATE,
)
_RULES = (d.TRIGGER_RULE_ANY_FAILED, d.TRIGGER_RULE_ALL_FAILED, d.TRIGGER_RULE_ALWAYS)
# Rules of what comes after a step that serves.
_SERVED = frozenset(
    {
        d.TRIGGER_RULE_UNSPECIFIED,
        d.TRIGGER_RULE_ALL_SUCCEEDED,
        d.TRIGGER_RULE_ANY_SUCCEEDED,
        d.TRIGGER_RULE_ANY_RUNNING,
        d.TRIGGER_RULE_ALWAYS,
    }
)

# Policies that are numbers, and could be any small one.
_COUNTS = frozenset({"step.priority", "for_each.max_concurrency", "deadline_ms"})


def enrich(definition: d.WorkflowDefinition, seed: int) -> d.WorkflowDefinition:
    """Add policies and rules to a definition; about every second one stays as it is in these, and most in those of run time."""
    _bind_policies(definition, random.Random(f"bound {seed}"))
    _bind_more(definition, random.Random(f"bound more {seed}"))
    _await_runs(definition, seed)
    _update_datasets(definition, random.Random(f"datasets {seed}"))
    _choose_signals(definition, random.Random(f"signals {seed}"))
    chance = random.Random(f"richer {seed}")
    if chance.random() < 0.5:
        return _serve(definition, random.Random(f"serves {seed}"))
    definition.on_error = _policy(chance)
    more = random.Random(f"retries {seed}")
    for graph in graphs(definition.body):
        targets = {edge.target for edge in graph.edges}
        for block in graph.blocks:
            block.optional = chance.random() < 0.15
            if block.name in targets and chance.random() < 0.25:
                block.trigger = chance.choice(_RULES)
            if block.HasField("step") and chance.random() < 0.3:
                block.step.skip_exit_codes.append(2)
                block.step.retry.rules.add(exit_code=1, max_attempts=2)
            if block.HasField("step") and more.random() < 0.2:
                block.step.retry.rules.add(message_pattern="o+m|lost", max_attempts=3)
                block.step.retry.max_duration_ms = more.choice((1, 1_500, 60_000))
            if block.HasField("repeat") and chance.random() < 0.5:
                _as_long_as(block.repeat, chance)
            kind = block.WhichOneof("kind")
            if kind in {"group", "for_each"}:
                getattr(block, kind).on_error = _policy(chance)
        _watch(graph, random.Random(f"beside {seed}"))
        _start_by_conditions(graph, random.Random(f"conditions {seed}"))
        for edge in graph.edges:
            _look(graph, edge, chance)
    return _serve(definition, random.Random(f"serves {seed}"))


def _serve(definition: d.WorkflowDefinition, chance: random.Random) -> d.WorkflowDefinition:
    """In some seeds let steps serve those after them, where that is allowed."""
    if chance.random() < 0.6:
        return definition
    for graph in graphs(definition.body):
        for block in graph.blocks:
            if chance.random() < 0.5 and _may_serve(graph, block):
                block.step.serves = True
                block.step.ClearField("memo")
                block.step.timeout_ms = block.timeout_ms = block.deadline_ms = 0
                for field in ("timeout_ms", "deadline_ms", "step.timeout_ms"):
                    block.bound.pop(field, None)
    return definition


def _may_serve(graph: d.Graph, block: d.Block) -> bool:
    if not block.HasField("step") or block.phase not in (d.PHASE_UNSPECIFIED, d.PHASE_BODY):
        return False
    targets = {edge.target for edge in graph.edges if edge.source == block.name}
    rules = {each.trigger for each in graph.blocks if each.name in targets}
    return bool(targets) and rules <= _SERVED


def _start_by_conditions(graph: d.Graph, chance: random.Random) -> None:
    """Let some blocks start by a random condition over the ends of those before them."""
    before: dict[str, list[str]] = {}
    for edge in graph.edges:
        before.setdefault(edge.target, []).append(edge.source)
    for block in graph.blocks:
        if block.name in before and block.trigger not in _BESIDE and chance.random() < 0.3:
            block.trigger = d.TRIGGER_RULE_CONDITION
            block.start.CopyFrom(_condition(before[block.name], chance))


def _condition(names: list[str], chance: random.Random) -> d.StartCondition:
    if len(names) == 1:
        kinds = [kind for kind in d.BlockEndKind.values() if kind]
        alone = d.StartCondition(end=d.BlockEnd(block=names[0], kind=chance.choice(kinds)))
        if chance.random() < 0.8:
            return alone
        return d.StartCondition(
            any=d.StartConditions(conditions=[alone, _condition(names, chance)])
        )
    cut = chance.randint(1, len(names) - 1)
    parts = [_condition(names[:cut], chance), _condition(names[cut:], chance)]
    joined = d.StartConditions(conditions=parts)
    return d.StartCondition(all=joined) if chance.random() < 0.5 else d.StartCondition(any=joined)


def _bind_policies(definition: d.WorkflowDefinition, chance: random.Random) -> None:
    """Let some blocks get policies only when they begin; now and then one is out of its bounds."""
    if chance.random() < 0.6:
        return
    for graph in graphs(definition.body):
        steps = {block.name for block in graph.blocks if block.HasField("step")}
        before = {edge.target: edge.source for edge in graph.edges if edge.source in steps}
        for block in graph.blocks:
            if chance.random() < 0.4:
                _bind(block, before.get(block.name, ""), chance)


def _bind(block: d.Block, before: str, chance: random.Random) -> None:
    field, values, wrong = _policy_for(block, chance)
    value = d.Binding(literal_json=wrong if chance.random() < 0.05 else chance.choice(values))
    if before and field in _COUNTS and chance.random() < 0.5:
        # Known only when the block before it has ended.
        outcome = d.BlockOutcome(block=before, field=d.OUTCOME_FIELD_ATTEMPTS)
        value = d.Binding(block_outcome=outcome)
    block.bound[field].CopyFrom(value)


def _policy_for(block: d.Block, chance: random.Random) -> tuple[str, list[str], str]:
    """Return a policy of a block whose own value is taken away, good values of it, and one that is out of bounds."""
    match block.WhichOneof("kind"):
        case "step" if chance.random() < 0.8:
            if "gold" in block.step.tags or chance.random() < 0.2:
                block.step.ClearField("tags")
                return "step.tags", ['["gold"]', "[]", "null"], '["NO"]'
            if chance.random() < 0.3:
                return "step.config.env", ['{"A":1}', '{"A":"b"}'], '{"A":[]}'
            block.step.priority = 0
            return "step.priority", ["-1", "0", "5"], "5000000000"
        case "for_each":
            block.for_each.max_concurrency = 0
            return "for_each.max_concurrency", ["1", "2", "null"], "-1"
        case "repeat":
            most = block.repeat.max_iterations
            block.repeat.max_iterations = 0
            return "repeat.max_iterations", [str(most)], "0"
        case "sub_workflow":
            name = block.sub_workflow.workflow
            block.sub_workflow.workflow = ""
            return "sub_workflow.workflow", [f'"{name}"'], '"NO"'
    block.deadline_ms = 0
    return "deadline_ms", ["2", '"1s"', "null"], "-1"


def _bind_more(definition: d.WorkflowDefinition, chance: random.Random) -> None:
    """Let runs get their times, and blocks tolerances, limits and retry rules, only when they begin."""
    if chance.random() < 0.7:
        return
    definition.timeout_ms = definition.deadline_ms = 0
    timeout = '"NO"' if chance.random() < 0.02 else chance.choice(("null", "null", "20", '"8s"'))
    definition.bound["timeout_ms"].literal_json = timeout
    definition.bound["deadline_ms"].literal_json = chance.choice(("null", "0.2"))
    for graph in graphs(definition.body):
        for block in graph.blocks:
            for field, values in _listed(block, chance):
                value = "-1" if chance.random() < 0.01 else chance.choice(values)
                block.bound[field].literal_json = value


def _listed(block: d.Block, chance: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Yield policies of what a block has in lists, and its tolerance, each with good values; their own are taken away."""
    for lock in block.locks:
        lock.limit = 0
        yield f"locks.{lock.name}.limit", ["1", "2"]
    if block.HasField("for_each") and chance.random() < 0.5:
        block.for_each.ClearField("failure")
        yield "for_each.failure.tolerate", ["0", "1", '"50%"', "null"]
    if block.HasField("step") and chance.random() < 0.3:
        block.step.retry.rules.add(error_type="*")
        yield "step.retry.rules.*.max_attempts", ["1", "2"]
        yield "step.retry.rules.*.backoff_ms", ["0.1", '"200ms"', "null"]


def _update_datasets(definition: d.WorkflowDefinition, chance: random.Random) -> None:
    """In some seeds let steps update datasets; the partition of some is known only when they begin."""
    if chance.random() < 0.5:
        return
    for graph in graphs(definition.body):
        for block in graph.blocks:
            if block.HasField("step") and chance.random() < 0.4:
                block.step.datasets["ratings"] = chance.choice(("", "day"))
                block.step.datasets["users"] = ""
                if chance.random() < 0.3:
                    bound = chance.choice(("1", '"eu"', "null"))
                    block.bound["step.datasets.users"].CopyFrom(d.Binding(literal_json=bound))


def _choose_signals(definition: d.WorkflowDefinition, chance: random.Random) -> None:
    """Let some signal gates take only some signals: the payload of those that are sent is 1."""
    names = [f"params.{each.name} == params.{each.name}" for each in definition.parameters]
    for graph in graphs(definition.body):
        for block in graph.blocks:
            if block.gate.HasField("signal") and chance.random() < 0.4:
                wheres = ("payload == 1", "payload == 2", "payload.day == 1", *names[:1])
                block.gate.signal.where_cel = chance.choice(wheres)


def _await_runs(definition: d.WorkflowDefinition, seed: int) -> None:
    """In some seeds turn signal gates into gates that wait for a run of the same workflow, or of the children's."""
    chance = random.Random(f"awaited {seed}")
    if chance.random() > 0.2:
        return
    given = definition.outputs["payload"]
    given.type = d.VALUE_TYPE_ANY
    given.value.CopyFrom(d.Binding(literal_json="1"))
    for graph in graphs(definition.body):
        for block in graph.blocks:
            if block.HasField("gate") and block.gate.HasField("signal"):
                _await_run(block.gate, chance.choice((definition.name, "child")), chance)


def _await_run(gate: d.Gate, workflow: str, chance: random.Random) -> None:
    gate.ClearField("default_json")
    run = gate.run
    run.workflow, run.outputs["payload"] = workflow, d.VALUE_TYPE_ANY
    run.no_wait = chance.random() < 0.3
    gate.on_timeout = chance.choice((d.GATE_TIMEOUT_FAIL, d.GATE_TIMEOUT_SKIP))
    if run.no_wait:
        gate.timeout_ms = 0
    if chance.random() < 0.2:
        run.params["p"].CopyFrom(d.Binding(literal_json="0"))


def _watch(graph: d.Graph, chance: random.Random) -> None:
    """Turn some blocks after steps into hooks that start while those go on."""
    blocks = {block.name: block for block in graph.blocks}
    for block in graph.blocks:
        before = [blocks[edge.source] for edge in graph.edges if edge.target == block.name]
        if not before or not all(each.HasField("step") for each in before) or chance.random() > 0.2:
            continue
        block.trigger = chance.choice(_BESIDE)
        if block.trigger == d.TRIGGER_RULE_ANY_LATE:
            for each in before:
                if "deadline_ms" not in each.bound:
                    each.deadline_ms = 100


def _look(graph: d.Graph, edge: d.Edge, chance: random.Random) -> None:
    """Let a step look at how a block before it has ended."""
    blocks = {block.name: block for block in graph.blocks}
    if blocks[edge.target].HasField("step") and chance.random() < 0.3:
        fields = [d.OUTCOME_FIELD_STATUS, d.OUTCOME_FIELD_ERROR]
        if blocks[edge.source].HasField("step"):
            fields += [d.OUTCOME_FIELD_EXIT_CODE, d.OUTCOME_FIELD_ATTEMPTS]
        outcome = d.BlockOutcome(block=edge.source, field=chance.choice(fields))
        blocks[edge.target].step.inputs["how"].block_outcome.CopyFrom(outcome)


def _as_long_as(repeat: d.Repeat, chance: random.Random) -> None:
    """Turn the condition of a repeat into one that is evaluated before each pass."""
    fallback = d.Binding(literal_json=chance.choice(("true", "true", "false")))
    last = d.LastReference(output=repeat.until.output, fallback=fallback)
    repeat.as_long_as.CopyFrom(d.Binding(last=last))
    repeat.ClearField("until")
    repeat.exhausted = chance.choice(d.Exhausted.values())


def call_otherwise(child: d.SubWorkflow, name: str) -> str:
    """Call some sub-workflows without waiting for them, with parameters passed on, or with a memo.

    Args:
        child: what the block calls.
        name: the block's name, by which this is drawn.

    Returns:
        The block's output.
    """
    chance = random.Random(f"call {name}")
    child.pass_params = chance.random() < 0.3
    draw = chance.random()
    child.detached = draw < 0.25
    child.memo.enabled = draw > 0.75
    output = "run_id" if child.detached else "result"
    child.outputs[output] = d.VALUE_TYPE_STRING if child.detached else d.VALUE_TYPE_ANY
    return output


def _policy(chance: random.Random) -> d.OnError.ValueType:
    return chance.choice(d.OnError.values())


def graphs(graph: d.Graph) -> Iterator[d.Graph]:
    """Yield a graph and all graphs in it."""
    yield graph
    for block in graph.blocks:
        for _, inner in inner_graphs(block):
            yield from graphs(inner)
