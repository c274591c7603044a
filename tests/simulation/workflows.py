"""Random definitions of all blocks, small enough that thousands of them run."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from richer import call_otherwise

from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d

from .artifact_io import items_artifact

TENANT = "default"
# The workflow that sub-workflow blocks run.
CHILD = "child"
TAGS = ("gold", "silver")
SIGNALS = ("go", "data")
_TRIGGERS = (d.TRIGGER_RULE_ALL_SUCCEEDED, d.TRIGGER_RULE_ANY_SUCCEEDED, d.TRIGGER_RULE_ALL_DONE)
EVERY_OCCASION = tuple(value for value in d.Occasion.values() if value)
_ON_TIMEOUT = (
    d.GATE_TIMEOUT_FAIL,
    d.GATE_TIMEOUT_DEFAULT,
    d.GATE_TIMEOUT_REJECT,
    d.GATE_TIMEOUT_SKIP,
)

_STRATEGIES = (
    d.SUBMIT_STRATEGY_SEQUENTIAL,
    d.SUBMIT_STRATEGY_STRICT_SEQUENTIAL,
    d.SUBMIT_STRATEGY_FIRST_ONLY,
    d.SUBMIT_STRATEGY_LAST_ONLY,
    d.SUBMIT_STRATEGY_SEQUENTIAL_LATEST,
)

# Of every workflow that is not a child.
PARAMETERS = (
    d.Parameter(name="at", type=d.VALUE_TYPE_DATETIME, default_json='"2026-11-24T06:00:00Z"'),
    d.Parameter(name="wait", type=d.VALUE_TYPE_DURATION, default_json='"1h30m"'),
    d.Parameter(
        name="later",
        type=d.VALUE_TYPE_DATETIME,
        computed=d.Binding(
            expression=d.Expression(
                cel="at + wait",
                variables={
                    "at": d.Binding(parameter="at"),
                    "wait": d.Binding(parameter="wait"),
                },
            )
        ),
    ),
    d.Parameter(
        name="days", type=d.VALUE_TYPE_LIST, of=d.Shape(type=d.VALUE_TYPE_DATE), optional=True
    ),
)


def literal(value: object) -> d.Binding:
    """A constant."""
    return d.Binding(literal_json=canonical.dumps(value))


def output(step: str, name: str = "out") -> d.Binding:
    """An output of a step."""
    return d.Binding(output=d.OutputReference(step=step, output=name))


def row(name: str, steps: Sequence[str], attempts: int = 1) -> d.WorkflowDefinition:
    """Steps in a row, each with the output of the one before it: all may follow by succession."""
    blocks = []
    for step, before in zip(steps, ["", *steps], strict=False):
        declared = d.Step(type="python", outputs={"out": d.VALUE_TYPE_ANY})
        declared.retry.max_attempts = attempts
        if before:
            declared.inputs["x"].CopyFrom(output(before))
        blocks.append(d.Block(name=step, step=declared))
    edges = [d.Edge(source=a, target=b) for a, b in itertools.pairwise(steps)]
    return d.WorkflowDefinition(name=name, body=d.Graph(blocks=blocks, edges=edges))


class Generator:
    """Makes definitions.

    Args:
        chance: draws.
        steps: about how many steps, gates and children one definition mentions.
        features: names of what may be used besides steps, graphs, foreach, repeat and branch.
        more: draws what was added later, so that everything else of a seed stays as it was.
        chains: draws the steps that follow others in chains.
    """

    def __init__(
        self,
        chance: random.Random,
        steps: int,
        features: frozenset[str],
        more: random.Random,
        chains: random.Random,
    ) -> None:
        self._random = chance
        self._more = more
        self._chains = chains
        self._links = itertools.count(1)
        self._left = steps
        self._features = features
        self._names = itertools.count(1)
        self._known: list[d.OutputReference] = []

    def workflow(self, name: str) -> d.WorkflowDefinition:
        """One definition, with at least one step."""
        body = self._graph(depth=2)
        definition = d.WorkflowDefinition(name=name, body=body, parameters=PARAMETERS)
        if "timeouts" in self._features and self._chance(0.05):
            definition.timeout_ms = 20_000
        if "permits" in self._features and self._chance(0.15):
            definition.max_active_runs = 1
        elif "permits" in self._features and self._more.random() < 0.2:
            definition.strategy = self._more.choice(_STRATEGIES)
        return definition

    def child(self) -> d.WorkflowDefinition:
        """What sub-workflow blocks run: two steps of a kind and an output."""
        step = self._plain_step()
        last = d.Block(name=self._name("s"))
        last.step.CopyFrom(step.step)
        last.step.inputs["run"].CopyFrom(d.Binding(run_info=d.RunInfo()))
        edges = [d.Edge(source=step.name, target=last.name)]
        definition = d.WorkflowDefinition(
            name=CHILD, body=d.Graph(blocks=[step, last], edges=edges)
        )
        definition.outputs["result"].type = d.VALUE_TYPE_ANY
        definition.outputs["result"].value.CopyFrom(output(last.name))
        if "permits" in self._features and self._more.random() < 0.1:
            definition.strategy = self._more.choice(_STRATEGIES)
        if "permits" in self._features and self._more.random() < 0.1:
            # After those of all blocks around.
            definition.body.blocks[0].locks.add(name="zone")
        return definition

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _name(self, stem: str) -> str:
        return f"{stem}{next(self._names)}"

    def _graph(self, depth: int) -> d.Graph:
        blocks = [self._block(depth)]
        while self._left > 0 and len(blocks) < 3 and self._chance(0.7):
            blocks.append(self._block(depth))
        edges = [
            d.Edge(source=a.name, target=b.name)
            for a, b in itertools.combinations(blocks, 2)
            if self._chance(0.5)
        ]
        if "triggers" in self._features:
            targets = {edge.target for edge in edges}
            for block in blocks:
                if block.name in targets and self._chance(0.3):
                    block.trigger = self._random.choice(_TRIGGERS)
        if "chains" in self._features and self._chains.random() < 0.5:
            self._lengthen(blocks, edges)
        if "hooks" in self._features and self._left > 0 and self._chance(0.25):
            hook = self._plain_step()
            hook.phase = self._random.choice((d.PHASE_ON_FAILURE, d.PHASE_FINALLY))
            blocks.append(hook)
        return d.Graph(blocks=blocks, edges=edges)

    def _lengthen(self, blocks: list[d.Block], edges: list[d.Edge]) -> None:
        """Some steps that follow one another, and mostly one that is there: what runners start by succession."""
        chance = self._chains
        steps = [block for block in blocks if block.HasField("step")]
        members = [chance.choice(steps)] if steps and chance.random() < 0.8 else []
        for _ in range(chance.randint(1, 3)):
            step = d.Step(type="python")
            step.outputs.update({"out": d.VALUE_TYPE_ANY, "many": d.VALUE_TYPE_LIST})
            step.retry.max_attempts = chance.randint(1, 2)
            step.exclusive = "exclusive" in self._features and chance.random() < 0.1
            if members:
                step.inputs["x"].CopyFrom(output(chance.choice(members).name))
                edges.append(d.Edge(source=members[-1].name, target=f"t{next(self._links)}"))
                if "many" in members[-1].step.outputs and chance.random() < 0.3:
                    element = step.inputs["element"].expression
                    element.cel = "value[0]"
                    element.variables["value"].CopyFrom(output(members[-1].name, "many"))
            name = edges[-1].target if members else f"t{next(self._links)}"
            members.append(d.Block(name=name, step=step))
            blocks.append(members[-1])

    def _block(self, depth: int) -> d.Block:
        kinds = [self._step] * 4
        if depth and self._left > 1:
            kinds += [self._for_each, self._for_each, self._repeat, self._branch]
            if "groups" in self._features:
                kinds.append(self._group)
        if "gates" in self._features:
            kinds.append(self._gate)
        if "children" in self._features:
            kinds.append(self._child)
        block = self._random.choice(kinds)(depth)
        if "timeouts" in self._features and self._chance(0.05):
            block.timeout_ms = 8_000
        if "permits" in self._features and self._more.random() < 0.1:
            self._lock(block, depth)
        return block

    def _lock(self, block: d.Block, depth: int) -> None:
        """Lets a block hold a lock; those of inner blocks come after those of outer ones."""
        lock = block.locks.add(name=f"lock-{9 - depth}", limit=self._more.choice((0, 1, 2)))
        if self._more.random() < 0.5:
            lock.key.CopyFrom(literal(self._more.choice(("a", "b", 1))))

    def _plain_step(self) -> d.Block:
        self._left -= 1
        step = d.Step(type="python", outputs={"out": d.VALUE_TYPE_ANY})
        step.retry.max_attempts = self._random.randint(1, 2)
        step.retry.backoff_ms = self._random.choice((0, 300))
        if "artifacts" in self._features and self._more.random() < 0.2:
            # Too large to travel.
            step.inputs["big"].CopyFrom(literal("x" * 300))
        name = self._name("s")
        if self._known and self._chance(0.5):
            step.inputs["x"].CopyFrom(self._reference(name))
        self._known.append(d.OutputReference(step=name, output="out"))
        return d.Block(name=name, step=step)

    def _reference(self, name: str) -> d.Binding:
        """Refer to an output: itself, with a value for when it was skipped, in a map, or in an expression."""
        reference = d.OutputReference()
        reference.CopyFrom(self._random.choice(self._known))
        # Drawn by the step's name, so that everything else of a seed stays as it was.
        kind = random.Random(f"{name} {self._left}").randrange(6)
        if kind == 0:
            reference.skipped_json = "0"
        value = d.Binding(output=reference)
        if kind == 1:
            return d.Binding(map=d.BindingMap(bindings={"v": value}))
        if kind == 3:
            # A time of the run's, which the value has no part in.
            later = d.Expression(
                cel="[string(at + wait), string(later), v]",
                variables={
                    "at": d.Binding(parameter="at"),
                    "later": d.Binding(parameter="later"),
                    "wait": d.Binding(parameter="wait"),
                    "v": value,
                },
            )
            return d.Binding(expression=later)
        if kind == 4:
            told = d.Expression(
                cel="[i.id, i.previous_success == null ? '' : i.previous_success.id, v]",
                variables={"i": d.Binding(run_info=d.RunInfo()), "v": value},
            )
            return d.Binding(expression=told)
        if kind == 2:
            coalesced = d.Expression(cel="coalesce(v, [0])", variables={"v": value})
            return d.Binding(expression=coalesced)
        return value

    def _step(self, depth: int) -> d.Block:
        block = self._plain_step()
        if self._chance(0.1):
            block.step.timeout_ms = 2_000
        if "permits" in self._features and self._chance(0.25):
            block.step.tags.append(self._random.choice(TAGS))
        if "memo" in self._features:
            block.step.memo.enabled = self._chance(0.1)
        if "exclusive" in self._features:
            block.step.exclusive = self._chance(0.1)
        return block

    def _for_each(self, depth: int) -> d.Block:
        name = self._name("f")
        body = self._graph(depth - 1)
        count = self._random.randint(0, 3)
        kept = "artifacts" in self._features and self._more.random() < 0.5
        items = literal(items_artifact(count) if kept else list(range(count)))
        each = d.ForEach(item=f"i_{name}", items=items, body=body)
        each.max_concurrency = self._random.randint(0, 2)
        if self._chance(0.4):
            each.failure.count = 1
        if "sweeps" in self._features and self._chance(0.25):
            each.ClearField("items")
            each.sweep.grid.axes["a"].CopyFrom(literal([1, 2]))
            each.early_stopping.metric = "loss"
            if self._chance(0.5):
                each.early_stopping.median.min_cells = 1
            else:
                each.early_stopping.halving.eta = 2
        return d.Block(name=name, for_each=each)

    def _repeat(self, depth: int) -> d.Block:
        body = self._graph(depth - 1)
        check = self._plain_step()
        check.step.outputs["ok"] = d.VALUE_TYPE_BOOL
        bodies = [
            block for block in body.blocks if block.phase in (d.PHASE_UNSPECIFIED, d.PHASE_BODY)
        ]
        body.blocks.append(check)
        body.edges.extend(d.Edge(source=block.name, target=check.name) for block in bodies)
        repeat = d.Repeat(
            body=body, until=output(check.name, "ok"), max_iterations=self._random.randint(1, 3)
        )
        repeat.exhausted = self._random.choice((d.EXHAUSTED_FAIL, d.EXHAUSTED_ACCEPT))
        if "timeouts" in self._features:
            repeat.backoff_ms = self._random.choice((0, 200))
        return d.Block(name=self._name("r"), repeat=repeat)

    def _branch(self, depth: int) -> d.Block:
        cases = [d.Case(condition=literal(self._chance(0.5)), body=self._graph(depth - 1))]
        otherwise = self._graph(depth - 1) if self._left > 0 and self._chance(0.5) else None
        return d.Block(name=self._name("b"), branch=d.Branch(cases=cases, otherwise=otherwise))

    def _group(self, depth: int) -> d.Block:
        return d.Block(name=self._name("u"), group=d.Group(body=self._graph(depth - 1)))

    def _gate(self, depth: int) -> d.Block:
        self._left -= 1
        name = self._name("g")
        gate = d.Gate()
        match self._random.choice(("approval", "signal", "timer")):
            case "approval":
                gate.approval.roles.append("lead")
                gate.approval.reject_fails = self._chance(0.5)
                gate.approval.fields.add(
                    name="share", type=d.VALUE_TYPE_FLOAT, default_json="0.5", optional=True
                )
                shown = "approved" if len(name) % 2 else "share"
                self._known.append(d.OutputReference(step=name, output=shown))
            case "signal":
                gate.signal.name = self._random.choice(SIGNALS)
                gate.default_json = "0"
                self._known.append(d.OutputReference(step=name, output="payload"))
            case _:
                gate.timer.after_ms.CopyFrom(literal(self._random.randint(0, 2_000)))
        if not gate.HasField("timer"):
            gate.timeout_ms = 5_000
            choices = _ON_TIMEOUT if gate.HasField("approval") else tuple(set(_ON_TIMEOUT) - {3})
            gate.on_timeout = self._random.choice(sorted(choices))
        return d.Block(name=name, gate=gate)

    def _child(self, depth: int) -> d.Block:
        self._left -= 1
        name = self._name("w")
        child = d.SubWorkflow(workflow=CHILD)
        self._known.append(d.OutputReference(step=name, output=call_otherwise(child, name)))
        return d.Block(name=name, sub_workflow=child)
