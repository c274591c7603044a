"""Limits that keep one run from harming the others. Errors name the limit that is exceeded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields

from kaon_wire import canonical
from kaon_wire.definitions import limits
from kaon_wire.definitions.limits import DefinitionLimits
from kaon_wire.errors import InvalidValue

# Upper bound of the bytes of a reference to an input that is stored as an artifact.
_REFERENCE_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class Limits(DefinitionLimits):
    """The limits of the engine, including those of definitions."""

    # Cells of one foreach that run at once, regardless of its own bound, and that one turn starts.
    open_cells: int = 20_000
    cells_per_turn: int = 100
    # Steps of one foreach that are READY and that no runner holds: with so many, no further cell starts until
    # runners have taken half of them.
    waiting_steps: int = 1_000
    # Bytes of all value outputs of a step or a run together, including their names: they form one event,
    # which is one record.
    outputs_bytes: int = 524_288
    # Bytes of one input that a request carries; a larger input (the joined results of many cells) is stored
    # as an artifact.
    inline_input_bytes: int = 65_536
    # Bytes of all inputs that a request carries in one record; beyond it, the largest inputs are stored as
    # artifacts.
    inputs_bytes: int = 524_288
    # Bytes of one item of a foreach.
    item_bytes: int = 262_144
    # Bytes of all parameters of a run.
    params_bytes: int = 262_144
    # Runners that may be lost while they hold a step before the step is quarantined as the suspected cause.
    lost_runners: int = 3
    # Attempts that may fail because of the platform.
    platform_failures: int = 5
    # Bytes of an error's message and of its details.
    error_bytes: int = 8_192
    # Nesting depth of sub-workflows.
    run_depth: int = 10
    # Signals of one name that are buffered for a gate or delivered to one step.
    buffered_signals: int = 1_000
    # Distinct metric names per step, characters per name, and metrics per step in total.
    metric_names: int = 100
    metric_name_characters: int = 200
    metric_reports: int = 100_000
    # Bytes of one checkpoint.
    checkpoint_bytes: int = 65_536
    # The cost of one expression, in copied list elements: about 20 ns each.
    cel_cost: int = 20_000_000
    # Microseconds between the loss of an exclusive step's holder and the earliest start of the next one: one
    # lease, after which the old holder stops by itself, plus the grace period of its supervisor.
    exclusive_wait_us: int = 20_000_000

    def report_problem(self, metrics: Collection[str], reports: int, metric: str) -> str:
        """Return which limit one more metric of a step would exceed; empty when it exceeds none."""
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
        """Describe by how much a checkpoint exceeds its limit; empty when it does not."""
        size, bound = _bytes(checkpoint_json, self.checkpoint_bytes), self.checkpoint_bytes
        if size > bound:
            return f"a checkpoint has {size} bytes; the limit checkpoint_bytes is {bound}"
        try:
            canonical.strict(checkpoint_json)
        except InvalidValue as error:
            return f"a checkpoint cannot be kept: {error}"
        return ""

    def too_large(self, values: Mapping[str, str]) -> str:
        """Describe which values (canonical JSON by name), or their total, exceed the limit; empty when none does."""
        bound = self.inline_output_bytes
        large = {
            name: size
            for name, text in sorted(values.items())
            if (size := _bytes(text, bound)) > bound
        }
        if large:
            told = ", ".join(f"{name!r} has {size} bytes" for name, size in large.items())
            return f"{told}; the limit inline_output_bytes is {bound}: use an artifact"
        if (size := _all_bytes(values, self.outputs_bytes)) > self.outputs_bytes:
            return f"all outputs have {size} bytes; the limit outputs_bytes is {self.outputs_bytes}: use artifacts"
        return ""

    def apart(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """Return the inputs (canonical JSON by name) to be stored as artifacts.

        These are all inputs above the limit for one input, then the largest ones until the others fit into
        one record.
        """
        apart = {name: text for name, text in inputs.items() if len(text) > self.inline_input_bytes}
        if not apart and not self.inputs_problem(inputs):
            return apart
        rest = sorted(
            (len(text.encode()), name) for name, text in inputs.items() if name not in apart
        )
        size = sum(each for each, _ in rest) + _REFERENCE_BYTES * len(apart)
        while rest and size > self.inputs_bytes and rest[-1][0] > _REFERENCE_BYTES:
            largest, name = rest.pop()
            size += _REFERENCE_BYTES - largest
            apart[name] = inputs[name]
        return apart

    def inputs_problem(self, inputs: Mapping[str, str]) -> str:
        """Describe by how much the inputs of a request exceed the limit; empty when they do not."""
        size = _all_bytes(inputs, self.inputs_bytes)
        if size <= self.inputs_bytes:
            return ""
        return f"{len(inputs)} inputs have {size} bytes; the limit inputs_bytes is {self.inputs_bytes}: use fewer"

    def items_problem(self, items: Sequence[str]) -> str:
        """Describe which item of a foreach exceeds the limit; empty when none does."""
        bound = self.item_bytes
        for index, item in enumerate(items):
            if (size := _bytes(item, bound)) > bound:
                return f"item {index} has {size} bytes; the limit item_bytes is {bound}: use an artifact"
        return ""


def limits_from(text: str) -> Limits:
    """Parse limits from a text such as "foreach_items=1000, iterations=50"; unmentioned limits keep their defaults.

    Raises:
        InvalidValue: The text names an unknown limit, or a value is not a whole number above 0.
    """
    return Limits(**limits.parse(text, {each.name for each in fields(Limits)}))


def _all_bytes(values: Mapping[str, str], bound: int) -> int:
    """Return the number of bytes of values and their names, as counted by `_bytes`."""
    characters = sum(map(len, values)) + sum(map(len, values.values()))
    if characters * 4 <= bound:
        return characters
    return sum(len(name.encode()) + len(text.encode()) for name, text in values.items())


def _bytes(text: str, bound: int) -> int:
    """Return the number of bytes of a text; a text that cannot exceed the bound in any encoding is not encoded."""
    return len(text) if len(text) * 4 <= bound else len(text.encode())


DEFAULT = Limits()
