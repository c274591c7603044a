"""Tells which tests take most of the processor: `pytest --processor 40`, on one worker or several.

A test counts with what it waits for: its fixtures, and the processes that it and they have started. With several workers, what a
server does meanwhile for another worker is not told apart.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

import psutil
import pytest

OPTION = "--processor"
_PROPERTY = "processor seconds"


class ProcessorTime:
    """Measures each phase of a test, and lists the most costly tests at the end.

    Args:
        most: How many are listed.
    """

    def __init__(self, most: int) -> None:
        self._most = most

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measures what the fixtures start."""
        return (yield from self._measured(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measures the test itself."""
        return (yield from self._measured(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measures how the fixtures end."""
        return (yield from self._measured(item))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Lists the most costly tests."""
        reports = [
            report
            for reports in terminalreporter.stats.values()
            for report in reports
            if isinstance(report, pytest.TestReport)
        ]
        costs = costs_of(reports)
        terminalreporter.section(f"processor seconds: {sum(costs.values()):.1f} in all")
        for name in sorted(costs, key=costs.__getitem__, reverse=True)[: self._most]:
            terminalreporter.write_line(f"{costs[name]:8.2f}  {name}")

    def _measured(self, item: pytest.Item) -> Generator[None, object, object]:
        before = tree_seconds()
        try:
            return (yield)
        finally:
            item.user_properties.append((_PROPERTY, max(0.0, tree_seconds() - before)))


def costs_of(reports: Iterable[pytest.TestReport]) -> dict[str, float]:
    """Return the processor seconds by test: its last report has those of all phases."""
    costs: dict[str, float] = {}
    for report in reports:
        spent = sum(
            float(str(value)) for name, value in report.user_properties if name == _PROPERTY
        )
        costs[report.nodeid] = max(spent, costs.get(report.nodeid, 0.0))
    return costs


def tree_seconds() -> float:
    """Return the processor seconds of this process and of all that it has started, those that have ended included."""
    me = psutil.Process()
    seconds = sum(me.cpu_times()[:4])
    for child in me.children(recursive=True):
        try:
            seconds += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return seconds
