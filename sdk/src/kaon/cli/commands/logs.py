"""The command that prints the logs of steps."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from kaon.cli import formatting, options, output
from kaon_wire.errors import KaonError
from kaonapi.log.v1 import log_pb2

_STYLES = {log_pb2.STREAM_STDERR: "yellow", log_pb2.STREAM_SYSTEM: "magenta"}


def logs(
    run: options.RunId,
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="Path of a step, or of a block with all its steps.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Print new lines until the run ends.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Print the whole log of one attempt, without names and times.")
    ] = False,
    attempt: Annotated[
        int, typer.Option("--attempt", metavar="N", min=0, help="With --whole: the attempt; 0 is the newest.")
    ] = 0,
    to: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="With --whole: write the log to this file."),
    ] = None,
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Print the logs of the steps of a run.

    A very long log is shortened to its first and last lines, with the number of lines between them. When the attempt has ended,
    --whole prints all of it.

    \b
    kaon logs 01JD3Z...
    kaon logs 01JD3Z... 'cycle#2/regions[US]/train-region' -f
    kaon logs 01JD3Z... train --whole --output train.log
    kaon logs 01JD3Z... --state .kaon/local     # the logs that `kaon run --state` wrote
    """
    if whole and (follow or json or not path):
        raise typer.BadParameter("--whole needs the PATH of one step, and excludes --follow and --json")
    if not whole and (attempt or to):
        raise typer.BadParameter("--attempt and --output need --whole")
    with options.reached(server=server, state=state) as client:
        if whole:
            _copy(client.whole_log(run, path, attempt), to)
            return
        for lines in client.logs(run, path, follow=follow):
            if json:
                output.print_json(lines)
            else:
                _print(lines)


def _copy(pieces: Iterator[bytes], to: Path | None) -> None:
    """Write the pieces to standard output, or to a file that appears when it is complete."""
    if to is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    try:
        if to.exists() and not to.is_file():  # a device or a pipe
            with to.open("wb") as target:
                target.writelines(pieces)
            return
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as directory:
            partial = Path(directory) / "log"
            with partial.open("wb") as target:
                target.writelines(pieces)
            partial.replace(to)
    except OSError as error:
        raise KaonError(f"cannot write {to}: {error}") from error


def _print(lines: log_pb2.LogLines) -> None:
    out = output.console()
    if lines.HasField("gap"):
        out.print(Text(_gap(lines), style="red"), soft_wrap=True)
    for line in lines.lines:
        text = Text.assemble(
            (f"{formatting.clock(line.time_us)} ", "dim"),
            (f"{lines.key.path} ", "cyan"),
            (line.text, _STYLES.get(line.stream, "")),
        )
        out.print(text, soft_wrap=True)
    if lines.dropped:
        out.print(
            Text(
                f"{lines.key.path}: {lines.dropped} lines dropped: the step printed faster than the log is kept",
                style="red",
            )
        )


def _gap(lines: log_pb2.LogLines) -> str:
    key, gap = lines.key, lines.gap
    missing = gap.last_sequence - gap.first_sequence + 1
    return (
        f"{key.path}: {missing} lines left out, {gap.first_sequence} to {gap.last_sequence}. When the attempt has ended, "
        f"print them with: kaon logs {key.run_id} {shlex.quote(key.path)} --whole --attempt {key.attempt}"
    )
