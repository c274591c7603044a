"""Follows a run in the terminal until it ends; Ctrl-C stops a run that belongs to the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from kaon.cli import formatting, output
from kaon.cli.live import RunView
from kaon.cli.prints import Prints
from kaon.cli.waits import Waits
from kaon.client import Client, KaonError, NotFound
from kaon_wire.definitions.graphs import all_blocks
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2
from kaonapi.workflow.v1 import definition_pb2

# How the run ended, as an exit code.
EXIT_CODES = {run_pb2.STATUS_SUCCEEDED: 0, run_pb2.STATUS_CANCELLED: 2}
FAILED = 1


class Follower:
    """Shows one run until it ends.

    Args:
        client: reads the run.
        run_id: the run.
        definition: its workflow.
        view: what people see of it.
        json: prints each update as a line of JSON instead.
        prints: shows what the steps print, too.
        owns: the first Ctrl-C cancels the run and stays until its hooks have run; the second ends at once.
    """

    def __init__(
        self,
        client: Client,
        run_id: str,
        definition: definition_pb2.WorkflowDefinition,
        view: RunView,
        *,
        json: bool,
        prints: bool = False,
        owns: bool = False,
    ) -> None:
        built = {
            block.name for block in all_blocks(definition.body) if block.step.requirements_file
        }
        self._client = client
        self._run_id = run_id
        self._view = view
        self._json = json
        self._owns = owns
        self._seq = 0
        self._console = output.console()
        self._waits = Waits(
            client, run_id, self._say_wait, built=lambda path: path.rpartition("/")[2] in built
        )
        self._prints = Prints(client, run_id, self._console) if prints and not json else None

    def follow(self) -> int:
        """Show the run until it ends, and return its exit code.

        Raises:
            KeyboardInterrupt: Ctrl-C; of a run that the command owns, the second.
            KaonError: the stream ended before the run did.
        """
        try:
            self._show()
        except KeyboardInterrupt:
            if not self._owns:
                output.note(
                    f"Run {self._run_id} goes on. Watch it again: kaon watch {self._run_id}. Cancel it: kaon cancel {self._run_id}"
                )
                raise
            self._stop()
        finally:
            self._waits.stop()
            if self._prints is not None:
                self._prints.stop()
        if not self._view.ended:
            raise KaonError(f"watch of run {self._run_id} ended before the run")
        return EXIT_CODES.get(self._view.status, FAILED)

    def _show(self) -> None:
        updates = self._noted(self._client.watch(self._run_id, self._seq))
        if not self._json:
            self._waits.start()
            self._view.follow(updates, self._console, self._prints)
            return
        for update in updates:
            self._view.feed(update)
            output.print_json(update)

    def _say_wait(self, path: str, text: str) -> None:
        self._view.waits(path, text, self._console)

    def _noted(
        self, updates: Iterator[run_service_pb2.WatchRunResponse]
    ) -> Iterator[run_service_pb2.WatchRunResponse]:
        for update in updates:
            self._waits.note(update.event)
            if update.event.run_submitted.HasField("fork") and not self._json:
                self._view.begins_with(self._kept(update.event.run_submitted.fork))
            yield update
            # What was not handled when Ctrl-C came is shown again.
            self._seq = max(self._seq, update.event.seq)

    def _kept(self, fork: history_pb2.RunFork) -> Iterator[history_pb2.HistoryEvent]:
        """Yield what happened in the run that was forked, and in what that one was forked from, until its state was taken."""
        # It may have been deleted since.
        with suppress(NotFound):
            for event in self._client.history(fork.run_id):
                if event.seq > fork.seq:
                    return
                if event.run_submitted.HasField("fork"):
                    yield from self._kept(event.run_submitted.fork)
                yield event

    def _stop(self) -> None:
        """Cancel the run and show it until its hooks have run."""
        output.note(
            "Cancelling the run: its steps stop, then its hooks run. Press Ctrl-C again to exit at once."
        )
        try:
            self._client.cancel(self._run_id, "Ctrl-C")
            self._show()
        except KeyboardInterrupt:
            output.note(f"Exited at once: unfinished hooks of run {self._run_id} were stopped.")
            raise
        steps = self._client.run(self._run_id).steps
        stopped = [step.path for step in steps if step.status == run_pb2.STATUS_CANCELLED]
        output.note(
            f"Run {self._run_id} is {formatting.status(self._view.status)}; cancelled steps: {', '.join(stopped) or 'none'}."
        )
