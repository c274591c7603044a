"""The command that looks whether a deployment is well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer

from kaon.cli import options, output
from kaon.client import Client
from kaon_wire.errors import KaonError
from kaonapi.runner.v1 import runner_pb2
from kaonapi.system.v1 import system_pb2

GOOD, WARNING, BAD = system_pb2.VERDICT_GOOD, system_pb2.VERDICT_WARNING, system_pb2.VERDICT_BAD
Publisher: TypeAlias = Annotated[
    str,
    typer.Option("--publisher", envvar="KAON_PUBLISHER", help="Address of the model publisher, host:port."),
]
_MARKS = {GOOD: ("ok", "green"), WARNING: ("warning", "yellow"), BAD: ("BAD", "red")}
# Timestamps of people's machines and the server's should not differ more than this.
SKEW_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: int
    text: str
    advice: str = ""


def doctor(
    server: options.Server = options.SERVER,
    publisher: Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Check a deployment, and say what is wrong with it and what to do. Exit code 1 when something does not work.

    \b
    kaon doctor
    kaon doctor --json | jq 'select(.verdict != "ok")'
    """
    with options.client(server=server, publisher=publisher) as client:
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
        advice = "is a coordinator running there, and is KAON_SERVER right?"
        yield Finding(name="coordinator", verdict=BAD, text=str(error), advice=advice)
    else:
        yield from _coordinator(told, began, time.time())
        yield from _runners(client)
    yield _publisher(client)


def _coordinator(told: system_pb2.DiagnoseResponse, began: float, ended: float) -> Iterator[Finding]:
    text = f"{told.owner}, version {told.version}, answers after {(ended - began) * 1000:.0f} ms"
    yield Finding(name="coordinator", verdict=GOOD, text=text)
    skew = told.time_us / 1e6 - (began + ended) / 2
    if abs(skew) > SKEW_SECONDS + (ended - began):
        advice = "set both clocks by NTP; schedules and time-outs follow the coordinator's"
        yield Finding(
            name="clocks",
            verdict=WARNING,
            text=f"the coordinator's is {skew:+.0f} s off this one",
            advice=advice,
        )
    for check in told.checks:
        yield Finding(name=check.name, verdict=check.verdict, text=check.text, advice=check.advice)


def _runners(client: Client) -> Iterator[Finding]:
    answer = client.list_runners()
    for away in client.list_pools().unreachable:
        advice = "its coordinator is the only one who knows the pool: look at that process"
        yield Finding(
            name=f"pool {away.pool}",
            verdict=BAD,
            text=f"{away.owner or 'nobody'}: {away.problem}",
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


# What is not as it should be, and what to do.
_POORLY = {
    runner_pb2.RUNNER_CONDITION_SLOW: "look at its machine's load and its way to the broker",
    runner_pb2.RUNNER_CONDITION_QUIET: "it has not been heard for a while: is it stopped or cut off?",
    runner_pb2.RUNNER_CONDITION_RESTING: "it handed back or lost steps repeatedly: look at its log",
}


def _publisher(client: Client) -> Finding:
    try:
        models = client.models.list()
    except KaonError as error:
        advice = "only steps of type publish need it; is KAON_PUBLISHER right?"
        return Finding(name="publisher", verdict=WARNING, text=str(error), advice=advice)
    return Finding(name="publisher", verdict=GOOD, text=f"knows {len(models)} models")


def _print(finding: Finding, *, as_json: bool) -> None:
    mark, colour = _MARKS[system_pb2.Verdict.ValueType(finding.verdict)]
    if as_json:
        output.print_json(
            {"check": finding.name, "verdict": mark.lower(), "text": finding.text, "advice": finding.advice}
        )
        return
    console = output.console()
    console.print(f"{mark:8}", style=colour, end="", markup=False)
    console.print(f"{finding.name}: {finding.text}", markup=False, highlight=False)
    if finding.advice and finding.verdict != GOOD:
        console.print(f"        {finding.advice}", style="dim", markup=False, highlight=False)
