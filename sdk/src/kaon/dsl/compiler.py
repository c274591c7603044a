"""Turns a checked body into the messages of a definition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaon.dsl import functions, types
from kaon.dsl.bindings import Binder, Use
from kaon.dsl.blocks import Branch, ForEach, Part, Repeat, Step
from kaon.dsl.errors import WorkflowError
from kaon.dsl.scopes import Place, Scope, build, walk
from kaon.dsl.source import Source
from kaon.dsl.values import Parameter
from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A body, checked."""

    body: d.Graph
    # All parameters, by name: those that the workflow declares and those that its steps bring along.
    parameters: Mapping[str, Parameter]
    # Files of the workflow's directory that steps name, with the line that does.
    files: Mapping[str, Source]
    # Whether a step loads code or files.
    needs_code: bool


def compile_body(body: Part, declared: Mapping[str, Parameter], root: Path) -> Compiled:
    """Checks a body and turns it into a graph; `root` is the directory that files and modules are looked up in.

    Raises:
        WorkflowError: something in it is wrong.
    """
    scope = build(body)
    places = list(walk(scope))
    steps = {place.name: place for place in places if isinstance(place.block, Step)}
    binder = Binder(steps=steps, declared=declared)
    graph = _Compiler(binder=binder, root=root).graph(scope)
    blocks = [place.block for place in places if isinstance(place.block, Step)]
    return Compiled(
        body=graph,
        parameters={**declared, **binder.found},
        files={step.file: step.source for step in reversed(blocks) if step.file is not None},
        needs_code=any(step.file is not None or step.function is not None for step in blocks),
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

    def _block(self, place: Place) -> d.Block:
        match place.block:
            case Step():
                return d.Block(name=place.name, step=self._step(place.block, place))
            case ForEach():
                return d.Block(name=place.name, for_each=self._for_each(place.block, place))
            case Repeat():
                return d.Block(name=place.name, repeat=self._repeat(place.block, place))
            case Branch():
                return d.Block(name=place.name, branch=self._branch(place.block, place))
        raise WorkflowError(f"{place.block!r} cannot stand in a body", place.block.source)

    def _step(self, step: Step, place: Place) -> d.Step:
        message = d.Step()
        message.CopyFrom(step.policy)
        message.type = step.type
        for name, value in step.inputs.items():
            use = Use(what=f"step {step.name!r}: input {name!r}", source=step.source, place=place)
            message.inputs[name].CopyFrom(self.binder.bind(value, use)[0])
        for name, kind in step.outputs.items():
            message.outputs[name] = kind
        message.config_json = canonical.dumps(self._config(step))
        return message

    def _config(self, step: Step) -> dict[str, Any]:
        config = dict(step.config)
        if step.function is not None:
            config["entry"] = functions.entry(step.name, step.function, self.root, step.source)
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
        items, kind = self.binder.bind(each.items, use)
        if kind not in (d.VALUE_TYPE_LIST, d.VALUE_TYPE_ANY):
            raise use.error(f"comes from a value of type {types.name_of(kind)}; it must be a list")
        if items.WhichOneof("source") == "literal_json" and kind == d.VALUE_TYPE_ANY:
            raise use.error(f"is {items.literal_json}; it must be a list")
        return d.ForEach(
            item=each.name,
            items=items,
            body=self.graph(place.bodies[0]),
            max_concurrency=each.max_concurrency,
            failure=each.failure,
        )

    def _repeat(self, block: Repeat, place: Place) -> d.Repeat:
        rule = block.until
        use = Use(what=f"{block.label}: the condition", source=rule.source, place=place, at_end=True)
        return d.Repeat(
            body=self.graph(place.bodies[0]),
            until=self._condition(rule.condition, use),
            max_iterations=rule.max_iterations,
            exhausted=rule.exhausted,
        )

    def _branch(self, block: Branch, place: Place) -> d.Branch:
        cases = [
            d.Case(
                condition=self._condition(
                    case.condition, Use(what=f"{block.label}: the condition", source=case.source, place=place)
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


def _check_file(step: Step, file: str, root: Path) -> str:
    """A step's file as a path within the bundle.

    Raises:
        WorkflowError: there is no such file under `root`.
    """
    if not isinstance(file, str) or not file:
        raise WorkflowError(f"step {step.name!r}: {file!r} is no file name", step.source)
    path = (root / file).resolve()
    if not path.is_relative_to(root):
        raise WorkflowError(
            f"step {step.name!r}: file {file!r} lies outside of the workflow's directory {root}", step.source
        )
    if not path.is_file():
        raise WorkflowError(
            f"step {step.name!r}: there is no file {file!r} in the workflow's directory {root}", step.source
        )
    return path.relative_to(root).as_posix()


def parameter_messages(parameters: Iterable[Parameter]) -> list[d.Parameter]:
    """The declarations as messages, sorted by name."""
    messages = []
    for parameter in sorted(parameters, key=lambda each: each.name):
        assert parameter.type is not None
        message = d.Parameter(name=parameter.name, type=parameter.type, description=parameter.description)
        if parameter.default_json is not None:
            message.default_json = parameter.default_json
        messages.append(message)
    return messages
