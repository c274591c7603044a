"""Chains: the steps that this runner may start by itself, each after the success of the one before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kaon_wire import canonical
from kaon_wire.errors import KaonError
from kaon_wire.successions import INPUT_CHARACTERS, INPUTS_CHARACTERS, element, inputs_digest
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


class Chain:
    """A released step and its successors.

    Args:
        request: The release.

    Attributes:
        ended: Whether the matcher wants nothing further of it to start here.
    """

    def __init__(self, request: step_pb2.StepRequest) -> None:
        self.ended = False
        self._key = request.key
        self._successors: Sequence[step_pb2.Successor] = request.successors
        # Of the steps that have succeeded, in order.
        self._outputs: list[Mapping[str, str]] = []

    def includes(self, key: step_pb2.StepKey) -> bool:
        """Tell whether a lease belongs to this chain: one of an earlier generation of its steps does not."""
        keys = (self._key, *(each.request.key for each in self._successors))
        return any(
            (key.run_id, key.path, key.generation) == (each.run_id, each.path, each.generation)
            for each in keys
        )

    def after(
        self, spec: step_pb2.StepSpec, succeeded: step_pb2.StepSucceeded
    ) -> step_pb2.StepRequest | None:
        """Return the request of the step that may follow the one that has succeeded now; None when there is none."""
        if self.ended or len(self._outputs) >= len(self._successors):
            return None
        self._outputs.append(_typed(spec, succeeded.outputs_json))
        successor = self._successors[len(self._outputs) - 1]
        request = step_pb2.StepRequest()
        request.CopyFrom(successor.request)
        inputs = request.spec.inputs_json
        try:
            for name, source in successor.inputs.items():
                value = self._outputs[source.step].get(source.output, "null")
                inputs[name] = element(value, source.keys_json)
        except (KaonError, IndexError):
            # The engine says what is wrong with it.
            return None
        if not _is_small(inputs):
            return None
        request.key.succession = inputs_digest(inputs)
        return request


def _typed(spec: step_pb2.StepSpec, outputs: Mapping[str, str]) -> Mapping[str, str]:
    """Return outputs as the engine keeps them: an integer for a declared float is a float."""
    return {
        name: canonical.as_float(text) if spec.outputs.get(name) == d.VALUE_TYPE_FLOAT else text
        for name, text in outputs.items()
    }


def _is_small(inputs: Mapping[str, str]) -> bool:
    sizes = [len(text) for text in inputs.values()]
    return max(sizes, default=0) <= INPUT_CHARACTERS and sum(sizes) <= INPUTS_CHARACTERS
