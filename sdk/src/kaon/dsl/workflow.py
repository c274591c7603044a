"""A workflow: a name, parameters and a body, checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from kaon.dsl import names, types, values
from kaon.dsl.bindings import check_same_parameter
from kaon.dsl.blocks import Part, check_part
from kaon.dsl.bundle import Bundle, make_bundle
from kaon.dsl.compiler import compile_body, parameter_messages
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source, caller
from kaon.dsl.values import Parameter
from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d


class Workflow:
    """What can be submitted.

        wf = Workflow("recommendations", body, parameters=[param("min_ratings", int, default=20)])

    Args:
        name: unique per tenant; lower-case letters, digits and hyphens.
        body: a step, a block, or several joined by `>>`, `|`, `sequence`, ...
        parameters: what a submitter may set: `param(...)` objects, or a dict of types or default values by name. Parameters that
            steps use and that were made with a type need not be repeated here.
        description: for people.
        root: the directory of the code bundle, in which files are looked up; by default that of the file that makes the workflow.

    Raises:
        WorkflowError: something is wrong; the message names the line.
    """

    def __init__(
        self,
        name: str,
        body: Part,
        *,
        parameters: Iterable[Parameter] | Mapping[str, Any] = (),
        description: str = "",
        root: str | Path | None = None,
    ) -> None:
        self.source = caller()
        self.name = names.check_block_name(name, "workflow", self.source)
        self.description = description
        self.root = (Path(root) if root is not None else self.source.path.parent).resolve()
        self._compiled = compile_body(
            check_part(body, "a workflow's body", self.source), _declared(parameters, self.source), self.root
        )

    def __repr__(self) -> str:
        return f"Workflow({self.name!r} at {self.source})"

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """What a submitter may set, by name."""
        return self._compiled.parameters

    def definition(self) -> d.WorkflowDefinition:
        """The definition: the same, byte for byte, for the same workflow and code.

        Raises:
            WorkflowError: the code bundle cannot be made.
        """
        definition = d.WorkflowDefinition()
        definition.CopyFrom(self._definition)
        return definition

    @property
    def version(self) -> str:
        """Digest of the definition. Raises as `definition` does."""
        return canonical.digest_message(self._definition)

    def bundle(self) -> Bundle:
        """The code that the steps load: the files of `root`.

        Raises:
            WorkflowError: it is too large, or leaves out a file that a step names.
        """
        return self._bundle

    @cached_property
    def _definition(self) -> d.WorkflowDefinition:
        return d.WorkflowDefinition(
            name=self.name,
            description=self.description,
            parameters=parameter_messages(self.parameters.values()),
            body=self._compiled.body,
            code_bundle=self._bundle.digest if self._compiled.needs_code else "",
        )

    @cached_property
    def _bundle(self) -> Bundle:
        try:
            bundle = make_bundle(self.root)
        except WorkflowError as error:
            raise WorkflowError(error.problem, self.source) from error
        for file, source in self._compiled.files.items():
            if Path(file).as_posix() not in bundle.files:
                raise WorkflowError(
                    f"{file} is left out of the code bundle; take it in with !{file} in .kaonignore", source
                )
        return bundle


def _declared(given: Iterable[Parameter] | Mapping[str, Any], source: Source) -> dict[str, Parameter]:
    pairs = given.items() if isinstance(given, Mapping) else ((None, each) for each in given)
    declared: dict[str, Parameter] = {}
    for name, written in pairs:
        parameter = _parameter(name, written, source)
        check_same_parameter(declared.setdefault(parameter.name, parameter), parameter)
    return declared


def _parameter(name: str | None, written: Any, source: Source) -> Parameter:
    """One entry of `parameters`: a declaration, or with a name also a type or a default."""
    if name is not None and not isinstance(written, Parameter):
        by_type = isinstance(written, type) or (isinstance(written, str) and types.parse(written) is not None)
        return values.param(name, written) if by_type else values.param(name, default=written)
    if not isinstance(written, Parameter):
        raise WorkflowError(f"parameters takes param(...) objects or a dict by name, not {written!r}", source)
    if name is not None and name != written.name:
        raise WorkflowError(f"parameter {written.name!r} is listed under the name {name!r}", written.source)
    if written.type is None:
        raise WorkflowError(
            f'parameter {written.name!r} needs a type: param("{written.name}", int)', written.source
        )
    return written
