"""Commands whose standard streams are closed, full, or read by nobody any more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from kaon.cli.prints import Prints
from kaon.client import Client, Endpoints, KaonError
from kaonapi.log.v1 import log_pb2

KAON = Path(sys.executable).parent / "kaon"


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "flow.py"
    path.write_text("from kaon import *\nworkflow = Workflow('w', steps.shell('a', ['true']))\n")
    return path


def _in_shell(flow: Path, redirections: str) -> subprocess.CompletedProcess[str]:
    command = f'exec "$0" validate "$1" {redirections}'
    return subprocess.run(
        ["sh", "-c", command, KAON, flow], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_does_its_work_though_standard_streams_are_closed(
    flow: Path, closed: str
) -> None:
    done = _in_shell(flow, closed)
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "") == (" >&-" in f" {closed}")


def test_output_that_cannot_be_written_ends_a_command_with_the_reason(flow: Path) -> None:
    done = _in_shell(flow, ">/dev/full")
    assert (done.returncode, done.stderr) == (1, "kaon: No space left on device\n")


class _Logs:
    """A client whose run prints until its reader has gone."""

    def logs(self, run_id: str, *, follow: bool) -> Iterator[log_pb2.LogLines]:
        for number in range(3):
            yield log_pb2.LogLines(lines=[log_pb2.LogLine(text=f"line {number}")])
        raise KaonError("the client was closed")


class _Broken(StringIO):
    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise BrokenPipeError


# A thread that ends with an error fails the test.
def test_the_steps_prints_end_silently_when_nobody_reads() -> None:
    out = _Broken()
    prints = Prints(cast(Any, _Logs()), "r1", Console(file=out))
    prints.start()
    prints.finish()
    assert out.writes == 1


def test_the_steps_prints_say_nothing_after_the_view() -> None:
    out = StringIO()
    prints = Prints(cast(Any, _Logs()), "r1", Console(file=out))
    prints.stop()
    prints.start()
    prints.finish()
    assert out.getvalue() == ""


def test_a_call_of_a_client_that_was_closed_says_so() -> None:
    client = Client(Endpoints(server="127.0.0.1:1"))
    client.close()
    with pytest.raises(KaonError, match=r"the client of 127\.0\.0\.1:1 was closed"):
        client.run("r1")
