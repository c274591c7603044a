"""The command about runners."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import options, output, words
from kaonapi.runner.v1 import runner_pb2


def runners(
    pool: Annotated[str, typer.Option("--pool", help="Only runners of this pool.")] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """List the runners: what they offer, and how busy they are.

    \b
    kaon runners
    kaon runners --pool gpu --json
    """
    with options.client(server=server) as client:
        found = client.runners(pool)
    if json:
        for runner in found:
            output.print_json(runner)
        return
    output.print_table(
        ("RUNNER", "POOL", "SLOTS", "RUNNING", "QUEUED", "HEARD", "OFFERS"),
        (
            (
                runner.runner_id,
                runner.pool,
                str(runner.capacity.slots),
                str(runner.running),
                str(runner.queued),
                words.moment(runner.last_heartbeat_time),
                _offers(runner),
            )
            for runner in found
        ),
        nothing="No runner is heard of. Is one running, and does it reach the broker?",
    )


def _offers(runner: runner_pb2.Runner) -> str:
    labels = " ".join(f"{name}={value}" for name, value in sorted(runner.labels.items()))
    memory = f"{words.size(runner.capacity.memory_bytes)} " if runner.capacity.memory_bytes else ""
    return f"{'draining ' if runner.draining else ''}{memory}{labels}"
