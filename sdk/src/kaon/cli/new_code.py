"""Runs that go on with new code: a fork into the version that a file defines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from kaon.cli import formatting, options, output
from kaon.cli.values import named
from kaon.client import Client, Conflict
from kaon.client import params as parameters
from kaon.dsl import Workflow
from kaon_wire.texts import counted
from kaonapi.run.v1 import run_pb2, run_service_pb2

_ENDS = frozenset(
    {
        run_pb2.STATUS_SUCCEEDED,
        run_pb2.STATUS_FAILED,
        run_pb2.STATUS_CANCELLED,
        run_pb2.STATUS_TIMED_OUT,
    }
)
_NAMED = 5


def go_on(
    client: Client,
    run: str,
    file: Path,
    *,
    seq: int = 0,
    param: list[str] | None = None,
    reset: Sequence[str] = (),
    failed: bool = False,
    key: str = "",
    of_ended: bool = True,
    json: bool,
) -> None:
    """Register the workflow of a file, start a run with it from the state of another run, and say what is kept.

    Args:
        client: the client.
        run: the other run.
        file: defines the workflow of this run, changed.
        seq: the event of the other run from whose state the new one goes on; 0 means the newest.
        param: -p options, set over the other run's parameters.
        reset: what begins anew.
        failed: what had failed begins anew.
        key: idempotency key.
        of_ended: refuse a run that has not ended, which would go on beside the new one.
        json: print a line of JSON.

    Raises:
        Conflict: the run has not ended, or the version does not fit what it has done.
    """
    old = client.summary(run)
    if of_ended and old.status not in _ENDS:
        raise Conflict(
            f"run {run} is {formatting.status(old.status)}: wait for its end or cancel it; "
            f"`kaon fork {run} --file {shlex.quote(str(file))}` goes on with the new code in a second run beside it"
        )
    loaded = options.load(file, old.workflow)
    params = parameters.parse(loaded.definition(), options.split_params(param))
    made, told = forked(
        client, old, loaded, seq=seq, params=params, reset=reset, failed=failed, key=key
    )
    if json:
        output.print_json(made)
        return
    what = "Submitted run" if made.created else "Key already used by run"
    output.say(f"{what} {made.run.run_id} of {named(made.run)}, with the code of {file}.")
    output.say(f"It goes on from {f'event {seq} of ' if seq else ''}run {told}")


def forked(
    client: Client,
    old: run_pb2.Run,
    loaded: Workflow,
    *,
    seq: int = 0,
    params: Mapping[str, object] | None = None,
    reset: Sequence[str] = (),
    failed: bool,
    key: str = "",
) -> tuple[run_service_pb2.ForkRunResponse, str]:
    """Register a workflow and fork a run into it. Return the answer, and what is kept of which run and version.

    A version that is refused does not become the workflow's current one.

    Raises:
        Conflict: the version does not fit what the run has done.
    """
    version = client.register(loaded, aside=True).workflow.version
    asked = partial(
        client.fork, old.run_id, seq, params, reset=reset, version=version, failed=failed
    )
    plan = asked(dry_run=True).plan
    had = "the same version" if version == old.version else f"version {old.version[:19]}"
    made = asked(key=key)
    client.register(loaded)
    return made, f"{old.run_id} ({had}): {_kept(plan)}."


def _kept(plan: run_service_pb2.CommandPlan) -> str:
    kept = f"{counted(plan.kept, 'step that succeeded is', 'steps that succeeded are')} kept"
    paths = list(plan.resets[:_NAMED])
    more = f" and {plan.resets_total - _NAMED} more" if plan.resets_total > _NAMED else ""
    verb = "begins" if plan.resets_total == 1 else "begin"
    return f"{kept}; {', '.join(paths)}{more} {verb} anew" if paths else kept
