"""A process that looks gives way, and never takes back what it gave."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kaon_service.niceness import NICENESS

_TOLD = """
import os, threading
from kaon_service.niceness import give_way
os.nice({before})
give_way()
found = []
thread = threading.Thread(target=lambda: found.append(os.getpriority(os.PRIO_PROCESS, 0)))
thread.start()
thread.join()
print(found[0])
"""


@pytest.mark.parametrize("before", [0, NICENESS + 3])
def test_threads_of_a_process_that_looks_have_a_low_priority(before: int) -> None:
    command = [sys.executable, "-c", _TOLD.format(before=before)]
    mine = subprocess.run(
        [sys.executable, "-c", "import os; print(os.nice(0))"], capture_output=True, check=True
    )
    told = subprocess.run(command, capture_output=True, check=True, start_new_session=True)
    assert int(told.stdout) == max(min(int(mine.stdout) + before, 19), NICENESS)
