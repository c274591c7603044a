"""The live view of a run: feed it what a watch yields, and print it or let it follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from rich.console import Console, RenderableType
from rich.live import Live

from kaon.cli import formatting
from kaon.cli.live.lines import details, line
from kaon.cli.live.render import Picture
from kaon.cli.live.tree import RunTree
from kaon.cli.screen import Screen
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2
from kaonapi.workflow.v1 import definition_pb2

_HEAD_AND_FOOT_ROWS = 5
_WAITING = frozenset({run_pb2.STATUS_READY, run_pb2.STATUS_RUNNING})
Updates: TypeAlias = Iterable[run_service_pb2.WatchRunResponse | history_pb2.HistoryEvent]


class Beside(Protocol):
    """What prints to the console of a view, too."""

    def start(self) -> None:
        """Print from now on."""

    def finish(self) -> None:
        """Return when all is printed; the run has ended."""


class RunView:
    """What a run looks like. Thread-safe: it may be fed while it is drawn.

        view = RunView(workflow.definition())
        status = view.follow(client.watch(run_id))

    Args:
        definition: shows what has not begun yet; without it the view shows what it hears of.
        server: address that commands must name to answer a gate; empty when they find it by themselves.
        clock: seconds since the epoch.
        tracebacks: follows a failure with its traceback; False where the log of the step is printed, too, which ends with it.
    """

    def __init__(
        self,
        definition: definition_pb2.WorkflowDefinition | None = None,
        *,
        server: str = "",
        clock: Callable[[], float] = time.time,
        tracebacks: bool = True,
    ) -> None:
        self.tracebacks = tracebacks
        # Errors of steps that were printed: the blocks around them end with the same ones.
        self._told: set[str] = set()
        self.tree = RunTree(definition, server=server)
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.tree.ended

    @property
    def status(self) -> run_pb2.Status.ValueType:
        """The run's status."""
        return self.tree.root.status

    def feed(self, message: run_service_pb2.WatchRunResponse | history_pb2.HistoryEvent) -> None:
        """Apply one message; call it in the order of arrival."""
        with self._lock:
            if isinstance(message, history_pb2.HistoryEvent):
                self.tree.event(message)
            elif message.HasField("event"):
                self.tree.event(message.event)
            elif message.HasField("progress"):
                self.tree.progress(message.progress)

    def begins_with(self, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Take over what has ended in other runs, as a fork does."""
        for event in events:
            # What became of those runs themselves says nothing of this one.
            if not (event.WhichOneof("event") or "").startswith("run_"):
                self.feed(event)

    def render(self, max_rows: int | None = None) -> RenderableType:
        """Return the picture, as it is now."""
        now_us = int(self._clock() * 1e6)
        return Picture(tree=self.tree, now_us=now_us, max_lines=max_rows, lock=self._lock)

    def __rich__(self) -> RenderableType:
        return self.render()

    def waits(self, path: str, text: str, console: Console) -> None:
        """Show what a step waits for that is READY, or whose environment is being built; nothing when it waits no longer."""
        with self._lock:
            node = self.tree.node(path)
            if node is None or node.status not in _WAITING:
                return
            node.message = text
        if text and not console.is_terminal:
            told = f"{formatting.clock(int(self._clock() * 1e6))}  {path}  waits: {text}"
            console.print(told, soft_wrap=True, markup=False, highlight=False)

    def follow(
        self,
        updates: Updates,
        console: Console | None = None,
        beside: Beside | None = None,
    ) -> run_pb2.Status.ValueType:
        """Show the updates as they arrive, and return the status of the run after the last one.

        On a terminal the picture is redrawn in place; elsewhere each fact is one line. `beside` prints to the same console.
        """
        console = console or Screen()
        if beside is not None:
            beside.start()
        if console.is_terminal:
            self._redraw(updates, console, beside)
        else:
            self._print_lines(updates, console, beside)
        return self.status

    def _redraw(self, updates: Updates, console: Console, beside: Beside | None) -> None:
        def picture() -> RenderableType:
            return self.render(max_rows=max(console.height - _HEAD_AND_FOOT_ROWS, 3))

        with Live(get_renderable=picture, console=console, refresh_per_second=5, transient=True):
            for update in updates:
                self.feed(update)
                event = update if isinstance(update, history_pb2.HistoryEvent) else update.event
                if details(event):
                    # Above the picture, which has room for one line of it.
                    self._print_event(event, console)
            if beside is not None:
                beside.finish()
        console.print(self.render())

    def _print_lines(self, updates: Updates, console: Console, beside: Beside | None) -> None:
        # The end of a run is the last that is printed, unless the run goes on: a retry follows it.
        end: history_pb2.HistoryEvent | None = None
        for update in updates:
            if end is not None:
                self._print_event(end, console)
            self.feed(update)
            event = update if isinstance(update, history_pb2.HistoryEvent) else update.event
            end = event if event.HasField("run_ended") else None
            if end is None:
                self._print_event(event, console)
        if beside is not None and self.ended:
            beside.finish()
        if end is not None:
            self._print_event(end, console)

    def _print_event(self, event: history_pb2.HistoryEvent, console: Console) -> None:
        if (text := self._line(event)) is not None:
            console.print(text, soft_wrap=True, markup=False, highlight=False)
        if self.tracebacks and (more := details(event).strip("\n")):
            text = f"    {formatting.indented(more)}"
            console.print(text, soft_wrap=True, markup=False, highlight=False, style="dim")

    def _line(self, event: history_pb2.HistoryEvent) -> str | None:
        """Describe an event; for a gate that begins to wait, name the command that answers it."""
        text = line(event, self._told)
        node = self.tree.node(event.block_started.path)
        if text is None or node is None or node.kind != "gate":
            return text
        return f"{formatting.clock(event.time_us)}  {node.path}  waits for {node.message}" + (
            f" ({node.answer})" if node.answer else ""
        )
