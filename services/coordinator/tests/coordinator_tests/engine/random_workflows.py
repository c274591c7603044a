"""Random definitions of all blocks, nested at will."""

from __future__ import annotations

import itertools
import random

import richer

from kaonapi.workflow.v1 import definition_pb2 as d

from .build import literal, output, step

RULES = (
    d.TRIGGER_RULE_UNSPECIFIED,
    d.TRIGGER_RULE_ALL_SUCCEEDED,
    d.TRIGGER_RULE_ANY_SUCCEEDED,
    d.TRIGGER_RULE_ALL_DONE,
)


class Generator:
    """Makes definitions from a seed."""

    def __init__(self, seed: int, *, depth: int = 2) -> None:
        self._depth = depth
        self._seed = seed
        self._random = random.Random(seed)
        # Draws what was added later, so that everything else of a seed stays as it was.
        self._more = random.Random(f"more {seed}")
        self._names = itertools.count()
        # Steps and gates that any later block may refer to.
        self._known: list[d.OutputReference] = []

    def workflow(self) -> d.WorkflowDefinition:
        definition = d.WorkflowDefinition(name="test", body=self.graph(self._depth))
        if self._chance(0.2):
            definition.timeout_ms = 600_000
        if self._chance(0.2):
            definition.deadline_ms = 1_000
        if self._chance(0.2):
            definition.max_active_runs = 1
        if self._chance(0.3):
            definition.outputs["given"].type = d.VALUE_TYPE_ANY
            definition.outputs["given"].value.CopyFrom(self._value())
        return richer.enrich(definition, self._seed)

    def graph(self, depth: int) -> d.Graph:
        blocks = [self._block(depth) for _ in range(self._random.randint(1, 3))]
        edges = [
            d.Edge(source=a.name, target=b.name)
            for a, b in itertools.combinations(blocks, 2)
            if self._chance(0.5)
        ]
        for block in blocks:
            if any(edge.target == block.name for edge in edges) and self._chance(0.4):
                block.trigger = self._random.choice(RULES)
        if self._chance(0.15):
            blocks.append(self._hook(d.PHASE_ON_FAILURE, depth))
        if self._chance(0.2):
            blocks.append(self._hook(d.PHASE_FINALLY, depth))
        return d.Graph(
            blocks=blocks, edges=sorted(edges, key=lambda edge: (edge.source, edge.target))
        )

    def _hook(self, phase: d.Phase.ValueType, depth: int) -> d.Block:
        block = self._step(hook=True) if self._chance(0.7) else self._block(max(depth - 1, 0))
        block.phase = phase
        return block

    def _block(self, depth: int) -> d.Block:
        kinds = [self._step, self._step, self._gate, self._child]
        inner = [self._for_each, self._repeat, self._branch, self._group]
        block = self._random.choice(kinds + inner)(depth) if depth else self._random.choice(kinds)()
        if self._chance(0.1):
            block.timeout_ms = 20_000
        if self._chance(0.1):
            block.deadline_ms = 1_000
        return block

    def _name(self, stem: str) -> str:
        return f"{stem}{next(self._names)}"

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _value(self) -> d.Binding:
        if self._chance(0.1):
            return self._expression()
        if self._known and self._chance(0.7):
            return self._reference()
        return literal(self._random.randint(0, 9))

    def _reference(self) -> d.Binding:
        """Refer to an output, now and then with a value for when it was skipped, or as an entry of a map."""
        reference = d.OutputReference()
        reference.CopyFrom(self._random.choice(self._known))
        if self._more.random() < 0.2:
            reference.skipped_json = '"skipped"'
        value = d.Binding(output=reference)
        if self._more.random() < 0.1:
            return d.Binding(map=d.BindingMap(bindings={"b": value, "a": literal(1)}))
        return value

    def _expression(self) -> d.Binding:
        """Now and then it has no value: it divides by zero, or by something that is no number."""
        divisor = d.Binding(output=self._random.choice(self._known)) if self._known else literal(0)
        values = {"x": literal(self._random.randint(0, 9)), "y": divisor}
        cel = self._random.choice(("x / 2", "x / dyn(y)", "string(y) + string(x)", "[x, y]"))
        if self._more.random() < 0.3:
            cel = self._more.choice(
                ("coalesce(y, x)", "zip([x], [y]).map(v, string(v[0])).join('-')")
            )
        return d.Binding(expression=d.Expression(cel=cel, variables=values))

    def _step(self, depth: int = 0, *, hook: bool = False) -> d.Block:
        block = step(self._name("s"), attempts=self._random.randint(1, 2), x=self._value())
        if hook and self._chance(0.5):
            block.step.inputs["how"].outcome.SetInParent()
        if self._chance(0.15):
            block.step.tags.append(self._random.choice(("gold", "silver")))
        block.step.memo.enabled = self._chance(0.15)
        block.step.exclusive = self._chance(0.1)
        if self._chance(0.2):
            block.step.timeout_ms = 5_000
        self._known.append(d.OutputReference(step=block.name, output="out"))
        return block

    def _gate(self, depth: int = 0) -> d.Block:
        name = self._name("g")
        match self._random.choice(("approval", "signal", "timer")):
            case "approval":
                gate = d.Gate(approval=d.Approval(roles=["lead"], reject_fails=self._chance(0.5)))
                self._known.append(d.OutputReference(step=name, output="approved"))
            case "signal":
                gate = d.Gate(signal=d.SignalGate(name=self._random.choice(("go", "data"))))
                self._known.append(d.OutputReference(step=name, output="payload"))
            case _:
                gate = d.Gate(timer=d.TimerGate(after_ms=literal(self._random.randint(0, 5_000))))
        if not gate.HasField("timer"):
            gate.timeout_ms = 30_000
            gate.on_timeout = self._random.choice(d.GateTimeout.values())
        return d.Block(name=name, gate=gate)

    def _child(self, depth: int = 0) -> d.Block:
        name = self._name("w")
        child = d.SubWorkflow(workflow="other")
        gives = richer.call_otherwise(child, name)
        self._known.append(d.OutputReference(step=name, output=gives))
        child.params["p"].CopyFrom(self._value())
        return d.Block(name=name, sub_workflow=child)

    def _for_each(self, depth: int) -> d.Block:
        name = self._name("f")
        body = self.graph(depth - 1)
        items = literal(list(range(self._random.randint(0, 4))))
        if self._chance(0.2):
            artifact = {"uri": "file:///items", "digest": f"sha256:{self._random.randint(0, 3)}"}
            items = literal({"artifact": artifact})
        each = d.ForEach(
            item=f"i_{name}", items=items, body=body, max_concurrency=self._random.randint(0, 2)
        )
        if self._chance(0.4):
            each.failure.count = self._random.randint(1, 2)
        if self._chance(0.3):
            each.ClearField("items")
            each.sweep.grid.axes["a"].CopyFrom(literal([1, 2]))
            each.sweep.grid.axes["b"].CopyFrom(literal([3, 4]))
            each.early_stopping.metric = "loss"
            if self._chance(0.5):
                each.early_stopping.median.min_cells = 1
            else:
                each.early_stopping.halving.eta = 2
        return d.Block(name=name, for_each=each)

    def _repeat(self, depth: int) -> d.Block:
        name = self._name("r")
        body = self.graph(depth - 1)
        check = step(self._name("s"))
        body.blocks.append(check)
        body.edges.extend(
            d.Edge(source=block.name, target=check.name)
            for block in body.blocks
            if block.phase in (d.PHASE_UNSPECIFIED, d.PHASE_BODY) and block.name != check.name
        )
        repeat = d.Repeat(
            body=body, until=output(check.name), max_iterations=self._random.randint(1, 3)
        )
        repeat.exhausted = self._random.choice((d.EXHAUSTED_FAIL, d.EXHAUSTED_ACCEPT))
        repeat.backoff_ms = self._random.choice((0, 1_000))
        return d.Block(name=name, repeat=repeat)

    def _branch(self, depth: int) -> d.Block:
        cases = [d.Case(condition=literal(self._chance(0.5)), body=self.graph(depth - 1))]
        otherwise = self.graph(depth - 1) if self._chance(0.5) else None
        return d.Block(name=self._name("b"), branch=d.Branch(cases=cases, otherwise=otherwise))

    def _group(self, depth: int) -> d.Block:
        return d.Block(name=self._name("u"), group=d.Group(body=self.graph(depth - 1)))
