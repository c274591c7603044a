"""What is loaded is not looked through by the collector, then or later."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

import pytest

from kaon_wire.loading import loading

_PROGRAM = """
import atexit, gc, json
from kaon_wire.loading import loading

told = {}
if not ON:
    gc.disable()
passes = []
gc.callbacks.append(lambda phase, about: passes.append(phase))
with loading():
    kept = [[number] for number in range(100_000)]
told["passes while it loads"] = len(passes)
told["on afterwards"] = gc.isenabled()
told["what it has loaded is looked through"] = any(each is kept[-1] for each in gc.get_objects())

made = [[number] for number in range(1_000)]
atexit._run_exitfuncs()
told["what it has made is looked through at the end"] = any(
    each is made[-1] for each in gc.get_objects()
)
print(json.dumps(told))
"""


@pytest.fixture(scope="module", params=[True, False], ids=["on", "off"])
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    program = f"ON = {request.param}{_PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return {**json.loads(done.stdout), "was on": request.param}


def test_the_collector_rests_while_code_is_loaded_and_is_as_before_afterwards(
    told: dict[str, Any],
) -> None:
    assert told["passes while it loads"] == 0
    assert told["on afterwards"] == told["was on"]


def test_what_was_loaded_is_never_looked_through_and_nothing_is_at_the_end(
    told: dict[str, Any],
) -> None:
    assert not told["what it has loaded is looked through"]
    assert not told["what it has made is looked through at the end"]


def test_a_package_that_nobody_needs_counts_as_not_installed_meanwhile() -> None:
    with pytest.raises(ImportError), loading(without="this"):
        importlib.import_module("this")
    assert "this" not in sys.modules
    with loading(without="json"):
        assert importlib.import_module("json") is json
    assert sys.modules["json"] is json
