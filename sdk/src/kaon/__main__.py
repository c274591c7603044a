"""The entry point of `kaon` and of `python -m kaon`."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

from kaon_wire.loading import loading


def main() -> None:
    """Run one command and exit the process. Ctrl-C ends it without a traceback, also while the commands are being loaded."""
    handler = signal.getsignal(signal.SIGINT)
    if (
        handler is signal.default_int_handler
    ):  # who started this in the background may ignore the signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with loading():
        # First of all: the modules open files.
        import_module("kaon.cli.streams").open_standard_streams()
        execute = import_module("kaon.cli.main").execute
    signal.signal(signal.SIGINT, handler)
    sys.exit(execute())


if __name__ == "__main__":
    main()
