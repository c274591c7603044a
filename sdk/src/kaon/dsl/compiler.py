"""Turns a checked body into the messages of a definition."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaon.dsl import checks, functions, types
from kaon.dsl.bindings import Binder, Use
from kaon.dsl.blocks import Block, Branch, ForEach, Group, Part, Repeat
from kaon.dsl.computed import computed_defaults, run_policies
from kaon.dsl.errors import WorkflowError
from kaon.dsl.locks import Lock
from kaon.dsl.named import NamedFunction
from kaon.dsl.natives import natives_of
from kaon.dsl.producers import Gate, Producer, Step, SubWorkflow
from kaon.dsl.scopes import BODY, Place, Scope, build, walk
from kaon.dsl.source import Source
from kaon.dsl.sweeps import Draw, Space
from kaon.dsl.values import Parameter, Value
from kaon_wire import canonical
from kaon_wire.definitions import kinds, passing, policies
from kaon_wire.definitions.gate_fields import where_problems
from kaon_wire.errors import InvalidValue
from kaon_wire.value_types import name_of
from kaonapi.workflow.v1 import definition_pb2 as d

_LISTS = frozenset({d.VALUE_TYPE_LIST, d.VALUE_TYPE_ANY})
# Artifacts that may hold JSON lines, one item a line.
_JSON_LINES = frozenset(
    {d.VALUE_TYPE_FILE, d.VALUE_TYPE_DATASET, d.VALUE_TYPE_TABLE, d.VALUE_TYPE_TEXT}
)
# What a timer's values may be; ANY has the words for all.
_SPANS = {
    d.VALUE_TYPE_INT: "",
    d.VALUE_TYPE_FLOAT: "",
    d.VALUE_TYPE_DURATION: "",
    d.VALUE_TYPE_ANY: "a duration or a number of milliseconds",
}
_TIMES = {
    d.VALUE_TYPE_STRING: "",
    d.VALUE_TYPE_DATETIME: "",
    d.VALUE_TYPE_ANY: "a time as text, such as 2026-11-24T06:00:00Z",
}


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A body, checked."""

    body: d.Graph
    outputs: Mapping[str, d.Output]
    # The workflow's own policies that are known only when a run begins, by field.
    bound: Mapping[str, d.Binding]
    # All parameters, by name: those that the workflow declares and those that its steps bring along.
    parameters: Mapping[str, Parameter]
    # Their computed defaults, by name.
    computed: Mapping[str, d.Binding]
    # Files of the workflow's directory that steps name, with the line that does; directories end in "/".
    files: Mapping[str, Source]
    # The steps that call functions.
    calling: tuple[Step, ...]
    # Whether a step loads code or files.
    needs_code: bool
    # The lines that make the blocks, by the blocks' names.
    sources: Mapping[str, Source]
    # Workflows that were given to sub-workflow blocks themselves, in the order of mention.
    children: tuple[Any, ...]


def compile_body(
    body: Part,
    declared: Mapping[str, Parameter],
    root: Path,
    outputs: Mapping[str, Any],
    bound: Mapping[str, Any],
    source: Source,
) -> Compiled:
    """Check a body and compile it to a graph.

    Args:
        body: what runs.
        declared: parameters by name.
        root: the directory that files and modules are looked up in.
        outputs: the values that the workflow gives, by name.
        bound: its own policies that are known only when a run begins, by field.
        source: the line that makes the workflow.

    Raises:
        WorkflowError: something in it is wrong.
    """
    scope = build(body)
    places = list(walk(scope))
    producers = {place.name: place for place in places if isinstance(place.block, Producer)}
    binder = Binder(producers=producers, declared=declared, places=places)
    compiler = _Compiler(binder=binder, root=root)
    graph = compiler.graph(scope)
    given = {name: compiler.output(name, value, source) for name, value in sorted(outputs.items())}
    steps = [place.block for place in places if isinstance(place.block, Step)]
    files = {file: step.source for step in reversed(steps) for file in _files(step, root)}
    calling = tuple(step for step in steps if step.function is not None)
    policies_of_run = run_policies(binder, bound, source)
    computed = computed_defaults(binder)
    subs = [place.block for place in places if isinstance(place.block, SubWorkflow)]
    parameters = {**declared, **binder.found}
    for sub in subs:
        if sub.pass_params and sub.child is not None:
            _check_passed(sub, parameters)
    for place in places:
        if isinstance(place.block, Gate):
            _check_where(place.block, parameters)
    return Compiled(
        body=graph,
        outputs=given,
        bound=policies_of_run,
        parameters=parameters,
        computed=computed,
        files=files,
        calling=calling,
        sources={place.name: place.block.source for place in places},
        needs_code=bool(files or calling) or any(step.reads_bundle for step in steps),
        children=tuple(dict.fromkeys(sub.child for sub in subs if sub.child is not None)),
    )


@dataclass(frozen=True, kw_only=True)
class _Compiler:
    binder: Binder
    root: Path

    def graph(self, scope: Scope) -> d.Graph:
        names = {block: place.name for block, place in scope.places.items()}
        edges = sorted((names[source], names[target]) for source, target in scope.edges)
        return d.Graph(
            blocks=[self._block(place) for place in scope.places.values()],
            edges=[d.Edge(source=source, target=target) for source, target in edges],
        )

    def output(self, name: str, value: Any, source: Source) -> d.Output:
        """One value that the workflow gives."""
        use = Use(what=f"output {name!r} of the workflow", source=source, place=None, at_end=True)
        binding, kind = self.binder.bind(value, use)
        return d.Output(type=kind, value=binding)

    def _block(self, place: Place) -> d.Block:
        block = place.block
        message = d.Block(
            name=place.name, timeout_ms=block.timeout_ms, deadline_ms=block.deadline_ms
        )
        if place.trigger is not None:
            message.trigger = place.trigger.rule
            if place.trigger.condition is not None:
                names = {block: each.name for block, each in place.scope.places.items()}
                message.start.CopyFrom(place.trigger.condition.message(names))
        message.optional = place.optional
        if place.phase != BODY:
            message.phase = place.phase
        self._set_kind(message, block, place)
        for lock in block.locks:
            self._lock(message, lock, place)
        for field, value in block.bound.items():
            self._policy(message, field, value, place)
        return message

    def _policy(self, message: d.Block, field: str, value: Any, place: Place) -> None:
        """Bind a policy that is a value of the run."""
        policy = policies.policy(message.WhichOneof("kind") or "", field)
        assert policy is not None, field
        block = place.block
        use = Use(what=f"{block.label}: {policy.name}", source=block.source, place=place)
        binding, kind = self.binder.bind(value, use)
        if kinds.KINDS[kind] not in {*policy.kinds, kinds.ANY}:
            raise use.error(f"is a value of type {types.name_of(kind)}; it must be {policy.takes}")
        message.bound[field].CopyFrom(binding)

    def _lock(self, message: d.Block, lock: Lock, place: Place) -> None:
        added = message.locks.add(name=lock.name)
        if isinstance(lock.limit, Value):
            self._policy(message, f"locks.{lock.name}.limit", lock.limit, place)
        elif lock.limit > 1:
            added.limit = lock.limit
        if lock.key is not None:
            what = f"{place.block.label}: the key of lock {lock.name!r}"
            use = Use(what=what, source=lock.source, place=place)
            added.key.CopyFrom(self.binder.bind(lock.key, use)[0])

    def _set_kind(self, message: d.Block, block: Block, place: Place) -> None:
        match block:
            case Step():
                message.step.CopyFrom(self._step(block, place))
            case ForEach():
                message.for_each.CopyFrom(self._for_each(block, place))
            case Repeat():
                message.repeat.CopyFrom(self._repeat(block, place))
            case Branch():
                message.branch.CopyFrom(self._branch(block, place))
            case Group():
                message.group.CopyFrom(
                    d.Group(body=self.graph(place.bodies[0]), on_error=block.on_error)
                )
            case Gate():
                message.gate.CopyFrom(self._gate(block, place))
            case SubWorkflow():
                message.sub_workflow.CopyFrom(self._sub_workflow(block, place))
            case _:
                raise WorkflowError(f"{block!r} cannot stand in a body", block.source)

    def _gate(self, gate: Gate, place: Place) -> d.Gate:
        message = d.Gate()
        message.CopyFrom(gate.message)
        for name, value in gate.params.items():
            use = Use(what=f"{gate.label}: parameter {name!r}", source=gate.source, place=place)
            message.run.params[name].CopyFrom(self.binder.bind(value, use)[0])
        if not message.HasField("timer"):
            return message
        use = Use(what=f"{gate.label}: its time", source=gate.source, place=place)
        binding, kind = self.binder.bind(gate.due, use)
        due = message.timer.WhichOneof("due")
        good = _TIMES if due == "at" else _SPANS
        if kind not in good:
            raise use.error(
                f"is a value of type {types.name_of(kind)}; it must be {good[d.VALUE_TYPE_ANY]}"
            )
        getattr(message.timer, str(due)).CopyFrom(binding)
        return message

    def _sub_workflow(self, block: SubWorkflow, place: Place) -> d.SubWorkflow:
        message = d.SubWorkflow(
            workflow=block.workflow,
            version=block.version,
            outputs=block.outputs,
            detached=not block.waits,
            pass_params=block.pass_params,
            memo=block.memo,
            output_contents=block.contents,
        )
        for name, value in block.params.items():
            use = Use(what=f"{block.label}: parameter {name!r}", source=block.source, place=place)
            binding, kind = self.binder.bind(value, use)
            if block.child is not None:
                _check_fits(binding, kind, block.child.parameters[name].shape, use)
            message.params[name].CopyFrom(binding)
        return message

    def _step(self, step: Step, place: Place) -> d.Step:
        message = d.Step()
        message.CopyFrom(step.policy)
        message.type = step.type
        defaults = functions.defaults(step.name, step.function, self.root, step.source)
        natives: dict[str, Any] = {}
        for name, value in step.inputs.items():
            use = Use(what=f"step {step.name!r}: input {name!r}", source=step.source, place=place)
            binding, bound = self.binder.bind(value, use)
            if told := natives_of(self.binder, value, bound):
                natives[name] = told
            if name in defaults and binding.WhichOneof("source") == "output":
                _keep_default(binding.output, defaults[name])
            message.inputs[name].CopyFrom(binding)
        for name, kind in step.outputs.items():
            message.outputs[name] = kind
        if step.requirements is not None:
            message.requirements_file = _check_file(step, step.requirements, self.root)
        config = self._config(step)
        if natives and step.function is not None:
            config["types"] = natives
        message.config_json = canonical.dumps(config)
        return message

    def _config(self, step: Step) -> dict[str, Any]:
        config = dict(step.config)
        if isinstance(step.function, NamedFunction):
            functions.check_named(
                step.name, step.function, set(step.inputs), self.root, step.source
            )
        if step.function is not None:
            config["entry"] = str(functions.entry(step.name, step.function, self.root, step.source))
        if step.program is not None:
            _check_program(step, step.program, self.root)
        if step.file is not None:
            config["file"] = _check_file(step, step.file, self.root)
        return config

    def _for_each(self, block: ForEach, place: Place) -> d.ForEach:
        each = block.each
        use = Use(what=f"{block.label}: the list of items", source=each.source, place=place)
        around = [outer.block for outer in use.around() if isinstance(outer.block, ForEach)]
        if any(outer.each.name == each.name for outer in around):
            raise WorkflowError(
                f"{block.label} stands in another foreach with an item {each.name!r}", block.source
            )
        message = d.ForEach(
            item=each.name,
            body=self.graph(place.bodies[0]),
            max_concurrency=each.max_concurrency,
            failure=each.failure,
            early_stopping=each.early_stopping,
            on_error=each.on_error,
        )
        if isinstance(each.items, Space):
            message.sweep.CopyFrom(self._sweep(each.items, block.label, place))
        else:
            message.items.CopyFrom(self._list(each.items, use, artifacts=True))
        return message

    def _sweep(self, space: Space, label: str, place: Place) -> d.Sweep:
        def values(axis: str, written: Any) -> d.Binding:
            use = Use(what=f"{label}: axis {axis!r}", source=space.source, place=place)
            return self._list(written, use, artifacts=False)

        if space.count is None:
            return d.Sweep(
                grid=d.Grid(axes={axis: values(axis, each) for axis, each in space.axes.items()})
            )
        drawn = d.RandomSample(count=space.count, seed=space.seed)
        for axis, each in space.axes.items():
            if not isinstance(each, Draw):
                drawn.axes[axis].choice.CopyFrom(values(axis, each))
            elif each.choices is not None:
                drawn.axes[axis].choice.CopyFrom(values(axis, each.choices))
            else:
                drawn.axes[axis].CopyFrom(each.message)
        return d.Sweep(random=drawn)

    def _list(self, value: Any, use: Use, *, artifacts: bool) -> d.Binding:
        """Check that a value gives a list or, where allowed, an artifact of JSON lines."""
        if isinstance(value, Space | Draw):
            raise use.error("is a search space; it stands alone: each(..., grid(...))")
        binding, kind = self.binder.bind(value, use)
        good = _LISTS | (_JSON_LINES if artifacts else frozenset())
        if kind not in good:
            raise use.error(f"comes from a value of type {types.name_of(kind)}; it must be a list")
        if binding.WhichOneof("source") == "literal_json" and kind == d.VALUE_TYPE_ANY:
            raise use.error(f"is {binding.literal_json}; it must be a list")
        return binding

    def _repeat(self, block: Repeat, place: Place) -> d.Repeat:
        rule = block.until
        use = Use(
            what=f"{block.label}: the condition",
            source=rule.source,
            place=place,
            at_end=not rule.holds,
            at_start=rule.holds,
        )
        binding = self._condition(rule.condition, use)
        return d.Repeat(
            body=self.graph(place.bodies[0]),
            until=None if rule.holds else binding,
            as_long_as=binding if rule.holds else None,
            max_iterations=rule.max_iterations,
            exhausted=rule.exhausted,
            backoff_ms=rule.backoff_ms,
            backoff_factor=rule.backoff_factor,
            max_backoff_ms=rule.max_backoff_ms,
        )

    def _branch(self, block: Branch, place: Place) -> d.Branch:
        cases = [
            d.Case(
                condition=self._condition(
                    case.condition,
                    Use(what=f"{block.label}: the condition", source=case.source, place=place),
                ),
                body=self.graph(body),
            )
            for case, body in zip(block.cases, place.bodies, strict=False)
        ]
        otherwise = None if block.otherwise is None else self.graph(place.bodies[-1])
        return d.Branch(cases=cases, otherwise=otherwise)

    def _condition(self, value: Any, use: Use) -> d.Binding:
        binding, kind = self.binder.bind(value, use)
        if binding.WhichOneof("source") == "literal_json":
            raise use.error(
                f'is always {binding.literal_json}; write comparisons as expr("x > 3", x=step["x"])'
            )
        if kind not in (d.VALUE_TYPE_BOOL, d.VALUE_TYPE_ANY):
            raise use.error(f"is a value of type {types.name_of(kind)}; it must be a bool")
        return binding


def _keep_default(reference: d.OutputReference, default: Any) -> None:
    """Let a function's default stand for an output that was skipped, when it is a value that can travel."""
    with suppress(InvalidValue):
        reference.skipped_json = canonical.dumps(types.as_json(default))


def _check_passed(block: SubWorkflow, parameters: Mapping[str, Parameter]) -> None:
    """Check that the other workflow gets all that it must have from the parameters that are passed on."""
    own = {each.name: each.type for each in parameters.values() if each.type is not None}
    wanted = {
        each.name: passing.Wanted(type=each.type, required=each.required)
        for each in block.child.parameters.values()
    }
    names: dict[d.ValueType.ValueType, str] = {
        kind: types.name_of(kind) for kind in d.ValueType.values() if kind
    }
    for problem in passing.passing_problems(set(block.params), own, wanted, names):
        raise WorkflowError(f"{block.label}: workflow {block.workflow!r}: {problem}", block.source)


def _check_where(gate: Gate, parameters: Mapping[str, Parameter]) -> None:
    """Check that the condition of a signal gate names parameters and fields that there are."""
    signal = gate.message.signal
    fields = [each.name for each in signal.fields]
    for problem in where_problems(signal.where_cel, fields, parameters) if signal.where_cel else ():
        raise WorkflowError(f"{gate.label}: where: {problem}", gate.source)


def _check_fits(binding: d.Binding, kind: d.ValueType.ValueType, wanted: d.Shape, use: Use) -> None:
    """Check that a value may be a parameter of another workflow, as far as its type is known."""
    if binding.WhichOneof("source") == "literal_json":
        good = not types.fault(canonical.loads(binding.literal_json), wanted)
    else:
        good = passing.fits(kind, wanted.type)
    if not good:
        raise use.error(
            f"is a value of type {types.name_of(kind)}; it must be of type {name_of(wanted)}"
        )


def _files(step: Step, root: Path) -> list[str]:
    """Return the paths in the bundle that the step names; those of directories end in "/"."""
    given = [
        _check_file(step, file, root) for file in (step.file, step.requirements) if file is not None
    ]
    programs = [] if step.program is None else [os.path.normpath(step.program)]
    return given + programs + [_check_named(step, path, root) for path in step.named]


def _check_named(step: Step, path: str, root: Path) -> str:
    if os.path.isdir(root / path) and (root / path).resolve().is_relative_to(root):
        return f"{os.path.normpath(path)}/"
    _check_file(step, path, root)
    return os.path.normpath(path)


def _check_program(step: Step, program: str, root: Path) -> None:
    if not os.access(root / _check_file(step, program, root), os.X_OK):
        raise WorkflowError(
            f"step {step.name!r}: {program} may not be executed; chmod +x it, or name the program that reads it",
            step.source,
        )


def _check_file(step: Step, file: str, root: Path) -> str:
    """Return the path of a step's file within the bundle.

    Raises:
        WorkflowError: there is no such file under `root`.
    """
    if not checks.text(file, f"step {step.name!r}: a file's name", step.source):
        raise WorkflowError(f"step {step.name!r}: {file!r} is no file name", step.source)
    path = (root / file).resolve()
    if not path.is_relative_to(root):
        raise WorkflowError(
            f"step {step.name!r}: file {file!r} lies outside of the workflow's directory {root}",
            step.source,
        )
    if not os.path.isfile(path):
        raise WorkflowError(
            f"step {step.name!r}: there is no file {file!r} in the workflow's directory {root}",
            step.source,
        )
    return path.relative_to(root).as_posix()
