"""The kinds of blocks, in words, and the graphs in them."""

from __future__ import annotations

from collections.abc import Iterator

from kaon.cli import bound, formatting
from kaon.dsl.workflow import STRATEGIES
from kaon_wire import canonical
from kaon_wire.definitions import conditions
from kaon_wire.definitions.graphs import inner_graphs
from kaon_wire.texts import counted
from kaon_wire.value_types import name_of
from kaonapi.workflow.v1 import definition_pb2 as d

PHASES = {d.PHASE_ON_FAILURE: "on failure", d.PHASE_FINALLY: "finally"}
RULES = {
    d.TRIGGER_RULE_ANY_SUCCEEDED: "any of ",
    d.TRIGGER_RULE_ALL_DONE: "end of ",
    d.TRIGGER_RULE_ALL_SUCCEEDED: "success of ",
    d.TRIGGER_RULE_ANY_FAILED: "any failure of ",
    d.TRIGGER_RULE_ALL_FAILED: "failure of ",
    d.TRIGGER_RULE_ALWAYS: "nothing, drawn behind ",
    d.TRIGGER_RULE_ANY_RUNNING: "a run of ",
    d.TRIGGER_RULE_ANY_RETRIED: "a retry of ",
    d.TRIGGER_RULE_ANY_LATE: "lateness of ",
}
# Start rules on the edges that lead to a block.
EDGES = {
    d.TRIGGER_RULE_ANY_SUCCEEDED: "any",
    d.TRIGGER_RULE_ALL_DONE: "all done",
    d.TRIGGER_RULE_ALL_SUCCEEDED: "all succeeded",
    d.TRIGGER_RULE_ANY_FAILED: "any failed",
    d.TRIGGER_RULE_ALL_FAILED: "all failed",
    d.TRIGGER_RULE_ALWAYS: "always",
    d.TRIGGER_RULE_ANY_RUNNING: "on running",
    d.TRIGGER_RULE_ANY_RETRIED: "on retry",
    d.TRIGGER_RULE_ANY_LATE: "on late",
}
_ON_ERROR = {
    d.ON_ERROR_FAIL: ", a failure stops all",
    d.ON_ERROR_FINISH: ", others finish after a failure",
}
_STRATEGIES = {strategy: word for word, strategy in STRATEGIES.items() if strategy}

_HEADINGS = {"body": "", "else": "otherwise"}


def bodies(block: d.Block) -> Iterator[tuple[str, d.Graph]]:
    """Yield the bodies of a block with their headings; the heading of an only body is empty."""
    for name, body in inner_graphs(block):
        heading = _HEADINGS.get(name)
        yield _case(block.branch, name) if heading is None else heading, body


def _case(branch: d.Branch, name: str) -> str:
    return f"when {bound.source(branch.cases[int(name)].condition)}"


def edge(arrow: d.Edge, target: d.Block) -> str:
    """Describe what a block wants of an edge that leads to it; empty when it is the usual."""
    if not target.HasField("start"):
        return EDGES.get(target.trigger, "")
    ends = [each for each in conditions.ends(target.start) if each.block == arrow.source]
    return " or ".join(dict.fromkeys(conditions.WORDS[each.kind] for each in ends))


def on_error(policy: d.OnError.ValueType) -> str:
    """Describe a failure policy after a comma; empty when it is that of the scope around."""
    return _ON_ERROR.get(policy, "")


def activity(definition: d.WorkflowDefinition) -> str:
    """Describe how many runs of a workflow are active at once, and its policies that are known only at run time."""
    told = []
    if strategy := _STRATEGIES.get(definition.strategy):
        told.append(f"strategy {strategy}")
    elif most := definition.max_active_runs:
        told.append(f"at most {counted(most, 'active run')}")
    return ", ".join([*told, *bound.sources_of_run(definition)])


def describe(block: d.Block) -> str:
    """Describe a block in a few words."""
    optional = ", optional" if block.optional else ""
    return f"{_kind(block)}{bound.sources(block)}{_holds(block)}{optional}"


def _holds(block: d.Block) -> str:
    told = []
    for lock in block.locks:
        if f"locks.{lock.name}.limit" in block.bound:
            what = f"semaphore {lock.name}"
        elif lock.limit > 1:
            what = f"semaphore {lock.name} of {lock.limit}"
        else:
            what = f"mutex {lock.name}"
        told.append(f"{what} by key" if lock.HasField("key") else what)
    return f", holds {' and '.join(told)}" if told else ""


def _kind(block: d.Block) -> str:
    match block.WhichOneof("kind"):
        case "step":
            return f"{block.step.type} step{_beside(block.step)}{_gives(block.step)}"
        case "for_each":
            return _for_each(block.for_each)
        case "group":
            return f"group{on_error(block.group.on_error)}"
        case "repeat":
            return _repeat(block.repeat)
        case "gate":
            return _gate(block.gate)
        case "sub_workflow":
            return _sub_workflow(block.sub_workflow)
    return block.WhichOneof("kind") or "block"


def _repeat(repeat: d.Repeat) -> str:
    before = repeat.HasField("as_long_as")
    condition = bound.source(repeat.as_long_as if before else repeat.until)
    most = f", at most {repeat.max_iterations} iterations" if repeat.max_iterations else ""
    return f"{'while' if before else 'repeat until'} {condition}{most}"


def _beside(step: d.Step) -> str:
    if step.type != "docker":
        return ""
    names = [each["name"] for each in canonical.loads(step.config_json).get("sidecars", ())]
    return f" beside {' and '.join(names)}" if names else ""


def _sub_workflow(called: d.SubWorkflow) -> str:
    alone = ", not waited for" if called.detached else ""
    passes = ", given this workflow's parameters" if called.pass_params else ""
    memo = ", memoized" if called.memo.enabled else ""
    name = f"workflow {called.workflow}" if called.workflow else "a workflow that the run names"
    return f"run of {name}{alone}{passes}{memo}{_gives(called)}"


def _gives(giver: d.Step | d.SubWorkflow | d.RunGate) -> str:
    shapes = {
        name: d.Shape(type=kind, of=giver.output_contents.get(name))
        for name, kind in giver.outputs.items()
    }
    listed = ", ".join(f"{name} ({name_of(shape)})" for name, shape in sorted(shapes.items()))
    return f" gives {listed}" if listed else ""


def _for_each(loop: d.ForEach) -> str:
    text = f"for each {loop.item}"
    if loop.HasField("sweep"):
        space = loop.sweep.WhichOneof("space")
        axes = loop.sweep.grid.axes if space == "grid" else loop.sweep.random.axes
        drawn = (
            "a grid of"
            if space == "grid"
            else f"{counted(loop.sweep.random.count, 'random point')} of"
        )
        text += f" in {drawn} {', '.join(sorted(axes))}"
    if loop.HasField("early_stopping"):
        text += f", stopping early by {loop.early_stopping.metric}"
    if loop.max_concurrency:
        text += f", at most {loop.max_concurrency} at once"
    return text + on_error(loop.on_error)


def _gate(gate: d.Gate) -> str:
    match gate.WhichOneof("kind"):
        case "approval":
            who = f" by {' or '.join(gate.approval.roles)}" if gate.approval.roles else ""
            text = f"approval{who}"
        case "signal":
            where = f" where {gate.signal.where_cel}" if gate.signal.where_cel else ""
            text = f"waits for signal {gate.signal.name}{where}"
        case "run":
            verb = "takes" if gate.run.no_wait else "waits for"
            text = f"{verb} the last run of {gate.run.workflow}{_gives(gate.run)}"
        case _:
            text = "waits for a time"
    return text + (
        f", at most {formatting.duration(gate.timeout_ms / 1000)}" if gate.timeout_ms else ""
    )
