"""A publisher that kills itself just before or after one of its own calls: `python dying.py before|after CALL`."""

from __future__ import annotations

import os
import signal
import sys
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


def arm(moment: str, call: str) -> None:
    """Makes the process die at the call."""
    owner, name = CALLS[call]
    real = getattr(owner, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if moment == "after":
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying)


if __name__ == "__main__":
    arm(sys.argv.pop(1), sys.argv.pop(1))
    main()
