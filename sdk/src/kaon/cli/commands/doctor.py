"""The command that checks a deployment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer

from kaon.cli import options, output
from kaon.client import Client
from kaon_wire.errors import KaonError
from kaon_wire.texts import counted
from kaonapi.runner.v1 import runner_pb2
from kaonapi.system.v1 import system_pb2

GOOD, WARNING, BAD = system_pb2.VERDICT_GOOD, system_pb2.VERDICT_WARNING, system_pb2.VERDICT_BAD
Publisher: TypeAlias = Annotated[
    str,
    typer.Option(
        "--publisher",
        metavar="HOST:PORT",
        envvar="KAON_PUBLISHER",
        help="Address of the model publisher, host:port.",
    ),
]
_MARKS = {GOOD: ("ok", "green"), WARNING: ("warning", "yellow"), BAD: ("BAD", "red")}
# The clocks of this machine and of the coordinator may differ by this much.
SKEW_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    name: str
    verdict: int
    text: str
    advice: str = ""


def doctor(
    server: options.Server = options.SERVER,
    publisher: Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Check a deployment and print each problem with advice. Exit codes: 0 no failed check, 1 at least one.

    \b
    kaon doctor
    kaon doctor --json | jq 'select(.verdict != "ok")'
    """
    with options.client(server=server, publisher=publisher, probes=False) as client:
        findings = list(_findings(client))
    for finding in findings:
        _print(finding, as_json=json)
    if any(finding.verdict == BAD for finding in findings):
        raise typer.Exit(1)


def _findings(client: Client) -> Iterator[Finding]:
    began = time.time()
    try:
        told = client.diagnose()
    except KaonError as error:
        advice = "check that a coordinator runs there and that KAON_SERVER is right"
        yield Finding(name="coordinator", verdict=BAD, text=str(error), advice=advice)
    else:
        yield from _coordinator(told, began, time.time())
        yield from _runners(client)
    yield _publisher(client)


def _coordinator(
    told: system_pb2.DiagnoseResponse, began: float, ended: float
) -> Iterator[Finding]:
    text = f"{told.owner}, version {told.version}, answered after {(ended - began) * 1000:.0f} ms"
    yield Finding(name="coordinator", verdict=GOOD, text=text)
    skew = told.time_us / 1e6 - (began + ended) / 2
    if abs(skew) > SKEW_SECONDS + (ended - began):
        advice = "synchronize both clocks by NTP; schedules and time-outs follow the clock of the coordinator"
        yield Finding(
            name="clocks",
            verdict=WARNING,
            text=f"the clock of the coordinator differs by {skew:+.0f} s from this one",
            advice=advice,
        )
    for check in told.checks:
        yield Finding(name=check.name, verdict=check.verdict, text=check.text, advice=check.advice)


def _runners(client: Client) -> Iterator[Finding]:
    answer = client.list_runners()
    for away in client.list_pools().unreachable:
        advice = "only its coordinator knows the state of the pool: check that process"
        if away.unknown:
            advice = "correct the name in the workflow, or serve the pool: add it to KAON_POOLS of all services"
        yield Finding(
            name=f"pool {away.pool}",
            verdict=BAD,
            text=away.problem if away.unknown else f"{away.owner or 'no owner'}: {away.problem}",
            advice=advice,
        )
    versions = {runner.version for runner in answer.runners}
    if len(versions) > 1:
        text = f"several versions: {', '.join(sorted(versions))}"
        yield Finding(name="runners", verdict=WARNING, text=text, advice="finish the upgrade")
    for runner in answer.runners:
        if runner.condition in _POORLY:
            condition = runner_pb2.RunnerCondition.Name(runner.condition)
            text = condition.removeprefix("RUNNER_CONDITION_").lower()
            yield Finding(
                name=f"runner {runner.runner_id}",
                verdict=WARNING,
                text=text,
                advice=_POORLY[runner.condition],
            )


# Conditions that need attention, and the advice for each.
_POORLY = {
    runner_pb2.RUNNER_CONDITION_SLOW: "check the load of its machine and its connection to the broker",
    runner_pb2.RUNNER_CONDITION_QUIET: "it has sent no heartbeat for a while: check that it runs and reaches the broker",
    runner_pb2.RUNNER_CONDITION_RESTING: "it handed back or lost steps repeatedly: check its log",
}


def _publisher(client: Client) -> Finding:
    try:
        models = client.models.list()
    except KaonError as error:
        advice = "only steps of type publish need it; check KAON_PUBLISHER"
        return Finding(name="publisher", verdict=WARNING, text=str(error), advice=advice)
    return Finding(name="publisher", verdict=GOOD, text=f"lists {counted(len(models), 'model')}")


def _print(finding: Finding, *, as_json: bool) -> None:
    mark, colour = _MARKS[system_pb2.Verdict.ValueType(finding.verdict)]
    if as_json:
        output.print_json(
            {
                "check": finding.name,
                "verdict": mark.lower(),
                "text": finding.text,
                "advice": finding.advice,
            }
        )
        return
    console = output.console()
    console.print(f"{mark:8}", style=colour, end="", markup=False)
    console.print(f"{finding.name}: {finding.text}", markup=False, highlight=False, soft_wrap=True)
    if finding.advice and finding.verdict != GOOD:
        console.print(
            f"        {finding.advice}", style="dim", markup=False, highlight=False, soft_wrap=True
        )
