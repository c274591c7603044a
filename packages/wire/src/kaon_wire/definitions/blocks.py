"""The requirements of each kind of block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from kaon_wire.definitions import policies, retry_rules
from kaon_wire.definitions.bindings import binding_problems
from kaon_wire.definitions.gate_fields import field_problems
from kaon_wire.definitions.kinds import RUN_ID
from kaon_wire.definitions.locks import lock_problems
from kaon_wire.definitions.names import NAME, NAME_RULE, POOL_NAME, POOL_NAME_RULE, value_names
from kaon_wire.definitions.parameters import shape_problems
from kaon_wire.definitions.places import Checks, Place, json_problem
from kaon_wire.definitions.policy_checks import bound_problems
from kaon_wire.definitions.serving import items_problems
from kaon_wire.value_types import has_artifacts, has_natives
from kaonapi.workflow.v1 import definition_pb2 as d

# Whole numbers up to this one are exact in the floating-point numbers of ranges.
_WHOLE = 2**53
_LAST_EXIT_CODE = 255
# Datasets of one step: each of them is a row in the transaction of its success.
_MOST_DATASETS = 16


def block_problems(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    """Yield the problems of one block, without those of its inner graphs."""
    if min(block.timeout_ms, block.deadline_ms) < 0:
        yield f"{block.name}: timeout and deadline must not be negative"
    yield from lock_problems(block, place, checks)
    yield from bound_problems(block, place, checks)
    kind = block.WhichOneof("kind")
    if kind is None:
        yield f"{block.name}: neither a step nor a foreach, repeat, branch, group, sub-workflow or gate"
    else:
        yield from _KINDS[kind](block, place, checks)


def _step(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    name, step = block.name, block.step
    if not step.type:
        yield f"{name}: a step needs a type"
    if step.pool and not POOL_NAME.match(step.pool):
        yield f"{name}: pool {step.pool[:80]!r}: {POOL_NAME_RULE}"
    yield from value_names(f"{name}: input", step.inputs)
    yield from value_names(f"{name}: output", step.outputs)
    if step.config_json:
        yield from json_problem(f"{name}: config", step.config_json)
    size, most = (
        step.ByteSize() - sum(each.ByteSize() for each in step.inputs.values()),
        checks.limits.step_bytes,
    )
    if size > most:
        yield f"{name}: the step has {size} bytes beside its inputs; the limit step_bytes is {most}: use a file"
    yield from _retry_problems(name, step)
    if not all(1 <= code <= _LAST_EXIT_CODE for code in step.skip_exit_codes):
        yield f"{name}: exit codes that skip a step are from 1 to {_LAST_EXIT_CODE}"
    for label in step.labels:
        if problem := checks.label(label):
            yield f"{name}: label {label!r}: {problem}"
    for tag in step.tags:
        if not NAME.match(tag):
            yield f"{name}: tag {tag!r}: use lower-case letters, digits and hyphens"
    yield from _dataset_problems(name, step)
    for output, kind in sorted(step.outputs.items()):
        if kind == d.VALUE_TYPE_UNSPECIFIED:
            yield f"{name}: output {output!r} has no type"
    yield from _content_problems(name, step)
    for input_name, binding in sorted(step.inputs.items()):
        yield from binding_problems(binding, place.outside, f"{name}: input {input_name!r}", checks)


def _content_problems(name: str, giver: d.Step | d.SubWorkflow | d.RunGate) -> Iterator[str]:
    for output, contents in sorted(giver.output_contents.items()):
        what = f"{name}: output {output!r}"
        if output not in giver.outputs:
            yield f"{what} is not declared, but what stands inside of it"
        shape = d.Shape(type=giver.outputs.get(output, d.VALUE_TYPE_LIST), of=contents)
        yield from shape_problems(what, shape)
        if has_natives(contents):
            yield f"{what}: times and durations cannot stand inside of an output; use texts"
        if has_artifacts(contents):
            yield f"{what}: artifacts cannot stand inside of an output; give a directory"


def _dataset_problems(name: str, step: d.Step) -> Iterator[str]:
    if len(step.datasets) > _MOST_DATASETS:
        yield f"{name}: it produces {len(step.datasets)} datasets; use at most {_MOST_DATASETS}"
    for dataset, partition in sorted(step.datasets.items()):
        if not NAME.match(dataset):
            yield f"{name}: dataset {dataset[:80]!r}: {NAME_RULE}"
        if problem := policies.partition_problem(partition):
            yield f"{name}: dataset {dataset[:80]!r}: its partition {partition[:80]!r}: {problem}"


def _retry_problems(name: str, step: d.Step) -> Iterator[str]:
    retry = step.retry
    if (
        min(
            step.timeout_ms,
            retry.max_attempts,
            retry.backoff_ms,
            retry.max_duration_ms,
            step.memo.max_age_ms,
        )
        < 0
    ):
        yield f"{name}: timeout, attempts, back-off and ages must not be negative"
    yield from _growth_problems(name, retry.backoff_factor, retry.max_backoff_ms)
    if not 0 <= retry.jitter <= 1:
        yield f"{name}: jitter must be from 0 to 1"
    yield from retry_rules.problems(name, retry)


def _growth_problems(name: str, factor: float, longest_ms: int) -> Iterator[str]:
    if not 0 <= factor < math.inf or longest_ms < 0:
        yield f"{name}: the factor and the longest wait of a back-off must not be negative or without bound"


def _for_each(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    name, spec = block.name, block.for_each
    yield from value_names(f"{name}: item", [spec.item])
    yield from items_problems(block, checks.names.blocks)
    if spec.HasField("sweep"):
        if spec.HasField("items"):
            yield f"{name}: items and a sweep cannot both say where the items come from"
        yield from _sweep(name, spec.sweep, place, checks)
    else:
        yield from binding_problems(spec.items, place.outside, f"{name}: items", checks)
    if spec.max_concurrency < 0:
        yield f"{name}: max_concurrency must not be negative"
    if spec.failure.count < 0 or not 0 <= spec.failure.percent <= 100:
        yield f"{name}: tolerate a number of cells, or 0 to 100 %"
    if spec.HasField("early_stopping"):
        yield from _early_stopping(name, spec.early_stopping)


def _sweep(name: str, sweep: d.Sweep, place: Place, checks: Checks) -> Iterator[str]:
    kind = sweep.WhichOneof("space")
    yield from value_names(f"{name}: axis", (*sweep.grid.axes, *sweep.random.axes))
    if kind == "grid":
        if not sweep.grid.axes:
            yield f"{name}: a grid needs an axis"
        for axis, binding in sorted(sweep.grid.axes.items()):
            yield from binding_problems(binding, place.outside, f"{name}: axis {axis!r}", checks)
    elif kind == "random":
        if not 1 <= sweep.random.count <= checks.limits.foreach_items or not sweep.random.axes:
            yield f"{name}: a random sample needs an axis, and 1 to {checks.limits.foreach_items} points"
        for axis, drawn in sorted(sweep.random.axes.items()):
            yield from _distribution(f"{name}: axis {axis!r}", drawn, place, checks)
    else:
        yield f"{name}: a sweep needs a grid or a random sample"


def _distribution(what: str, drawn: d.Distribution, place: Place, checks: Checks) -> Iterator[str]:
    kind = drawn.WhichOneof("kind")
    if kind is None:
        yield f"{what}: it has no distribution"
    elif kind == "choice":
        yield from binding_problems(drawn.choice, place.outside, what, checks)
    else:
        span: d.Range = getattr(drawn, kind)
        bounded = math.isfinite(span.low) and math.isfinite(span.high)
        if not bounded or span.low > span.high or (kind == "log_uniform" and span.low <= 0):
            yield f"{what}: a range goes from low to high, and is above 0 when it is logarithmic"
        elif not math.isfinite(span.high - span.low):
            yield f"{what}: the range exceeds floating-point numbers"
        elif kind == "integer" and max(abs(span.low), abs(span.high)) > _WHOLE:
            yield f"{what}: a range of whole numbers lies within {-_WHOLE} and {_WHOLE}"


def _early_stopping(name: str, rule: d.EarlyStopping) -> Iterator[str]:
    if not rule.metric:
        yield f"{name}: early stopping needs the name of a metric"
    if rule.WhichOneof("rule") is None:
        yield f"{name}: early stopping needs a rule"
    if (
        min(rule.median.min_step, rule.median.min_cells, rule.halving.min_step, rule.halving.eta)
        < 0
    ):
        yield f"{name}: the numbers of an early-stopping rule must not be negative"
    if rule.halving.eta == 1:
        yield f"{name}: eta must be at least 2"


def _repeat(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    name, repeat, limit = block.name, block.repeat, checks.limits.iterations
    if repeat.HasField("as_long_as"):
        yield from binding_problems(repeat.as_long_as, place, f"{name}: as_long_as", checks)
        if repeat.HasField("until"):
            yield f"{name}: a repeat goes on until a condition holds, or as long as one does, not both"
    else:
        yield from binding_problems(repeat.until, place, f"{name}: until", checks)
    bound = "repeat.max_iterations" in block.bound
    if not bound and not 1 <= repeat.max_iterations <= limit:
        yield f"{name}: max_iterations must be from 1 to {limit}"
    if repeat.backoff_ms < 0:
        yield f"{name}: the back-off must not be negative"
    yield from _growth_problems(name, repeat.backoff_factor, repeat.max_backoff_ms)


def _branch(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    for index, case in enumerate(block.branch.cases):
        yield from binding_problems(
            case.condition, place.outside, f"{block.name}: condition {index}", checks
        )


def _group(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    yield from ()


def _sub_workflow(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    spec = block.sub_workflow
    yield from _other_workflow(
        block.name, spec, "sub_workflow.workflow" in block.bound, place, checks
    )
    if spec.memo.max_age_ms < 0:
        yield f"{block.name}: the age of a memo must not be negative"
    if spec.memo.code_digest:
        yield f"{block.name}: the memo of a sub-workflow depends on its version, and has no code_digest"
    if spec.detached:
        yield from _detached_problems(block)
    yield from _content_problems(block.name, spec)


def _other_workflow(
    what: str, spec: d.SubWorkflow | d.RunGate, bound: bool, place: Place, checks: Checks
) -> Iterator[str]:
    """Yield the problems of what is said about a run of another workflow."""
    if not bound and not NAME.match(spec.workflow):
        yield f"{what}: {spec.workflow!r} is no name of a workflow"
    yield from value_names(f"{what}: parameter", spec.params)
    yield from value_names(f"{what}: output", spec.outputs)
    for name, binding in sorted(spec.params.items()):
        yield from binding_problems(binding, place.outside, f"{what}: parameter {name!r}", checks)
    for output, kind in sorted(spec.outputs.items()):
        if kind == d.VALUE_TYPE_UNSPECIFIED:
            yield f"{what}: output {output!r} has no type"


def _detached_problems(block: d.Block) -> Iterator[str]:
    spec = block.sub_workflow
    if dict(spec.outputs) != {RUN_ID: d.VALUE_TYPE_STRING}:
        yield f"{block.name}: nobody waits for the run, so the block's only output is {RUN_ID}, a string"
    if spec.memo.enabled:
        yield f"{block.name}: nobody waits for the run, so it has no outputs for a memo"


def _run_gate(name: str, gate: d.Gate, place: Place, checks: Checks) -> Iterator[str]:
    yield from _other_workflow(name, gate.run, False, place, checks)
    yield from _content_problems(name, gate.run)
    if RUN_ID in gate.run.outputs:
        yield f"{name}: {RUN_ID!r} is an output of the gate itself"
    if gate.run.max_age_ms < 0:
        yield f"{name}: the age must not be negative"
    if gate.run.no_wait and gate.timeout_ms:
        yield f"{name}: a gate that does not wait has no time-out"
    if gate.on_timeout in {d.GATE_TIMEOUT_DEFAULT, d.GATE_TIMEOUT_REJECT}:
        yield f"{name}: a gate that waits for a run fails or is skipped when its time is over"


def _gate(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    name, gate = block.name, block.gate
    kind = gate.WhichOneof("kind")
    if gate.timeout_ms < 0:
        yield f"{name}: timeout must not be negative"
    if gate.default_json:
        yield from json_problem(f"{name}: default", gate.default_json)
        size, most = len(gate.default_json.encode()), checks.limits.inline_output_bytes
        if size > most:
            yield f"{name}: the default has {size} bytes; the limit inline_output_bytes is {most}"
    yield from field_problems(block, checks)
    if kind is None:
        yield f"{name}: a gate needs an approval, a signal, a timer or a run"
    elif kind == "signal" and not gate.signal.name:
        yield f"{name}: a signal gate needs the signal's name"
    elif kind == "run":
        yield from _run_gate(name, gate, place, checks)
    elif kind == "timer":
        if gate.timeout_ms:
            yield f"{name}: a timer has no time-out: it ends by itself"
        due = gate.timer.WhichOneof("due")
        if due is None:
            yield f"{name}: a timer needs a time"
        else:
            binding = gate.timer.after_ms if due == "after_ms" else gate.timer.at
            yield from binding_problems(binding, place.outside, f"{name}: time", checks)


_KINDS: dict[str, Callable[[d.Block, Place, Checks], Iterator[str]]] = {
    "step": _step,
    "for_each": _for_each,
    "repeat": _repeat,
    "branch": _branch,
    "group": _group,
    "sub_workflow": _sub_workflow,
    "gate": _gate,
}
