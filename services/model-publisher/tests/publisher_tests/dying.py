"""A publisher that kills itself just before or after one of its own calls: `python dying.py ORDERS`.

The file ORDERS has the moment and the call, as "before push"; while there is none, the publisher is like any other.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaon_publisher import images
from kaon_publisher.__main__ import main
from kaon_publisher.announcing import KafkaBroker
from kaon_publisher.publishing import Publishing
from kaon_publisher.pushing import LayoutTarget
from kaon_publisher.store.registry import ModelStore

CALLS: dict[str, tuple[Any, str]] = {
    "assemble": (images, "assemble"),
    "begin": (ModelStore, "begin_push"),
    "push": (LayoutTarget, "push"),
    "pin": (Publishing, "pin"),
    "write": (ModelStore, "_announce"),
    "commit": (ModelStore, "announce"),
    "send": (KafkaBroker, "send"),
    "mark": (ModelStore, "mark_sent"),
    "roll": (ModelStore, "roll_back"),
}


def arm(orders: Path) -> None:
    """Makes the process die at the call that it is ordered to die at."""
    for call, (owner, name) in CALLS.items():
        setattr(owner, name, _dying(getattr(owner, name), call, orders))


def _dying(real: Callable[..., Any], call: str, orders: Path) -> Callable[..., Any]:
    def dying(*args: Any, **kwargs: Any) -> Any:
        ordered = orders.read_text() if orders.exists() else ""
        if ordered == f"before {call}":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if ordered == f"after {call}":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return dying


if __name__ == "__main__":
    arm(Path(sys.argv.pop(1)))
    main()
