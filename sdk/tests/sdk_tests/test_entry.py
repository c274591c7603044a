"""`kaon` as a program of its own: what happens before a command begins."""

from __future__ import annotations

import signal
import subprocess
import sys

# Ctrl-C at the moment when Python looks for the module of the commands.
_INTERRUPTED_WHILE_IT_LOADS = """
import os, signal, sys
from kaon.__main__ import main

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "kaon.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
main()
"""


def test_ctrl_c_while_the_commands_are_loaded_prints_no_traceback() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_WHILE_IT_LOADS],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_python_runs_the_package_as_the_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "kaon", "--version"], capture_output=True, text=True, check=True
    )

    assert ended.stdout.startswith("kaon ")
