"""The command about runners."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.text import Text

from kaon.cli import formatting, options, output
from kaon_wire.texts import counted
from kaonapi.runner.v1 import runner_pb2


def runners(
    pool: Annotated[
        str, typer.Option("--pool", metavar="POOL", help="List only runners of this pool.")
    ] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """List the runners: capacity, labels, load and condition.

    \b
    kaon runners
    kaon runners --pool gpu --json
    """
    with options.client(server=server) as client:
        answer = client.list_runners(pool)
    found = answer.runners
    if json:
        for runner in found:
            output.print_json(runner)
        return
    output.print_table(
        (
            "RUNNER",
            "POOL",
            "STATE",
            "SLOTS",
            "LOAD",
            "RUNNING",
            "QUEUED",
            "VERSION",
            "BUILDING",
            f"HEARD ({formatting.zone()})",
            "OFFERS",
        ),
        (
            (
                runner.runner_id,
                runner.pool,
                _condition(runner),
                str(runner.capacity.slots),
                f"{runner.load:.0%}",
                str(runner.running),
                str(runner.queued),
                runner.version,
                "; ".join(_build(build) for build in runner.building),
                formatting.moment_in_column(runner.last_heartbeat_time),
                _offers(runner),
            )
            for runner in found
        ),
        nothing="No runner has sent a heartbeat. Is one running, and does it reach the broker?",
    )
    _print_unreachable(answer.unreachable)


def pools(
    pool: Annotated[str, typer.Option("--pool", metavar="POOL", help="List only this pool.")] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """List the pools: runners, slots, waiting steps, environments that are being built, and missing capacity.

    \b
    kaon pools
    kaon pools --json | jq .demands
    """
    with options.client(server=server) as client:
        answer = client.list_pools(pool)
    if json:
        for each in answer.pools:
            output.print_json(each)
        return
    output.print_table(
        ("POOL", "OWNER", "RUNNERS", "SLOTS", "USED", "WAITING", "RELEASED", "BUILDING", "LACKS"),
        (
            (
                each.name,
                each.owner,
                str(each.runners),
                str(each.capacity.slots),
                str(each.used.slots),
                str(each.waiting),
                str(each.released),
                _environments(each.building),
                "; ".join(_demand(demand) for demand in each.demands),
            )
            for each in answer.pools
        ),
        nothing="There are no pools.",
    )
    _print_unreachable(answer.unreachable)


def _environments(count: int) -> str:
    return counted(count, "environment") if count else ""


def _build(build: runner_pb2.EnvironmentBuild) -> str:
    since = formatting.moment(build.start_time)
    return f"{build.requirements_file} for {build.key.path} since {since}"


def _demand(demand: runner_pb2.Demand) -> str:
    labels = f" with {' '.join(demand.labels)}" if demand.labels else ""
    impossible = f", {demand.impossible} that no runner can take" if demand.impossible else ""
    return f"{counted(demand.wanted.slots, 'slot')}{labels} for {counted(demand.steps, 'step')}{impossible}"


def _print_unreachable(unreachable: Iterable[runner_pb2.UnreachablePool]) -> None:
    for each in unreachable:
        owner = f" of {each.owner}" if each.owner else ""
        said = "" if each.unknown else " does not answer"
        told = Text(f"Pool {each.pool}{owner}{said}: {each.problem}", style="yellow")
        output.console().print(told, soft_wrap=True)


def _condition(runner: runner_pb2.Runner) -> str:
    name = (
        runner_pb2.RunnerCondition.Name(runner.condition).removeprefix("RUNNER_CONDITION_").lower()
    )
    return "open" if name == "unspecified" else name


def _offers(runner: runner_pb2.Runner) -> str:
    labels = " ".join(f"{name}={value}" for name, value in sorted(runner.labels.items()))
    memory = (
        f"{formatting.size(runner.capacity.memory_bytes)} " if runner.capacity.memory_bytes else ""
    )
    return f"{memory}{labels}"
