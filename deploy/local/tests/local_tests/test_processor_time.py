"""`pytest --processor` counts what a test costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import processor_time
import pytest

_BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def _report(when: Literal["setup", "call", "teardown"], *seconds: float) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid="test_x.py::test_x",
        location=("test_x.py", 1, "test_x"),
        keywords={},
        outcome="passed",
        longrepr=None,
        when=when,
        user_properties=[(processor_time._PROPERTY, each) for each in seconds],
    )


def test_processes_that_were_started_count_while_they_run_and_after_their_end() -> None:
    before = processor_time.tree_seconds()
    with subprocess.Popen(
        [sys.executable, "-c", f"{_BUSY}\nprint(flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        running = processor_time.tree_seconds()
        busy.communicate(b"\n")
    ended = processor_time.tree_seconds()
    # The kernel counts in hundredths.
    assert running - before > 0.25
    assert ended >= running


def test_a_test_costs_what_all_its_phases_do_though_each_report_has_those_before() -> None:
    reports = [_report("setup", 1.0), _report("teardown", 1.0, 2.0, 0.5), _report("call", 1.0, 2.0)]
    assert processor_time.costs_of(reports) == {"test_x.py::test_x": 3.5}
