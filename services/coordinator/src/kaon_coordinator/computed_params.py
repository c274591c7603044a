"""Defaults of parameters that are computed when a run is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaon_coordinator import expressions
from kaon_wire import canonical, value_types
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d


def computed_names(definition: d.WorkflowDefinition, given: Mapping[str, str]) -> frozenset[str]:
    """Return the parameters that are computed because no value was given."""
    return frozenset(
        each.name
        for each in definition.parameters
        if each.HasField("computed") and each.name not in given
    )


class Computer:
    """Computes defaults from other parameters and from what the run is told about itself.

    Args:
        definition: The workflow; no default depends on itself.
        values: The parameters that are known, canonical JSON by name.
        run: The value of `run_info()`.
        cel_cost: What one expression may cost.
    """

    def __init__(
        self,
        definition: d.WorkflowDefinition,
        values: Mapping[str, str],
        run: Mapping[str, object],
        cel_cost: int,
    ) -> None:
        self._declared = {each.name: each for each in definition.parameters}
        self._values = dict(values)
        self._run = run
        self._cel_cost = cel_cost

    def value(self, name: str) -> str:
        """Return the value of a parameter as canonical JSON.

        Raises:
            InvalidValue: It cannot be computed.
        """
        if name not in self._values:
            self._values[name] = canonical.dumps(self._json(self._declared[name].computed))
        return self._values[name]

    def _json(self, binding: d.Binding) -> Any:
        match binding.WhichOneof("source"):
            case "literal_json":
                return canonical.loads(binding.literal_json)
            case "parameter":
                return canonical.loads(self.value(binding.parameter))
            case "run_info":
                return dict(self._run)
            case "list":
                return [self._json(each) for each in binding.list.bindings]
            case "map":
                return {key: self._json(each) for key, each in binding.map.bindings.items()}
            case "expression":
                return self._evaluated(binding.expression)
        raise InvalidValue("its default cannot be computed when a run is submitted")

    def _evaluated(self, expression: d.Expression) -> Any:
        variables = {name: self._native(each) for name, each in expression.variables.items()}
        try:
            return expressions.evaluate(expression.cel, variables, self._cel_cost)
        except expressions.ExpressionError as error:
            raise InvalidValue(str(error)) from error

    def _native(self, binding: d.Binding) -> Any:
        value = self._json(binding)
        if binding.WhichOneof("source") != "parameter":
            return value
        return value_types.native(value, self._declared[binding.parameter])
