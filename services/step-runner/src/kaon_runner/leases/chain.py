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
        # The step that the successors' inputs name as step 0: the released one, later one that an extension named.
        self._first = request.key
        self._successors: Sequence[step_pb2.Successor] = request.successors
        # Of the first step and those after it, as far as they have succeeded.
        self._outputs: list[Mapping[str, str]] = []

    def includes(self, key: step_pb2.StepKey) -> bool:
        """Tell whether a lease belongs to this chain: one of an earlier generation of its steps does not."""
        return self._place(key) is not None

    def extend(self, extension: step_pb2.ChainExtension) -> bool:
        """Go on with other successors after a step of the chain that has begun; return False when they do not continue this chain.

        Those that have begun must be the same, and nothing is added to a chain that has ended.
        """
        place = self._place(extension.key)
        if place is None or place > len(self._outputs) or self.ended:
            return False
        begun = self._successors[place : len(self._outputs)]
        same = [_lease(each.request.key) for each in begun] == [
            _lease(each.request.key) for each in extension.successors[: len(begun)]
        ]
        if not same:
            return False
        self._first, self._successors = extension.key, extension.successors
        # What came before was bound when the extension was made, so a long chain keeps no more than a short one.
        self._outputs = self._outputs[place:]
        return True

    def _place(self, key: step_pb2.StepKey) -> int | None:
        """Return the place of a lease among the chain's steps, from 0; None when it is none of them."""
        keys = (self._first, *(each.request.key for each in self._successors))
        places = (place for place, each in enumerate(keys) if _lease(each) == _lease(key))
        return next(places, None)

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


def _lease(key: step_pb2.StepKey) -> tuple[str, str, int]:
    return key.run_id, key.path, key.generation


def _typed(spec: step_pb2.StepSpec, outputs: Mapping[str, str]) -> Mapping[str, str]:
    """Return outputs as the engine keeps them: an integer for a declared float is a float."""
    return {
        name: canonical.as_float(text) if spec.outputs.get(name) == d.VALUE_TYPE_FLOAT else text
        for name, text in outputs.items()
    }


def _is_small(inputs: Mapping[str, str]) -> bool:
    sizes = [len(text) for text in inputs.values()]
    return max(sizes, default=0) <= INPUT_CHARACTERS and sum(sizes) <= INPUTS_CHARACTERS
