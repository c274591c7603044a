"""`python -m kaon_publisher`: one publisher as a process of its own. SIGTERM and SIGINT shut it down."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from kaon_wire.loading import loading

with loading(without="rich"):
    import structlog

    from kaon_publisher.bootstrap import Application
    from kaon_publisher.settings import settings_from
    from kaon_service.access.open_lines import warn_of_open_lines
    from kaon_service.serve import serve
    from kaon_telemetry.logs import configure_logs
    from kaon_wire.errors import KaonError

log = structlog.get_logger("kaon_publisher")


def main() -> None:
    """Run the publisher. Exit codes: 0 shut down in order, 1 fatal error."""
    parser = argparse.ArgumentParser(
        prog="kaon-publisher",
        description="Publishes validated models. Every setting is an environment variable; kaon_publisher/settings.py lists them.",
    )
    parser.parse_args()
    configure_logs()
    try:
        settings = settings_from(os.environ)
        warn_of_open_lines(settings.lines, closed_system=settings.calls.access.authenticates)
        asyncio.run(serve(lambda: Application(settings)))
    except KaonError as error:
        log.error("publisher cannot go on; exiting", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
