"""Every line is one JSON object, whichever way it came."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from kaon_telemetry.logs import configure_logs


def printed(program: str, arguments: str) -> list[str]:
    """What a process of its own logs: logging belongs to the whole process."""
    setup = f"import logging, structlog\nfrom kaon_telemetry.logs import configure_logs\nconfigure_logs({arguments})\n"
    done = subprocess.run(
        [sys.executable, "-c", setup + program], capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


def lines(program: str, level: str = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed(program, repr(level))]


def test_both_ways_give_the_same_kind_of_line_with_run_step_and_attempt() -> None:
    one, other = lines(
        "structlog.get_logger('a').info('begun', run='r', step='train', attempt=2)\n"
        "logging.getLogger('library.b').warning('ended %s', 'well', extra={'run': 'r', 'step': 'train', 'attempt': 2})"
    )
    assert (one["event"], other["event"]) == ("begun", "ended well")
    assert (one["level"], other["level"]) == ("info", "warning")
    for line in (one, other):
        assert (line["run"], line["step"], line["attempt"]) == ("r", "train", 2)
        assert line["timestamp"].endswith("Z")
    assert other["logger"] == "library.b"


def test_libraries_are_heard_from_warnings_on_and_ours_as_told() -> None:
    calls = ("debug", "info", "warning", "error")
    program = "\n".join(
        (
            *(f"logging.getLogger('library').{call}('library {call}')" for call in calls),
            *(f"structlog.get_logger('ours').{call}('ours {call}')" for call in calls),
        )
    )
    assert [line["event"] for line in lines(program)] == [
        *("library warning", "library error"),
        *("ours info", "ours warning", "ours error"),
    ]
    assert [line["event"] for line in lines(program, "error")] == ["library error", "ours error"]


def test_an_exception_is_in_its_line() -> None:
    (line,) = lines(
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.getLogger('library').exception('failed')"
    )
    assert line["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert line["event"] == "failed"


@pytest.mark.parametrize("logger", ["logging.getLogger('library')", "structlog.get_logger('ours')"])
def test_no_value_of_a_variable_is_in_the_line_of_an_exception(logger: str) -> None:
    (line,) = lines(
        "def call(token):\n    password = 'hunter' + '2'\n    1 / 0\n"
        f"try:\n    call('ey' + 'Jhb')\nexcept ZeroDivisionError:\n    {logger}.exception('failed')"
    )
    assert [frame["name"] for frame in line["exception"][0]["frames"]] == ["<module>", "call"]
    assert "hunter2" not in json.dumps(line)
    assert "eyJhb" not in json.dumps(line)


def test_people_read_one_line_of_text_for_each_record() -> None:
    program = (
        "try:\n    raise OSError(28, 'no space')\nexcept OSError:\n"
        "    structlog.get_logger('ours').exception('log not stored', step='train')\n"
        "logging.getLogger('library').warning('slow\\nvery slow')\n"
        "structlog.get_logger('ours').info('begun')"
    )
    assert printed(program, "'warning', for_people=True") == [
        "error: log not stored (step=train): OSError: [Errno 28] no space",
        "warning: slow very slow",
    ]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="loud"):
        configure_logs("loud")


def test_a_process_tells_by_signal_what_its_threads_are_doing() -> None:
    program = (
        "import os, signal\nfrom kaon_telemetry.logs import configure_logs\nconfigure_logs()\n"
        "def hanging():\n    os.kill(os.getpid(), signal.SIGUSR2)\nhanging()\nprint('goes on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "in hanging" in done.stderr
    assert done.stdout == "goes on\n"
