"""A line that is open in a closed system is told at the start, by each service that it concerns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kaon_service.access import open_lines

LINES = dict.fromkeys(open_lines._MEANS, False)
# What a closed service is told, and what closes no line.
CLOSED = {
    "KAON_AUTH": "on",
    "KAON_KAFKA": "127.0.0.1:1",
    "KAON_ARTIFACTS": "file:///nowhere",
}


def test_every_line_is_told_with_what_it_means() -> None:
    with capture_logs() as told:
        open_lines.warn_of_open_lines(LINES, closed_system=True)
    assert [each["setting"] for each in told] == list(LINES)
    assert all(each["means"] and each["log_level"] == "warning" for each in told)


def test_nothing_is_told_of_closed_lines_and_of_open_systems() -> None:
    with capture_logs() as told:
        open_lines.warn_of_open_lines(dict.fromkeys(LINES, True), closed_system=True)
        open_lines.warn_of_open_lines(LINES, closed_system=False)
    assert told == []


@pytest.mark.parametrize(
    ("module", "address", "lines"),
    [
        (
            "kaon_coordinator",
            "KAON_ADDRESS",
            {"KAON_KAFKA_SECURITY", "KAON_LEASE_KEYS", "KAON_POOL_KEYS", "KAON_COMMAND_KEY"},
        ),
        ("kaon_coordinator.view", "KAON_VIEW_ADDRESS", {"KAON_KAFKA_SECURITY"}),
        ("kaon_publisher", "KAON_PUBLISHER_ADDRESS", {"KAON_KAFKA_SECURITY"}),
    ],
)
def test_each_service_tells_of_its_lines(
    module: str, address: str, lines: set[str], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a2FvbiBrYW9uIGthb24ga2FvbiBrYW9uIGthb24ga2E=\n")
    # Others reach its address and nothing is encrypted: it ends when it has said what it has to say.
    told = CLOSED | {"KAON_SERVICE_KEYS": str(keys), address: "0.0.0.0:0"}
    clean = {key: text for key, text in os.environ.items() if not key.startswith("KAON_")}
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=clean | told,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    warned = [line for line in said.splitlines() if "a line is open" in line]
    assert {found for line in warned for found in re.findall("KAON_[A-Z_]+", line)} == lines, said
