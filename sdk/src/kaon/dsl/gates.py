"""Blocks that run nothing themselves: gates, which wait, and sub-workflows, which are runs of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from kaon.dsl import checks, names, types, values
from kaon.dsl.declaring import parameter_messages
from kaon.dsl.errors import WorkflowError
from kaon.dsl.foreign import refuses_others, sub_workflow_advice
from kaon.dsl.later import Later
from kaon.dsl.locks import Lock, checked_locks
from kaon.dsl.policies import Duration, Memo, milliseconds
from kaon.dsl.producers import Gate, SubWorkflow
from kaon.dsl.source import Source, caller
from kaon.dsl.stepmaking import outputs_by_name, take_contents
from kaon.dsl.times import times
from kaon.dsl.values import Parameter, Value, declared_name
from kaon.dsl.workflow import Workflow
from kaon_wire.cel import program as cel
from kaon_wire.definitions.kinds import ANY, RUN_ID
from kaon_wire.texts import meant
from kaon_wire.value_types import is_required
from kaonapi.workflow.v1 import definition_pb2 as d

# The output of a sub-workflow that is not waited for.
_RUN = {RUN_ID: d.VALUE_TYPE_STRING}
_APPROVAL_TIMEOUTS = {
    "fail": d.GATE_TIMEOUT_FAIL,
    "approve": d.GATE_TIMEOUT_DEFAULT,
    "reject": d.GATE_TIMEOUT_REJECT,
    "skip": d.GATE_TIMEOUT_SKIP,
}
_SIGNAL_TIMEOUTS = {
    "fail": d.GATE_TIMEOUT_FAIL,
    "default": d.GATE_TIMEOUT_DEFAULT,
    "skip": d.GATE_TIMEOUT_SKIP,
}
_RUN_TIMEOUTS = {"fail": d.GATE_TIMEOUT_FAIL, "skip": d.GATE_TIMEOUT_SKIP}
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NOTHING = object()
# Options of a sub-workflow; every other keyword is a parameter of the other workflow.
_OPTIONS = ("version", "outputs", "params", "timeout", "deadline", "locks", "wait", "pass_params")


@refuses_others
def approval(
    name: str,
    /,
    *,
    message: str = "",
    roles: Iterable[str] = (),
    timeout: Duration | Value = 0,
    on_timeout: Literal["fail", "approve", "reject", "skip"] | None = None,
    reject_fails: bool = True,
    not_submitter: bool = False,
    fields: Iterable[Parameter] = (),
    deadline: Duration | Value = 0,
) -> Gate:
    """Wait for the approval of a person; outputs: approved (bool), by (string), comment (string), its fields.

        check >> approval("release", message="Publish the model?", roles=["owner"], timeout="2d") >> publish

    It is answered by `kaon approve RUN PATH` or `kaon reject RUN PATH`.

    Args:
        name: the gate's name in paths.
        message: what is asked.
        roles: any one of them may answer; none means anybody.
        timeout: how long it waits; 0 means without limit.
        on_timeout: what then happens: "fail" (default), "approve", "reject" or "skip".
        reject_fails: False: a rejection does not fail the gate, and `approved` tells it.
        not_submitter: True: who submitted the run may not answer.
        fields: what who approves fills in, each a `param(...)` and an output of the gate: `[param("share", float, default=0.1)]`.
        deadline: after this it counts as late, and goes on.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    checks.text(message, f"approval {name!r}: message", source)
    asked = d.Approval(
        roles=_roles(f"approval {name!r}", roles, source),
        message=message,
        reject_fails=bool(reject_fails),
        not_submitter=bool(not_submitter),
        fields=_fields(f"approval {name!r}", fields, source),
    )
    gate = d.Gate(approval=asked)
    later = Later()
    what = f"approval {name!r}"
    _set_timeout(gate, what, timeout, on_timeout, _APPROVAL_TIMEOUTS, later, source)
    outputs = {
        "approved": d.VALUE_TYPE_BOOL,
        "by": d.VALUE_TYPE_STRING,
        "comment": d.VALUE_TYPE_STRING,
    }
    for each in asked.fields:
        if each.name in outputs:
            raise WorkflowError(
                f"approval {name!r}: field {each.name!r}: every approval has an output of that name",
                source,
            )
        outputs[each.name] = each.type
    if gate.on_timeout == d.GATE_TIMEOUT_DEFAULT and (
        missing := [each.name for each in asked.fields if is_required(each)]
    ):
        raise WorkflowError(
            f"approval {name!r}: when its time is over it is approved, so field {missing[0]!r} needs a default",
            source,
        )
    return _gate(name, gate, outputs, None, deadline, later, source)


@refuses_others
def signal(
    name: str,
    /,
    *,
    signal: str | None = None,
    roles: Iterable[str] = (),
    timeout: Duration | Value = 0,
    on_timeout: Literal["fail", "default", "skip"] | None = None,
    default: Any = _NOTHING,
    fields: Iterable[Parameter] = (),
    where: str = "",
    deadline: Duration | Value = 0,
) -> Gate:
    """Wait for a signal; outputs: payload (any), by (string). An earlier signal that no gate has used counts.

        data_ready = signal("data-ready", timeout="6h", default={"rows": 0})
        data_ready >> steps.python("load", load, rows=data_ready["payload"]["rows"])

    It is sent by `kaon signal RUN data-ready '{"rows": 12}'`, or to the gates of all runs by `kaon signal --all data-ready`.

    Args:
        name: the gate's name in paths.
        signal: the signal's name, when it is another one.
        roles: any one of them may send it; none means anybody.
        timeout: how long it waits; 0 means without limit.
        on_timeout: what then happens: "fail" (default), "default" (which needs `default`) or "skip".
        default: the payload when the time is over.
        fields: what the payload, an object, consists of, each a `param(...)`; none means any JSON.
        where: CEL over `payload` and `params`, the parameters of the run: only signals for which it is true are taken, such as
            "payload.day == params.day". One without the fields that it uses is not taken.
        deadline: after this it counts as late, and goes on.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    what = f"signal {name!r}"
    wanted = name if signal is None else signal
    if not isinstance(wanted, str) or not _WORD.fullmatch(wanted):
        raise WorkflowError(
            f"{what}: {wanted!r} is no good name for a signal; use letters, digits and hyphens",
            source,
        )
    asked = d.SignalGate(
        name=wanted,
        roles=_roles(what, roles, source),
        fields=_fields(what, fields, source),
        where_cel=_where(what, where, source),
    )
    gate = d.Gate(signal=asked)
    if default is not _NOTHING:
        default = types.as_json(default)
        gate.default_json = values.literal(default, f"{what}: default", source)
        on_timeout = on_timeout or "default"
    later = Later()
    _set_timeout(gate, what, timeout, on_timeout, _SIGNAL_TIMEOUTS, later, source)
    if (gate.on_timeout == d.GATE_TIMEOUT_DEFAULT) != (default is not _NOTHING):
        raise WorkflowError(f'{what}: on_timeout="default" and default=... belong together', source)
    outputs = {"payload": d.VALUE_TYPE_ANY, "by": d.VALUE_TYPE_STRING}
    return _gate(name, gate, outputs, None, deadline, later, source)


@refuses_others
def timer(
    name: str, /, *, after: Any = None, at: Any = None, deadline: Duration | Value = 0
) -> Gate:
    """Wait for a duration or until a time; the gate has no outputs.

        submit >> timer("settle", after="10m") >> check

    Args:
        name: the gate's name in paths.
        after: a duration such as "10m", or a value known at run time that gives milliseconds.
        at: a datetime with its zone, the same as text (RFC 3339), or a value known at run time that gives such a text.
        deadline: after this it counts as late, and goes on.

    Raises:
        WorkflowError: one of them is wrong, or both are given.
    """
    source = caller()
    if (after is None) == (at is None):
        raise WorkflowError(
            f'timer {name!r}: give either after="10m" or at="2026-11-24T06:00:00Z"', source
        )
    if at is not None:
        gate = d.Gate(timer=d.TimerGate(at=d.Binding()))
        due: Any = at if isinstance(at, Value) else _moment(f"timer {name!r}: at", at, source)
    else:
        gate = d.Gate(timer=d.TimerGate(after_ms=d.Binding()))
        due = (
            after
            if isinstance(after, Value)
            else milliseconds(after, f"timer {name!r}: after", source)
        )
    return _gate(name, gate, {}, due, deadline, Later(), source)


@refuses_others
def last_run(
    name: str,
    /,
    workflow: str | Workflow,
    *,
    params: Mapping[str, Any] | None = None,
    outputs: Mapping[str, types.TypeLike] | None = None,
    max_age: Duration = 0,
    wait: bool = True,
    timeout: Duration | Value = 0,
    on_timeout: Literal["fail", "skip"] | None = None,
    deadline: Duration | Value = 0,
) -> Gate:
    """Wait for a successful run of a workflow; outputs: those that are named, and run_id (string).

        sales = last_run("sales", "daily-sales", params={"day": day}, outputs={"total": int}, timeout="6h")
        sales >> steps.python("report", report, total=sales["total"])

    The run that has succeeded last counts, also one from before. A run of a part of its workflow does not.

    Args:
        name: the gate's name in paths.
        workflow: the workflow's name, or the Workflow itself; then parameters are checked and its outputs are known.
        params: parameters that the run must have, such as a date; others may have any value.
        outputs: what is used of the outputs that it gives, by name, and their types.
        max_age: how long ago it may have ended when the gate begins; 0 means any time.
        wait: False: when there is no such run, the gate ends at once, as `on_timeout` says.
        timeout: how long the gate waits; 0 means without limit.
        on_timeout: what then happens: "fail" (default) or "skip".
        deadline: after this it counts as late, and goes on.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    what = f"gate {name!r}"
    child = workflow if isinstance(workflow, Workflow) else None
    wanted = names.check_block_name(child.name if child else workflow, "workflow", source)
    given = dict(params or {})
    for key in given:
        names.check_value_name(key, f"a parameter of {what}", source)
        if child is not None:
            _check_param(what, child, key, source)
    contents = d.RunGate().output_contents
    taken = _outputs_of(what, child, outputs, contents, source)
    if RUN_ID in taken:
        raise WorkflowError(f"{what}: {RUN_ID!r} is an output of the gate itself", source)
    run = d.RunGate(
        workflow=wanted,
        outputs=taken,
        output_contents=dict(contents),
        max_age_ms=milliseconds(max_age, f"{what}: max_age", source),
        no_wait=not wait,
    )
    gate = d.Gate(run=run)
    if not wait and (isinstance(timeout, Value) or timeout):
        raise WorkflowError(f"{what}: wait=False and timeout=... exclude one another", source)
    later = Later()
    _set_timeout(gate, what, timeout, on_timeout, _RUN_TIMEOUTS, later, source)
    return _gate(name, gate, {**taken, **_RUN}, None, deadline, later, source, given)


def sub_workflow(
    name: str,
    /,
    workflow: str | Workflow | Value,
    *,
    version: str = "",
    outputs: Mapping[str, types.TypeLike] | None = None,
    params: Mapping[str, Any] | None = None,
    timeout: Duration | Value = 0,
    deadline: Duration | Value = 0,
    locks: Iterable[Lock] | Lock | None = None,
    wait: bool = True,
    pass_params: bool = False,
    memo: Memo | bool | None = None,
    **more: Any,
) -> SubWorkflow:
    """Run another workflow of the same tenant in a child run, which is cancelled with this run.

        score = sub_workflow("score", "scoring", outputs={"rmse": float}, day=param("day", "date"))
        score >> steps.python("report", report, rmse=score["rmse"])

        sub_workflow("refresh", "dashboards", wait=False, pass_params=True)

    Args:
        name: the block's name in paths.
        workflow: the other workflow's name, or the Workflow itself; then parameters are checked, its outputs are known, and it is
            registered together with this one; or a value that gives the name when the block begins.
        version: "sha256:..."; by default the version that is current when the block starts.
        outputs: what is used of the outputs that it gives, by name, and their types.
        params: parameters by name, besides those given as further arguments.
        timeout: how long it may take in all.
        deadline: after this it counts as late, and goes on.
        locks: `mutex(...)` and `semaphore(...)` that it holds while the other workflow runs.
        wait: False: the block has succeeded as soon as the run is accepted. The run stands by itself: it is not cancelled with this
            one, and its failure changes nothing here. The block's only output is `run_id`.
        pass_params: True: parameters of this workflow that the other one has, too, and that are not given here, are passed on.
            What the other one does not have is left out.
        memo: True or Memo(...): takes the outputs of an earlier run of the same version with equal parameters.
        **more: further parameters by name.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    names.check_block_name(name, "sub-workflow", source)
    what = f"sub-workflow {name!r}"
    child = workflow if isinstance(workflow, Workflow) else None
    later = Later()
    called = later.take("sub_workflow.workflow", child.name if child else workflow, "")
    wanted = "" if later.values else names.check_block_name(called, "workflow", source)
    if later.values and version:
        raise WorkflowError(f"{what}: a version belongs to a workflow whose name is known", source)
    if not isinstance(version, str) or (
        version and not re.fullmatch(r"sha256:[0-9a-f]{64}", version)
    ):
        raise WorkflowError(
            f'{what}: version is "sha256:..." with 64 digits, not {version!r}', source
        )
    _check_options(what, child, more, source)
    given = {**(params or {}), **more}
    for key in given:
        names.check_value_name(key, f"a parameter of {what}", source)
    if child is not None:
        _check_params(what, child, given, bool(pass_params), source)
    remembered = _memo(what, memo, source)
    message = d.SubWorkflow()
    given_outputs = _outputs_of(what, child, outputs, message.output_contents, source)
    if not wait:
        timed = isinstance(timeout, Value) or isinstance(deadline, Value) or timeout or deadline
        _check_detached(what, outputs, remembered, timed, source)
    return SubWorkflow(
        name=name,
        workflow=wanted,
        version=version,
        params=given,
        outputs=given_outputs if wait else _RUN,
        contents=dict(message.output_contents),
        child=child,
        waits=bool(wait),
        pass_params=bool(pass_params),
        memo=remembered,
        **times(later, timeout, deadline, what, source),
        locks=checked_locks(locks, what, source),
        source=source,
    )


def _where(what: str, where: object, source: Source) -> str:
    """Check the condition of a signal gate, as far as it is known without its workflow."""
    if not isinstance(where, str):
        raise WorkflowError(
            f'{what}: where is a CEL expression such as "payload.day == params.day", not {where!r}',
            source,
        )
    checks.text(where, f"{what}: where", source)
    kinds = {"payload": ANY, "params": "map"}
    if where and (wrong := cel.problem(where, kinds)):
        raise WorkflowError(f"{what}: where: {wrong}", source)
    return where


def _gate(
    name: str,
    message: d.Gate,
    outputs: Mapping[str, d.ValueType.ValueType],
    due: Any,
    deadline: Duration | Value,
    later: Later,
    source: Source,
    params: Mapping[str, Any] | None = None,
) -> Gate:
    return Gate(
        name=names.check_block_name(name, "gate", source),
        message=message,
        outputs=outputs,
        due=due,
        params=params or {},
        **times(later, 0, deadline, f"gate {name!r}", source),
        source=source,
    )


def _fields(what: str, fields: Iterable[Parameter], source: Source) -> list[d.Parameter]:
    """Convert the fields of a gate to messages, in their order.

    Raises:
        WorkflowError: one is no `param(...)` with a type, is there twice, or is what no form can hold.
    """
    messages: list[d.Parameter] = []
    for each in fields:
        if not isinstance(each, Parameter) or each.type is None:
            raise WorkflowError(
                f'{what}: fields is a list such as [param("share", float)], not {each!r}', source
            )
        if each.computed is not None or types.is_artifact(each.type):
            raise WorkflowError(
                f"{what}: field {each.name!r} is no artifact, and its default is not computed",
                source,
            )
        if each.name in {other.name for other in messages}:
            raise WorkflowError(f"{what}: field {each.name!r} is there twice", source)
        messages += parameter_messages([each], {})
    return messages


def _roles(what: str, roles: object, source: Source) -> list[str]:
    if isinstance(roles, str) or not isinstance(roles, Iterable):
        raise WorkflowError(f'{what}: roles is a list such as ["owner"], not {roles!r}', source)
    listed = list(roles)
    for role in listed:
        if not isinstance(role, str) or not _WORD.fullmatch(role):
            raise WorkflowError(f"{what}: {role!r} is no good name for a role", source)
    return sorted(set(listed))


def _set_timeout(
    gate: d.Gate,
    what: str,
    timeout: Duration | Value,
    on_timeout: str | None,
    known: Mapping[str, d.GateTimeout.ValueType],
    later: Later,
    source: Source,
) -> None:
    wait = later.take("gate.timeout_ms", timeout, 0)
    gate.timeout_ms = milliseconds(wait, f"{what}: timeout", source)
    if on_timeout is None:
        return
    if on_timeout not in known:
        listed = ", ".join(f'"{each}"' for each in known)
        raise WorkflowError(f"{what}: on_timeout is one of {listed}, not {on_timeout!r}", source)
    if not (gate.timeout_ms or gate.run.no_wait or isinstance(timeout, Value)):
        raise WorkflowError(f"{what}: what happens on a time-out is given, but no timeout", source)
    gate.on_timeout = known[on_timeout]


def _moment(what: str, at: object, source: Source) -> str:
    try:
        time = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:
        time = None
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise WorkflowError(
            f'{what} is a time with its zone, such as "2026-11-24T06:00:00Z", not {at!r}', source
        )
    return time.isoformat().replace("+00:00", "Z")


def _memo(what: str, given: object, source: Source) -> d.Memo | None:
    if given is None or given is False:
        return None
    given = Memo() if given is True else given
    if not isinstance(given, Memo):
        raise WorkflowError(f"{what}: memo is True or Memo(...), not {given!r}", source)
    if given.code:
        raise WorkflowError(
            f"{what}: Memo(code) is for steps; of a sub-workflow the whole version counts", source
        )
    return given.to_proto(source)


def _check_detached(
    what: str, outputs: object, memo: d.Memo | None, timed: object, source: Source
) -> None:
    """Refuse what needs the end of a run that is not waited for."""
    named = {"outputs": outputs, "memo": memo, "timeout and deadline": timed}
    for name, given in named.items():
        if given:
            raise WorkflowError(
                f"{what}: wait=False does not go with {name}: nobody waits for the run's end",
                source,
            )


def _check_options(
    what: str, child: Workflow | None, more: Mapping[str, Any], source: Source
) -> None:
    """Refuse an option of another system, or a misspelt one, which would become a parameter."""
    for word, value in more.items():
        if word == declared_name(value) or (child is not None and word in child.parameters):
            continue
        if advice := sub_workflow_advice(word) or meant(word, _OPTIONS, most=1, cutoff=0.82):
            end = "" if advice.endswith("?") else "."
            raise WorkflowError(
                f"{what}: a sub-workflow has no option {word!r}; {advice}{end} "
                "A parameter of that name goes into params={...}",
                source,
            )


def _check_params(
    what: str, child: Workflow, given: Mapping[str, Any], passes: bool, source: Source
) -> None:
    for name in given:
        _check_param(what, child, name, source)
    if passes:
        # What is missing then is known when the workflow is complete.
        return
    for name, parameter in sorted(child.parameters.items()):
        if parameter.required and name not in given:
            raise WorkflowError(
                f"{what} gives no value for parameter {name!r} of workflow {child.name!r}", source
            )


def _check_param(what: str, child: Workflow, name: str, source: Source) -> None:
    if name not in child.parameters:
        known = ", ".join(sorted(child.parameters)) or "none"
        raise WorkflowError(
            f"{what}: workflow {child.name!r} has no parameter {name!r}; it has: {known}", source
        )


def _outputs_of(
    what: str, child: Workflow | None, given: object, contents: Any, source: Source
) -> dict[str, d.ValueType.ValueType]:
    """Return the outputs of another workflow that are used, and put what stands inside of them into `contents`."""
    declared = outputs_by_name(what, take_contents(contents, what, given, source), source)
    if child is None:
        return declared
    for name in declared:
        if name not in child.outputs:
            known = ", ".join(sorted(child.outputs)) or "none"
            raise WorkflowError(
                f"{what}: workflow {child.name!r} gives no {name!r}; it gives: {known}", source
            )
    return declared or dict(child.outputs)
