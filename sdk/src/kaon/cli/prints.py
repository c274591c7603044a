"""Prints what the steps of a run print, beside its live view."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from kaon.cli import formatting
from kaon.client import Client, KaonError
from kaon_wire.texts import counted
from kaonapi.log.v1 import log_pb2


class Prints:
    """What a run's steps print, each line with its step as prefix, until the run has ended.

    Args:
        client: reads them.
        run_id: the run.
        console: where they go; that of the live view, which makes room for them.
    """

    def __init__(self, client: Client, run_id: str, console: Console) -> None:
        self._client = client
        self._run_id = run_id
        self._console = console
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._print, name="prints", daemon=True)

    def start(self) -> None:
        """Print from now on, in a thread of its own; further calls change nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def finish(self) -> None:
        """Return when the last line is printed. The run has ended."""
        self._thread.join()

    def stop(self) -> None:
        """Print no more: the view has ended, and so does what was read."""
        self._over.set()

    def _print(self) -> None:
        try:
            for lines in self._client.logs(self._run_id, follow=True):
                print_lines(lines, self._out)
        except KaonError as error:
            self._out(Text(f"what the steps print cannot be read any more: {error}", style="red"))

    def _out(self, text: Text) -> None:
        if self._over.is_set():
            return
        try:
            self._console.print(text, soft_wrap=True)
        except (OSError, SystemExit):
            # Nobody reads, which is how rich says that the reader has gone. The view meets it, too, and ends the command.
            self._over.set()


def print_lines(lines: log_pb2.LogLines, out: Callable[[Text], None]) -> None:
    """Hand over lines for people, with what is missing among them."""
    if lines.HasField("gap"):
        out(Text(formatting.log_gap(lines), style="red"))
    for line in lines.lines:
        out(formatting.log_line(lines.key.path, line))
    if lines.dropped:
        dropped = f"{lines.key.path}: {counted(lines.dropped, 'line')} dropped: the step printed faster than the log is kept"
        out(Text(dropped, style="red"))
