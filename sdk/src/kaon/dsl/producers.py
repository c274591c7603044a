"""The blocks that give outputs: steps, gates and sub-workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kaon.dsl import types
from kaon.dsl.blocks import Block
from kaon.dsl.errors import WorkflowError
from kaon.dsl.locks import Lock
from kaon.dsl.source import Source, caller
from kaon.dsl.values import Reference
from kaonapi.workflow.v1 import definition_pb2 as d


class Producer(Block):
    """A block with outputs; `producer["output"]` is a reference to what it will give."""

    name: str
    outputs: Mapping[str, d.ValueType.ValueType]
    # What errors call it.
    noun: str

    @property
    def stem(self) -> str:
        """The name in paths of a block that the user gave none."""
        return self.name

    @property
    def label(self) -> str:
        """The name in error messages."""
        return f"{self.noun} {self.name!r}"

    def __getitem__(self, output: str) -> Reference:
        source = caller()
        if output not in self.outputs:
            raise WorkflowError(
                f"{self.label} has no output {output!r}; {self._declared()}", source
            )
        return Reference(step=self, output=output, source=source)

    def __iter__(self) -> Any:
        raise WorkflowError(
            f'{self.label} is not a list; name an output, such as {self.name}["rows"]', caller()
        )

    def __str__(self) -> str:
        return self.label

    def _declared(self) -> str:
        if not self.outputs:
            return 'it declares none: add outputs={"name": "dataset"}'
        return "it declares " + ", ".join(
            f"{name} ({types.name_of(kind)})" for name, kind in self.outputs.items()
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Step(Producer):
    """A unit of work that one runner executes; the functions of `kaon.steps` make it."""

    noun = "step"

    name: str
    type: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, d.ValueType.ValueType]
    # Static settings of the step type.
    config: Mapping[str, Any]
    # Where it runs and how, as far as the definition says it: everything but type, inputs, outputs, config and requirements.
    policy: d.Step
    # Files of the workflow's directory that the step needs, as written.
    file: str | None = None
    requirements: str | None = None
    # Its program, when that is one of these files.
    program: str | None = None
    # What its words name in the code bundle, and whether it reads that otherwise.
    named: tuple[str, ...] = ()
    reads_bundle: bool = False
    # The Python function that the step calls: itself, or a NamedFunction.
    function: Any = None
    # Files of the code bundle that count for its memo, beside its module and what that imports.
    memo_code: tuple[str, ...] = ()
    # Times of the step as a whole, over all its attempts.
    timeout_ms: int = 0
    deadline_ms: int = 0
    locks: tuple[Lock, ...] = ()
    bound: Mapping[str, Any] = field(default_factory=dict)
    source: Source


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Gate(Producer):
    """A block that waits for an approval, a signal, a time or a run; `approval`, `signal`, `timer` and `last_run` make it."""

    noun = "gate"

    name: str
    outputs: Mapping[str, d.ValueType.ValueType]
    # Everything but what is known only at run time.
    message: d.Gate
    # A timer's milliseconds or time.
    due: Any = None
    # Those of the run that is awaited.
    params: Mapping[str, Any] = field(default_factory=dict)
    timeout_ms: int = 0
    deadline_ms: int = 0
    bound: Mapping[str, Any] = field(default_factory=dict)
    source: Source

    def _declared(self) -> str:
        return super()._declared() if self.outputs else "a timer gives none"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SubWorkflow(Producer):
    """A run of another workflow; `sub_workflow` makes it."""

    noun = "sub-workflow"

    name: str
    outputs: Mapping[str, d.ValueType.ValueType]
    workflow: str
    version: str
    params: Mapping[str, Any]
    # The Workflow itself, when it was given instead of a name.
    child: Any = None
    # It ends with the end of the run.
    waits: bool = True
    # Parameters of the workflow around are passed on.
    pass_params: bool = False
    memo: d.Memo | None = None
    # What stands inside of outputs that are lists or maps, by name.
    contents: Mapping[str, d.Shape] = field(default_factory=dict)
    timeout_ms: int = 0
    deadline_ms: int = 0
    locks: tuple[Lock, ...] = ()
    bound: Mapping[str, Any] = field(default_factory=dict)
    source: Source
