"""A runner in a process of its own that executes one step, to be killed.

`python lone_runner.py WORK DOCKER_HOST TYPE CONFIG PATH`
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import MemorySystem, request


def main() -> None:
    """Releases the step, says when it has started, and waits for its own end."""
    work, docker_host, kind, config, path = sys.argv[1:]
    with MemorySystem(Path(work), docker_host=docker_host) as system:
        wanted = request(kind, json.loads(config), path=path)
        system.release(wanted)
        system.started(wanted.key)
        print("started", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
