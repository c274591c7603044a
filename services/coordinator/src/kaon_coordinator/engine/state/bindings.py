"""Resolves bindings to canonical JSON, looked up in the state of the enclosing scopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kaon_coordinator.engine.definition.compiled import BODY
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.run_info import run_info
from kaon_coordinator.engine.state.state import BlockState, Node, RunState, ScopeState, StepState
from kaon_wire import canonical, value_types
from kaon_wire.artifact_references import digests, unpacked
from kaon_wire.errors import InvalidValue, KaonError
from kaonapi.workflow.v1 import definition_pb2 as d

# Evaluates a CEL expression over named values; raises KaonError with the expression and the reason.
Evaluate = Callable[[str, Mapping[str, Any]], Any]

NULL = "null"


class BindingError(KaonError):
    """A binding has no value here; the text names the binding and the reason."""


def resolve(state: RunState, scope: ScopeState, binding: d.Binding, evaluate: Evaluate) -> str:
    """Return the value of `binding` for a node of `scope`.

    Raises:
        BindingError: The value cannot be determined.
    """
    match binding.WhichOneof("source"):
        case "literal_json":
            return binding.literal_json
        case "parameter":
            return _parameter(state, binding.parameter)
        case "item":
            return _item(scope, binding.item)
        case "output":
            return _output(state, scope, binding.output)
        case "last":
            return _last(state, scope, binding.last, evaluate)
        case "expression":
            return _expression(state, scope, binding.expression, evaluate)
        case "list" | "map":
            return _joined(state, scope, binding, evaluate)
        case "outcome":
            return _outcome(scope)
        case "run_info":
            return _run_info(state)
        case "block_outcome":
            return _block_outcome(state, scope, binding.block_outcome)
    raise BindingError("an empty binding has no value")


def typed(floats: frozenset[str], outputs: Mapping[str, str]) -> dict[str, str]:
    """Convert outputs to their declared types: an integer for a declared float becomes a float."""
    converted = dict(outputs)
    for name in floats & converted.keys() if floats else ():
        converted[name] = canonical.as_float(converted[name])
    return converted


def _parameter(state: RunState, name: str) -> str:
    if name not in state.params:
        raise BindingError(f"the run has no parameter {name!r}")
    return state.params[name]


def _item(scope: ScopeState, name: str) -> str:
    return _item_of(scope, name)[0]


def _item_of(scope: ScopeState, name: str) -> tuple[str, d.Binding]:
    """Return an item, and where the items of its foreach come from."""
    around: ScopeState | None = scope
    while around is not None:
        parent = around.parent
        if parent is not None and parent.kind == "for_each" and parent.block.for_each.item == name:
            return around.item_json, parent.block.for_each.items
        around = parent.scope if parent is not None else None
    raise BindingError(f"no enclosing foreach has an item {name!r}")


def _output(state: RunState, scope: ScopeState, reference: d.OutputReference) -> str:
    value = _told(state, scope, reference.step, lambda node: node.outputs.get(reference.output))
    return _skipped(reference) if value is None else value


def _block_outcome(state: RunState, scope: ScopeState, outcome: d.BlockOutcome) -> str:
    told = _told(state, scope, outcome.block, _OUTCOMES[outcome.field])
    return NULL if told is None else told


def _told(
    state: RunState, scope: ScopeState, name: str, tell: Callable[[Node], str | None]
) -> str | None:
    """Return what is told of a block, or the list of what is told of it in each cell."""
    chain = _chain(state, name)
    around: ScopeState | None = scope
    while around is not None:
        for depth, each in enumerate(chain):
            if each in around.nodes:
                return _descend(around, chain[depth:], tell)
        around = around.parent.scope if around.parent is not None else None
    raise BindingError(f"{name!r} is not reachable from here")


def _exit_code(node: Node) -> str:
    code = node.error.exit_code if node.error is not None else 0
    return str(code) if code or node.status == t.SUCCEEDED else NULL


def _error(node: Node) -> str:
    if node.error is None:
        return NULL
    return canonical.dumps({"type": node.error.type, "message": node.error.message})


_OUTCOMES: Mapping[d.OutcomeField.ValueType, Callable[[Node], str]] = {
    d.OUTCOME_FIELD_STATUS: lambda node: canonical.dumps(t.short(node.status)),
    d.OUTCOME_FIELD_EXIT_CODE: _exit_code,
    d.OUTCOME_FIELD_ATTEMPTS: lambda node: (
        str(node.attempt) if isinstance(node, StepState) else NULL
    ),
    d.OUTCOME_FIELD_ERROR: _error,
}


def _skipped(reference: d.OutputReference) -> str:
    """Return what stands for an output that its block has not given."""
    return reference.skipped_json if reference.HasField("skipped_json") else NULL


def _chain(state: RunState, step: str) -> tuple[str, ...]:
    try:
        return state.workflow.chains[step]
    except KeyError:
        raise BindingError(f"the workflow has no block {step!r}") from None


def _descend(
    scope: ScopeState, chain: tuple[str, ...], tell: Callable[[Node], str | None]
) -> str | None:
    """Return what is told of a block inside of a scope; None when nothing is."""
    node = scope.nodes.get(chain[0])
    if node is None:
        return None
    if len(chain) == 1:
        return tell(node)
    assert isinstance(node, BlockState)
    if node.kind == "for_each":
        # A cell that was never started has no value but keeps its place.
        cells = (node.cells.get(index) for index in range(node.count))
        values = (None if cell is None else _descend(cell, chain[1:], tell) for cell in cells)
        return f"[{','.join(NULL if each is None else each for each in values)}]"
    if not node.cells:
        return None
    newest = node.cells[max(node.cells)]
    return _descend(newest, chain[1:], tell)


def _last(state: RunState, scope: ScopeState, last: d.LastReference, evaluate: Evaluate) -> str:
    around: ScopeState | None = scope
    while around is not None:
        parent = around.parent
        if parent is not None and parent.kind == "repeat":
            break
        around = parent.scope if parent is not None else None
    if around is None or around.parent is None:
        raise BindingError(f"last({last.output.step}) is used outside of any repeat")
    previous = _previous_iteration(around.parent, around.index)
    if previous is None:
        return resolve(state, scope, last.fallback, evaluate)
    return _output(state, previous, last.output)


def _previous_iteration(block: BlockState, number: int) -> ScopeState | None:
    return block.cells.get(number - 1)


def _expression(
    state: RunState, scope: ScopeState, expression: d.Expression, evaluate: Evaluate
) -> str:
    texts = {
        name: resolve(state, scope, binding, evaluate)
        for name, binding in sorted(expression.variables.items())
    }
    variables = {name: canonical.loads(text) for name, text in texts.items()}
    if state.workflow.natives:
        for name, binding in expression.variables.items():
            variables[name] = _native(state, scope, binding, variables[name])
    value = evaluate(expression.cel, variables)
    try:
        text = canonical.dumps(value)
    except InvalidValue as error:
        raise BindingError(f"expression {expression.cel!r}: its value is {error}") from error
    if kind := unpacked([text]):
        raise BindingError(
            f"expression {expression.cel!r}: it makes a reference of type {kind!r}, which coordinators make"
        )
    if made := digests([text]):
        # Whoever knows a digest would have the artifact.
        made -= digests(texts.values())
    if made:
        raise BindingError(
            f"expression {expression.cel!r}: it makes a reference to artifact sha256:{min(made)}; expressions only pass on "
            "those that they are given"
        )
    return text


def _native(state: RunState, scope: ScopeState, binding: d.Binding, value: Any) -> Any:
    """Return a value as expressions have it: a time or duration where one is declared."""
    natives = state.workflow.natives
    match binding.WhichOneof("source"):
        case "parameter":
            shape = natives.get(("", binding.parameter))
        case "output":
            shape = natives.get((binding.output.step, binding.output.output))
        case "last":
            last = binding.last.output
            shape = natives.get((last.step, last.output))
        case "item":
            _, items = _item_of(scope, binding.item)
            listed = natives.get(("", items.parameter))
            shape = listed.of if listed is not None else None
        case _:
            shape = None
    try:
        return value if shape is None else value_types.native(value, shape)
    except InvalidValue as error:
        raise BindingError(str(error)) from error


def _joined(state: RunState, scope: ScopeState, binding: d.Binding, evaluate: Evaluate) -> str:
    if binding.HasField("list"):
        values = (resolve(state, scope, each, evaluate) for each in binding.list.bindings)
        return f"[{','.join(values)}]"
    entries = (
        f"{canonical.dumps(key)}:{resolve(state, scope, each, evaluate)}"
        for key, each in sorted(binding.map.bindings.items())
    )
    return f"{{{','.join(entries)}}}"


def _outcome(scope: ScopeState) -> str:
    """Return how the body ended whose hooks contain this scope."""
    around: ScopeState | None = scope
    while around is not None:
        if around.phase != BODY:
            error = around.outcome_error
            told = None if error is None else {"type": error.type, "message": error.message}
            return canonical.dumps({"status": t.short(around.outcome), "error": told})
        around = around.parent.scope if around.parent is not None else None
    raise BindingError("outcome() is used outside of any hook")


def _run_info(state: RunState) -> str:
    return canonical.dumps(
        run_info(
            run_id=state.run_id,
            workflow=state.workflow.definition.name,
            version=state.workflow.version,
            tenant=state.tenant,
            submit_us=state.submit_us,
            origin=state.origin,
            scheduled_us=state.scheduled_us,
            previous=state.previous,
        )
    )


def condition(state: RunState, scope: ScopeState, binding: d.Binding, evaluate: Evaluate) -> bool:
    """Return the value of a boolean binding.

    Raises:
        BindingError: The value is not a boolean, or there is none.
    """
    text = resolve(state, scope, binding, evaluate)
    if text not in {"true", "false"}:
        raise BindingError(f"a condition must be true or false, not {text[:80]}")
    return text == "true"
