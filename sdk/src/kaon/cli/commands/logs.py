"""The command about what steps print."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from kaon.cli import options, output, words
from kaonapi.log.v1 import log_pb2

_STYLES = {log_pb2.STREAM_STDERR: "yellow", log_pb2.STREAM_SYSTEM: "magenta"}


def logs(
    run: options.RunId,
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="A step, or a block with all its steps.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Stay until the run ends, and show new lines.")
    ] = False,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Print what the steps of a run printed.

    \b
    kaon logs 01JD3Z...
    kaon logs 01JD3Z... 'cycle#2/regions[US]/train-region' -f
    """
    with options.client(server=server) as client:
        for lines in client.logs(run, path, follow=follow):
            if json:
                output.print_json(lines)
            else:
                _print(lines)


def _print(lines: log_pb2.LogLines) -> None:
    out = output.console()
    if lines.HasField("gap"):
        out.print(Text(_gap(lines), style="red"), soft_wrap=True)
    for line in lines.lines:
        text = Text.assemble(
            (f"{words.clock(line.time_us)} ", "dim"),
            (f"{lines.key.path} ", "cyan"),
            (line.text, _STYLES.get(line.stream, "")),
        )
        out.print(text, soft_wrap=True)
    if lines.dropped:
        out.print(
            Text(
                f"{lines.key.path}: {lines.dropped} lines were left out, the step printed too fast",
                style="red",
            )
        )


def _gap(lines: log_pb2.LogLines) -> str:
    key, gap = lines.key, lines.gap
    missing = gap.last_sequence - gap.first_sequence + 1
    return f"{key.path}: {missing} lines are left out here, {gap.first_sequence} to {gap.last_sequence} of attempt {key.attempt}"
