"""Bounds that keep one run from harming the others. Exceeding one is an error that names it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields

from kaon_wire import canonical
from kaon_wire.definitions import limits
from kaon_wire.definitions.limits import DefinitionLimits
from kaon_wire.errors import InvalidValue

# What stands for an input that is kept as an artifact, at most.
_REFERENCE_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class Limits(DefinitionLimits):
    """Bounds of the engine, those of definitions among them."""

    # Cells of one foreach that run at once, whatever it asks for, and that one decision starts.
    open_cells: int = 20_000
    cells_per_decision: int = 500
    # Bytes of all value outputs of a step or a run together, with their names: they are one event, which is one record.
    outputs_bytes: int = 524_288
    # Bytes of one input that travels with its step; a larger one (the joined results of many cells) is kept as an artifact.
    inline_input_bytes: int = 65_536
    # Bytes of all inputs that travel with a step, in one record; the largest of more are kept as artifacts.
    inputs_bytes: int = 524_288
    # Bytes of one item of a foreach.
    item_bytes: int = 262_144
    # Bytes of all parameters of a run.
    params_bytes: int = 262_144
    # Runners that may be lost while they hold a step, before the step is suspected of killing them.
    lost_runners: int = 3
    # Attempts that may fail by the platform's fault.
    platform_failures: int = 5
    # Bytes of an error's message and of its details.
    error_bytes: int = 8_192
    # Runs around a run of a sub-workflow.
    run_depth: int = 10
    # Signals of one name that wait for a gate, or that one step has got.
    buffered_signals: int = 1_000
    # Distinct names of metrics that one step reports, characters of such a name, and metrics that one step reports in all.
    metric_names: int = 100
    metric_name_characters: int = 200
    metric_reports: int = 100_000
    # Bytes of one checkpoint.
    checkpoint_bytes: int = 65_536
    # What one expression may cost, in elements of lists that are copied: about 20 ns each.
    cel_cost: int = 20_000_000
    # Microseconds between the loss of an exclusive step's holder and the earliest start of the next: one lease, after which the old
    # one stops by itself, and the grace that its supervisor gives it.
    exclusive_wait_us: int = 20_000_000

    def report_problem(self, metrics: Collection[str], reports: int, metric: str) -> str:
        """Which limit one more report of a metric exceeds, for a step that has reported others; empty when it exceeds none."""
        if "\0" in metric:
            return f"a metric's name has a NUL character, which no text may have: {metric[:80]!r}"
        if len(metric) > self.metric_name_characters:
            return (
                f"a metric's name has {len(metric)} characters; the limit metric_name_characters is "
                f"{self.metric_name_characters}: {metric[:80]!r}..."
            )
        if metric not in metrics and len(metrics) >= self.metric_names:
            return f"{metric!r} is one metric more than the limit metric_names, which is {self.metric_names}"
        if reports >= self.metric_reports:
            return f"{reports} metrics were reported; the limit metric_reports is {self.metric_reports}"
        return ""

    def checkpoint_problem(self, checkpoint_json: str) -> str:
        """How much larger than allowed a checkpoint is; empty when it is not."""
        size, bound = _bytes(checkpoint_json, self.checkpoint_bytes), self.checkpoint_bytes
        if size > bound:
            return f"a checkpoint has {size} bytes; the limit checkpoint_bytes is {bound}"
        try:
            canonical.strict(checkpoint_json)
        except InvalidValue as error:
            return f"a checkpoint cannot be kept: {error}"
        return ""

    def too_large(self, values: Mapping[str, str]) -> str:
        """Which values (canonical JSON by name) are too large to be kept inline; empty when none is, nor all together."""
        bound = self.inline_output_bytes
        large = {name: size for name, text in sorted(values.items()) if (size := _bytes(text, bound)) > bound}
        if large:
            told = ", ".join(f"{name!r} has {size} bytes" for name, size in large.items())
            return f"{told}; the limit inline_output_bytes is {bound}: use an artifact"
        if (size := _all_bytes(values, self.outputs_bytes)) > self.outputs_bytes:
            return f"all outputs have {size} bytes; the limit outputs_bytes is {self.outputs_bytes}: use artifacts"
        return ""

    def apart(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """Which inputs (canonical JSON by name) are to be kept as artifacts: every large one, and then the largest until all others
        may travel together."""
        apart = {name: text for name, text in inputs.items() if len(text) > self.inline_input_bytes}
        if not apart and not self.inputs_problem(inputs):
            return apart
        rest = sorted((len(text.encode()), name) for name, text in inputs.items() if name not in apart)
        size = sum(each for each, _ in rest) + _REFERENCE_BYTES * len(apart)
        while rest and size > self.inputs_bytes and rest[-1][0] > _REFERENCE_BYTES:
            largest, name = rest.pop()
            size += _REFERENCE_BYTES - largest
            apart[name] = inputs[name]
        return apart

    def inputs_problem(self, inputs: Mapping[str, str]) -> str:
        """How much more than allowed travels with a step; empty when it does not."""
        size = _all_bytes(inputs, self.inputs_bytes)
        if size <= self.inputs_bytes:
            return ""
        return f"{len(inputs)} inputs have {size} bytes; the limit inputs_bytes is {self.inputs_bytes}: use fewer"

    def items_problem(self, items: Sequence[str]) -> str:
        """Which item of a foreach is larger than allowed; empty when none is."""
        bound = self.item_bytes
        for index, item in enumerate(items):
            if (size := _bytes(item, bound)) > bound:
                return f"item {index} has {size} bytes; the limit item_bytes is {bound}: use an artifact"
        return ""


def limits_from(text: str) -> Limits:
    """The limits that a text like "foreach_items=1000, iterations=50" gives; what it does not mention has its default.

    Raises:
        InvalidValue: it names no limit, or gives a value that is no whole number above 0.
    """
    return Limits(**limits.parse(text, {each.name for each in fields(Limits)}))


def _all_bytes(values: Mapping[str, str], bound: int) -> int:
    """How many bytes values have with their names, as `_bytes` counts."""
    characters = sum(len(name) + len(text) for name, text in values.items())
    if characters * 4 <= bound:
        return characters
    return sum(len(name.encode()) + len(text.encode()) for name, text in values.items())


def _bytes(text: str, bound: int) -> int:
    """How many bytes a text has; text that cannot exceed the bound, whatever is in it, need not be encoded."""
    return len(text) if len(text) * 4 <= bound else len(text.encode())


DEFAULT = Limits()
