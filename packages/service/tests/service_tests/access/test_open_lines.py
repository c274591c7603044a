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
    **dict.fromkeys(
        ("KAON_DATABASE", "KAON_PUBLISHER_DATABASE", "KAON_AUDIT_DATABASE"),
        "postgresql+psycopg://kaon@db.example.org/kaon",
    ),
    "KAON_REGISTRY": "registry.example.org:5000",
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
    ("url", "closed"),
    [
        ("sqlite:////var/lib/kaon.db", True),
        ("postgresql+psycopg://kaon@/kaon", True),
        ("postgresql+psycopg://kaon@/kaon?host=/run/postgresql", True),
        ("postgresql+psycopg://kaon@localhost:5432/kaon", True),
        ("postgresql+psycopg://kaon@[::1]/kaon", True),
        ("postgresql+psycopg://kaon@db.example.org/kaon?sslmode=verify-full&sslrootcert=/ca", True),
        ("postgresql+psycopg://kaon@db.example.org/kaon", False),
        ("postgresql+psycopg://kaon@db.example.org/kaon?sslmode=require", False),
        ("postgresql+psycopg://kaon@/kaon?host=db.example.org", False),
        ("postgresql+psycopg://kaon@/kaon?host=/run/x&host=db.example.org", False),
        ("postgresql+psycopg://kaon@db/kaon?sslmode=verify-full&sslmode=disable", False),
    ],
)
def test_a_database_is_a_closed_line_on_this_machine_or_when_its_server_is_checked(
    url: str, closed: bool
) -> None:
    assert open_lines.closes_database(url) is closed


@pytest.mark.parametrize(
    ("module", "address", "lines"),
    [
        (
            "kaon_coordinator",
            "KAON_ADDRESS",
            {
                *("KAON_KAFKA_SECURITY", "KAON_LEASE_KEYS", "KAON_POOL_KEYS", "KAON_COMMAND_KEY"),
                *("KAON_DATABASE", "KAON_AUDIT_DATABASE"),
            },
        ),
        (
            "kaon_coordinator.view",
            "KAON_VIEW_ADDRESS",
            {"KAON_KAFKA_SECURITY", "KAON_DATABASE", "KAON_AUDIT_DATABASE"},
        ),
        (
            "kaon_publisher",
            "KAON_PUBLISHER_ADDRESS",
            {
                "KAON_KAFKA_SECURITY",
                "KAON_PUBLISHER_DATABASE",
                "KAON_AUDIT_DATABASE",
                "KAON_REGISTRY_CA",
            },
        ),
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
