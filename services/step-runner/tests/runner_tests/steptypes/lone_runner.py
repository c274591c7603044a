"""A runner in a process of its own that executes one step, to be killed.

`python lone_runner.py WORK DOCKER_HOST TYPE CONFIG PATH [--serves OUTPUT]`
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import MemorySystem, request

from kaonapi.workflow.v1 import definition_pb2


def main() -> None:
    """Releases the step, says when it has started, and when it serves, and waits for its own end."""
    work, docker_host, kind, config, path, *serving = sys.argv[1:]
    with MemorySystem(Path(work), docker_host=docker_host) as system:
        wanted = request(kind, json.loads(config), path=path)
        if serving:
            wanted.spec.serves = True
            wanted.spec.outputs[serving[1]] = definition_pb2.VALUE_TYPE_STRING
        system.release(wanted)
        system.started(wanted.key)
        print("started", flush=True)
        if serving:
            system.wait(lambda: "serves" in system.of(wanted.key), 60)
            print("serves", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
