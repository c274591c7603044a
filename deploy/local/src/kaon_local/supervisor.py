"""Running a set of components: started in dependency order, in parallel where independent, stopped in reverse."""

import contextlib
import os
import select
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from kaon_local.errors import LocalError
from kaon_local.server import Component

C = TypeVar("C", bound=Component)
Report = Callable[[str], None]


class Supervisor:
    """Owns components from `start` to `stop`; as a context manager, from enter to exit.

    Args:
        report: called with one line of text for each component that came up or went down, and one for what its start fell back to.
    """

    def __init__(self, *, report: Report = lambda line: None) -> None:
        self._report = report
        self._components: dict[str, Component] = {}
        self._after: dict[str, frozenset[str]] = {}
        self._stopping = threading.Event()

    def add(self, component: C, *, after: Sequence[Component] = ()) -> C:
        """Add a component that starts once those in `after` (added before) are healthy, and stops before they do."""
        if component.name in self._components:
            raise LocalError(f"two components are called {component.name}")
        names = frozenset(other.name for other in after)
        if strangers := names - self._components.keys():
            raise LocalError(
                f"{component.name} is to start after {', '.join(sorted(strangers))}: add those first"
            )
        self._components[component.name] = component
        self._after[component.name] = names
        return component

    def remove(self, component: Component) -> None:
        """Forget a component that has been stopped, and that no other one starts after."""
        if component.running:
            raise LocalError(f"{component.name} is running: stop it first")
        if users := [name for name, others in self._after.items() if component.name in others]:
            raise LocalError(
                f"{', '.join(sorted(users))} starts after {component.name}: remove that first"
            )
        del self._components[component.name], self._after[component.name]

    @property
    def components(self) -> tuple[Component, ...]:
        """In the order in which they were added."""
        return tuple(self._components.values())

    def environment(self) -> dict[str, str]:
        """The endpoints of all components together, as environment variables."""
        return {
            key: value
            for component in self.components
            for key, value in component.endpoints().items()
        }

    def start(self) -> None:
        """Return when all are healthy. If one fails, or the wait is interrupted, all are stopped and the error is raised."""
        self._stopping.clear()
        try:
            self._walk(self._after, self._start_one)
        except BaseException:
            self.stop()
            raise

    def stop(self, *, kill: Collection[Component] = ()) -> None:
        """Stop all, the dependent ones first. Every one is tried; the first error is raised at the end.

        Args:
            kill: Those that are killed when their turn comes, because nobody uses their state again.
        """
        self._stopping.set()
        before = {
            name: frozenset(n for n, after in self._after.items() if name in after)
            for name in self._components
        }
        self._walk(before, partial(self._stop_one, kill={each.name for each in kill}))

    def wait_for_end(self, seconds: float | None = None) -> Component | None:
        """Wait until a component ends by itself and return it; None after `seconds`."""
        with contextlib.ExitStack() as stack:
            poller = select.poll()
            owners: dict[int, Component] = {}
            for component in self.components:
                if not component.running:
                    return component
                for pid in component.pids:
                    handle = os.pidfd_open(pid)
                    stack.callback(os.close, handle)
                    poller.register(handle, select.POLLIN)
                    owners[handle] = component
            ended = poller.poll(None if seconds is None else seconds * 1000)
        return owners[ended[0][0]] if ended else None

    def _start_one(self, name: str) -> None:
        component = self._components[name]
        if self._stopping.is_set():
            return
        component.start()
        if self._stopping.is_set():
            component.stop()
            return
        where = "  ".join(component.endpoints().values())
        self._report(f"{name:<16} up in {component.started_in:4.1f} s  {where}".rstrip())
        if component.notice:
            self._report(f"{name:<16} NOTE: {component.notice}")

    def _stop_one(self, name: str, *, kill: Collection[str]) -> None:
        component = self._components[name]
        if component.pids:
            (component.kill if name in kill else component.stop)()
            self._report(f"{name:<16} stopped")

    def _walk(self, after: Mapping[str, frozenset[str]], work: Callable[[str], None]) -> None:
        """Do `work` for every name once it is done for all names in `after[name]`, in parallel where that allows it."""
        errors: list[BaseException] = []
        with (
            ThreadPoolExecutor(max(1, len(after)), thread_name_prefix="supervisor") as pool,
            self._until_interrupted(),
        ):
            waiting = dict(after)
            running: dict[Future[None], str] = {}
            done: set[str] = set()
            while waiting or running:
                for name in [name for name, others in waiting.items() if others <= done]:
                    del waiting[name]
                    running[pool.submit(work, name)] = name
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    done.add(running.pop(future))
                    errors += [error] if (error := future.exception()) else []
                if errors and not self._stopping.is_set():
                    self._abandon()
        if errors:
            raise errors[0]

    @contextlib.contextmanager
    def _until_interrupted(self) -> Iterator[None]:
        """An interrupted wait ends what is being started, so that the threads that start it come back."""
        try:
            yield
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Start nothing more and end what has a process."""
        self._stopping.set()
        for component in reversed(self.components):
            component.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
