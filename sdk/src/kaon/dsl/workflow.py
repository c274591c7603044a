"""A workflow: a name, parameters and a body, checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from kaon.dsl import checks, functions, modules, names, types, values
from kaon.dsl.bindings import check_same_parameter
from kaon.dsl.blocks import Part, check_part
from kaon.dsl.bundle import Bundle, digest_of_files, make_bundle
from kaon.dsl.compiler import compile_body
from kaon.dsl.declaring import parameter_messages
from kaon.dsl.errors import WorkflowError
from kaon.dsl.foreign import refuses_others
from kaon.dsl.ignore import IGNORE_FILE
from kaon.dsl.later import Later
from kaon.dsl.notifying import Notification
from kaon.dsl.notifying import checked as checked_notifications
from kaon.dsl.policies import Duration
from kaon.dsl.producers import Step
from kaon.dsl.source import Source, caller
from kaon.dsl.times import times
from kaon.dsl.values import Parameter, Value
from kaon.dsl.verbs import OnError, on_error_of
from kaon_wire import canonical
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

Strategy: TypeAlias = Literal[
    "parallel", "sequential", "strict-sequential", "first-only", "last-only", "sequential-latest"
]

# Without a word about it, a definition is as it was before there were strategies.
STRATEGIES: Mapping[str, d.SubmitStrategy.ValueType] = {
    "parallel": d.SUBMIT_STRATEGY_UNSPECIFIED,
    "sequential": d.SUBMIT_STRATEGY_SEQUENTIAL,
    "strict-sequential": d.SUBMIT_STRATEGY_STRICT_SEQUENTIAL,
    "first-only": d.SUBMIT_STRATEGY_FIRST_ONLY,
    "last-only": d.SUBMIT_STRATEGY_LAST_ONLY,
    "sequential-latest": d.SUBMIT_STRATEGY_SEQUENTIAL_LATEST,
}


@refuses_others
class Workflow:
    """What can be submitted.

        wf = Workflow("recommendations", body, parameters=[param("min_ratings", int, default=20)])

    Args:
        name: unique per tenant; lower-case letters, digits, hyphens and single dots.
        body: a step, a block, or several joined by `>>`, `|`, `sequence`, ...
        parameters: what a submitter may set: `param(...)` objects, or a dict of types or default values by name. Parameters that
            steps use and that were made with a type need not be repeated here.
        outputs: what a run gives when it succeeds, by name: values as steps take them, such as train["model"].
        on_failure: runs when the body has failed or timed out; `body.on_failure(...)`.
        finally_: runs after everything else, whatever became of it, cancels included; `body.finally_(...)`.
        on_error: "finish": a failure stops nothing that does not come after it, and then the run fails; "fail", which is the
            default: it stops everything. Groups and foreach in the workflow may have another policy.
        timeout: how long a run may take, hooks excluded; then it is stopped and ends TIMED_OUT. It and the deadline may be values
            that are known when a run begins: a parameter, run_info(), an expression over these.
        deadline: a run that has not ended after this is reported late, and goes on.
        max_active_runs: how many runs of this workflow may be active at once; further ones wait. 0 means without limit.
        notify: whom to tell of what becomes of runs: `notify("failed", to="ops")`, or several of them.
        strategy: what becomes of a run while others of this workflow have not ended. "parallel": nothing; "sequential": it
            waits for all earlier ones; "strict-sequential": so, and for the success of the last one; "first-only": it is
            cancelled when one is active; "last-only": all earlier ones are cancelled; "sequential-latest": it waits, and of
            those that wait only the last one stays.
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
        outputs: Mapping[str, Any] | None = None,
        on_failure: Part | None = None,
        finally_: Part | None = None,
        on_error: OnError | None = None,
        timeout: Duration | Value = 0,
        deadline: Duration | Value = 0,
        max_active_runs: int = 0,
        notify: Notification | Iterable[Notification] = (),
        strategy: Strategy = "parallel",
        description: str = "",
        root: str | Path | None = None,
    ) -> None:
        self.source = caller()
        self.name = names.check_block_name(name, "workflow", self.source)
        self.description = checks.text(description, "the description of the workflow", self.source)
        self.root = (Path(root) if root is not None else self.source.path.parent).resolve()
        own = times(Later(), timeout, deadline, "the workflow", self.source)
        self._timeout_ms, self._deadline_ms = own["timeout_ms"], own["deadline_ms"]
        self._on_error = on_error_of(on_error, "workflow", self.source)
        self._max_active_runs = _checked_count(max_active_runs, self.source)
        self._notify = checked_notifications(notify, self.source)
        self._strategy = _checked_strategy(strategy, self.source)
        body = check_part(body, "a workflow's body", self.source)
        body = body if on_failure is None else body.on_failure(on_failure)
        body = body if finally_ is None else body.finally_(finally_)
        self._compiled = compile_body(
            body,
            _declared(parameters, self.source),
            self.root,
            _checked_outputs(outputs, self.source),
            own["bound"],
            self.source,
        )

    def __repr__(self) -> str:
        return f"Workflow({self.name!r} at {self.source})"

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The declared parameters by name."""
        return self._compiled.parameters

    @property
    def outputs(self) -> Mapping[str, d.ValueType.ValueType]:
        """The types of the outputs of a run by name."""
        return {name: output.type for name, output in self._compiled.outputs.items()}

    @property
    def children(self) -> Sequence[Workflow]:
        """The workflows that were given to sub-workflow blocks; they are registered before this one."""
        return self._compiled.children

    @property
    def functions(self) -> Mapping[str, Any]:
        """The functions of its steps by the names by which runners find them; a NamedFunction where only the name was given."""
        return {
            str(functions.entry(step.name, step.function, self.root, step.source)): step.function
            for step in self._compiled.calling
        }

    def definition(self) -> d.WorkflowDefinition:
        """Compile the definition: the same, byte for byte, for the same workflow and code.

        Raises:
            WorkflowError: a server would refuse it, the code bundle cannot be made, or runners would find another function than a
                step was given.
        """
        self._check_functions()
        definition = d.WorkflowDefinition()
        definition.CopyFrom(self._definition)
        return definition

    @property
    def version(self) -> str:
        """Digest of the definition. Raises as `definition` does."""
        return canonical.digest_message(self._definition)

    def bundle(self) -> Bundle:
        """Collect the code that the steps load: the files of `root`.

        Raises:
            WorkflowError: it is too large, or .kaonignore leaves out a file that a step needs.
        """
        return self._bundle

    @property
    def warnings(self) -> Sequence[str]:
        """The warnings about the code bundle: files that have the names of standard library modules."""
        return modules.shadowing(self._bundle.files) if self._compiled.needs_code else ()

    @cached_property
    def _definition(self) -> d.WorkflowDefinition:
        definition = d.WorkflowDefinition(
            name=self.name,
            description=self.description,
            parameters=parameter_messages(self.parameters.values(), self._compiled.computed),
            body=self._compiled.body,
            code_bundle=self._bundle.digest if self._compiled.needs_code else "",
            outputs=self._compiled.outputs,
            bound=self._compiled.bound,
            timeout_ms=self._timeout_ms,
            deadline_ms=self._deadline_ms,
            max_active_runs=self._max_active_runs,
            on_error=self._on_error,
            notifications=[each.to_proto() for each in self._notify],
            strategy=self._strategy,
        )
        self._name_code(definition)
        if problems := validate(definition, checks.limits()):
            about = problems[0].partition(": ")[0]
            raise WorkflowError("; ".join(problems), self._compiled.sources.get(about, self.source))
        return definition

    def _name_code(self, definition: d.WorkflowDefinition) -> None:
        """Tell of each memoized python step which code its outputs depend on."""
        memoized = {step.name: step for step in self._compiled.calling if step.type == "python"}
        for block in all_blocks(definition.body):
            step = memoized.get(block.name)
            if step is not None and block.step.memo.enabled and (digest := self._code_digest(step)):
                block.step.memo.code_digest = digest

    def _code_digest(self, step: Step) -> str:
        """Return the digest of a step's module, of what it imports from the bundle and of what else its memo names."""
        entry = functions.entry(step.name, step.function, self.root, step.source)
        if not entry.bundled:
            return ""
        needed = modules.Needed(self.root, self.source.path.parent.resolve())
        needed.add_module(entry.module, step.source)
        files = {*needed.files, *((step.requirements,) if step.requirements else ())}
        for pattern in step.memo_code:
            found = [file for file in self._bundle.files if fnmatchcase(file, pattern)]
            if not found:
                raise WorkflowError(
                    f"step {step.name!r}: Memo(code) names {pattern!r}, and the code bundle has no such file",
                    step.source,
                )
            files.update(found)
        return digest_of_files(self.root, files)

    @cached_property
    def _bundle(self) -> Bundle:
        needed = self._needed()
        path = self.source.path.resolve()
        own = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else ""
        try:
            bundle = make_bundle(
                self.root, needed=needed, wanted=[own] if path.is_file() and own else []
            )
        except WorkflowError as error:
            raise WorkflowError(error.problem, error.source or self.source) from error
        self._check_directories(bundle.files)
        if ours := modules.ours(bundle.files):
            raise WorkflowError(f"{ours} in {self.root} {modules.TAKEN}", self.source)
        return bundle

    def _check_directories(self, bundled: Sequence[str]) -> None:
        for directory, source in self._compiled.files.items():
            named = directory.endswith("/") and directory != "./"
            if named and not any(file.startswith(directory) for file in bundled):
                raise WorkflowError(
                    f"{directory} is left out of the code bundle; take it in with !{directory} in {IGNORE_FILE}",
                    source,
                )

    def _needed(self) -> Mapping[str, Source]:
        """Return the files that steps name, or load as modules, with the lines that ask for them."""
        needed = modules.Needed(self.root, self.source.path.parent.resolve())
        for file, source in self._compiled.files.items():
            if not file.endswith("/"):
                needed.add_file(file, source)
        for step in self._compiled.calling:
            assert step.function is not None
            entry = functions.entry(step.name, step.function, self.root, step.source)
            if entry.bundled:
                needed.add_module(entry.module, step.source)
        return needed.files

    def _check_functions(self) -> None:
        for step in self._compiled.calling:
            assert step.function is not None
            functions.check_found(step.name, step.function, step.source)


def _checked_outputs(outputs: object, source: Source) -> Mapping[str, Any]:
    if outputs is None:
        return {}
    if not isinstance(outputs, Mapping):
        raise WorkflowError(
            f'outputs of a workflow is a dict of values by name, such as {{"model": train["model"]}}, not {outputs!r}',
            source,
        )
    for name in outputs:
        names.check_value_name(name, "an output of the workflow", source)
    return outputs


def _checked_count(count: object, source: Source) -> int:
    what = "max_active_runs must be 0 (no limit) or more; it"
    return checks.whole(count, what, source, d.WorkflowDefinition, "max_active_runs", least=0)


def _checked_strategy(strategy: object, source: Source) -> d.SubmitStrategy.ValueType:
    if strategy not in STRATEGIES:
        listed = ", ".join(f'"{each}"' for each in STRATEGIES)
        raise WorkflowError(
            f"the strategy of a workflow is one of {listed}, not {strategy!r}", source
        )
    return STRATEGIES[strategy]  # type: ignore[index]


def _declared(
    given: Iterable[Parameter] | Mapping[str, Any], source: Source
) -> dict[str, Parameter]:
    pairs = given.items() if isinstance(given, Mapping) else ((None, each) for each in given)
    declared: dict[str, Parameter] = {}
    for name, written in pairs:
        parameter = _parameter(name, written, source)
        check_same_parameter(declared.setdefault(parameter.name, parameter), parameter)
    return declared


def _parameter(name: str | None, written: Any, source: Source) -> Parameter:
    """One entry of `parameters`: a declaration, or with a name also a type or a default."""
    if name is not None and not isinstance(written, Parameter):
        by_type = isinstance(written, type) or types.shape(written) is not None
        return values.param(name, written) if by_type else values.param(name, default=written)
    if not isinstance(written, Parameter):
        raise WorkflowError(
            f"parameters takes param(...) objects or a dict by name, not {written!r}", source
        )
    if name is not None and name != written.name:
        raise WorkflowError(
            f"parameter {written.name!r} is listed under the name {name!r}", written.source
        )
    if written.type is None:
        raise WorkflowError(
            f'parameter {written.name!r} needs a type: param("{written.name}", int)', written.source
        )
    return written
