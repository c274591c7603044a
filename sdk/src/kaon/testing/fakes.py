"""Stand-ins for steps that need servers: they record how they are called, and give what the test says."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from kaon.step.context import StepContext
from kaon.step.outputs import ARTIFACT_TYPES


@dataclass(frozen=True, kw_only=True)
class FakeCall:
    """One call of a fake."""

    # Path of the step, such as "regions[US]/train", and its name.
    path: str
    name: str
    attempt: int
    # By name; artifacts as `Artifact`, with their local copy.
    inputs: Mapping[str, Any]
    # Settings of the step, such as its query.
    config: Mapping[str, Any]


# Outputs by name, or what makes them of a call. An artifact is a path, bytes, or a list of rows, which become JSON lines.
Answer: TypeAlias = Mapping[str, Any] | Callable[[FakeCall], Mapping[str, Any]]


class Fake:
    """Stands in for all steps of one type.

    Args:
        step_type: the type's name, such as "hive".
        answers: by the step's name.
    """

    def __init__(self, step_type: str, answers: Mapping[str, Answer] | None = None) -> None:
        self.step_type = step_type
        # In the order of the calls.
        self.calls: list[FakeCall] = []
        self._answers = dict(answers or {})

    def perform(self, context: StepContext, function: Callable[..., Any] | None) -> Any:
        """Do the work of a step: record the call, and return the outputs.

        Args:
            context: the step's.
            function: what the step calls, when it is a Python function.

        Raises:
            LookupError: the test gives no answer for this step.
        """
        call = FakeCall(
            path=context.step,
            name=context.step.rsplit("/", 1)[-1],
            attempt=context.attempt,
            inputs=context.inputs,
            config=context.config,
        )
        self.calls.append(call)
        answer = self._answers.get(call.name)
        if answer is None:
            return self.unanswered(call, context, function)
        values = answer(call) if callable(answer) else answer
        return {name: _given(context, name, value) for name, value in values.items()}

    def unanswered(
        self, call: FakeCall, context: StepContext, function: Callable[..., Any] | None
    ) -> Any:
        """Return the outputs of a step for which the test gives no answer.

        Raises:
            LookupError: there are none.
        """
        if not context.outputs:
            return {}
        declared = ", ".join(f"{name!r}: ..." for name in context.outputs)
        raise LookupError(
            f"the test has no answer for {self.step_type} step {call.name!r}: give "
            f"{type(self).__name__}({{{call.name!r}: {{{declared}}}}})"
        )


class FakeHive(Fake):
    """Stands in for HiveServer2. `config` of a call has the query, or the file of it.

    FakeHive({"get-users": {"users": [{"user": 1}], "rows": 1}})
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        super().__init__("hive", answers)


class FakeSpark(Fake):
    """Stands in for Spark: with answers, or with a session of the test's own for steps that call functions.

    Args:
        answers: by the step's name.
        session: given to the functions of steps without an answer, as their parameter `spark`.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None, *, session: Any = None) -> None:
        super().__init__("spark", answers)
        self._session = session

    def unanswered(
        self, call: FakeCall, context: StepContext, function: Callable[..., Any] | None
    ) -> Any:
        """Call the step's function with the session."""
        if self._session is None or function is None:
            return super().unanswered(call, context, function)
        takes = inspect.signature(function).parameters
        given = {"spark": self._session} if "spark" in takes else {}
        given |= {"context": context} if "context" in takes else {}
        return partial(function, **given)(**call.inputs)


class FakePublish(Fake):
    """Stands in for the model publisher: every model becomes the next version of its name.

    Attributes:
        published: by the model's name, the inputs of each version, the oldest first.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        super().__init__("publish", answers)
        self.published: dict[str, list[Mapping[str, Any]]] = {}

    def unanswered(
        self, call: FakeCall, context: StepContext, function: Callable[..., Any] | None
    ) -> Any:
        """Return the outputs of a publication, as far as they are declared."""
        name = call.config["model_name"]
        versions = self.published.setdefault(name, [])
        versions.append(call.inputs)
        digest = call.inputs["model"].digest
        told = {
            "version": len(versions),
            "digest": digest,
            "reference": f"registry.example/{name}@{digest}",
        }
        return {output: told[output] for output in context.outputs if output in told}


def _given(context: StepContext, name: str, value: Any) -> Any:
    """Return an output as a step's function would: content of an artifact is written to its file."""
    if context.outputs.get(name) not in ARTIFACT_TYPES or not isinstance(value, bytes | list):
        return value
    path: Path = context.artifact_path(name)
    if isinstance(value, list):
        value = "".join(f"{json.dumps(row)}\n" for row in value).encode()
    path.write_bytes(value)
    return path
