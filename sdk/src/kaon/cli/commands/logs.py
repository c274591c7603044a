"""The command that prints the logs of steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kaon.cli import options, output, writing
from kaon.cli.log_selection import LastLines, Selection, moment_us, pattern
from kaon.cli.prints import print_lines
from kaon.client import Client
from kaonapi.log.v1 import log_pb2


def logs(
    run: options.RunId,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[STEP]",
            help="Path or name of a step, or of a block with all its steps; default: all.",
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Print new lines until the run ends.")
    ] = False,
    tail: Annotated[
        int,
        typer.Option(
            "-n", "--tail", metavar="N", min=0, help="Print only the last N lines; 0: all."
        ),
    ] = 0,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Print only lines since then: 10m (ago), or 2026-12-01T08:00.",
        ),
    ] = "",
    grep: Annotated[
        str,
        typer.Option(
            "--grep", metavar="REGEX", help="Print only lines in which the expression is found."
        ),
    ] = "",
    attempt: Annotated[
        int,
        typer.Option(
            "--attempt",
            metavar="N",
            min=0,
            help="Only this attempt; 0: all, with --whole the newest.",
        ),
    ] = 0,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Print the whole log of one attempt, without names and times."
        ),
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="With --whole: write the log to this file."),
    ] = None,
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Print the logs of the steps of a run. The log of a failed step ends with its traceback.

    A name stands for all steps of that name, in all cells. A very long log is shortened to its first and last lines, with the
    number of lines between them. When the attempt has ended, --whole prints all of it. With --json each line is one JSON object.

    \b
    kaon logs 01JD3Z...
    kaon logs 01JD3Z... train -f                # all cells of train, until the run ends
    kaon logs 01JD3Z... 'cycle#2/regions[US]/train-region' --tail 50
    kaon logs 01JD3Z... --since 10m --grep 'loss|error'
    kaon logs 01JD3Z... train --whole --output train.log
    kaon logs 01JD3Z... --state .kaon/local     # the logs that `kaon run --state` wrote
    """
    if whole and (follow or json or tail or since or grep or not path):
        raise typer.BadParameter(
            "--whole needs one STEP, and excludes all options but --attempt and --output"
        )
    if to and not whole:
        raise typer.BadParameter("--output needs --whole")
    wanted = Selection(attempt=attempt, since_us=moment_us(since, "--since"), pattern=pattern(grep))
    with options.reached(server=server, state=state) as client:
        if whole:
            writing.write_pieces(client.whole_log(run, path, attempt), to)
            return
        console = output.console()
        for lines in _selected(client, run, path, wanted, tail=tail, follow=follow):
            if json:
                _print_json(lines)
            else:
                print_lines(lines, partial(console.print, soft_wrap=True))


def _selected(
    client: Client, run: str, path: str, wanted: Selection, *, tail: int, follow: bool
) -> Iterator[log_pb2.LogLines]:
    def read(*, follow: bool) -> Iterator[log_pb2.LogLines]:
        return (
            found for lines in client.logs(run, path, follow=follow) if (found := wanted.of(lines))
        )

    if not tail:
        yield from read(follow=follow)
        return
    last = LastLines(count=tail)
    yield from last.of(read(follow=False))
    if follow:
        yield from last.news(read(follow=True))


def _print_json(lines: log_pb2.LogLines) -> None:
    """Print each line as an object; so are lines that are missing."""
    where = {"run_id": lines.key.run_id, "path": lines.key.path, "attempt": lines.key.attempt}
    if lines.HasField("gap"):
        output.print_json({**where, "gap": output.as_dict(lines.gap)})
    for line in lines.lines:
        output.print_json({**where, **output.as_dict(line)})
    if lines.dropped:
        output.print_json({**where, "dropped": lines.dropped})
