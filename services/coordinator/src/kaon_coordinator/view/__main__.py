"""`python -m kaon_coordinator.view`: one view service as a process of its own. SIGTERM and SIGINT stop it in order."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from kaon_wire.loading import loading

with loading(without="rich"):
    import structlog
    import uvloop

    from kaon_coordinator.shell.gc_tuning import collect_seldom
    from kaon_coordinator.view.application import Application
    from kaon_coordinator.view.view_settings import settings_from
    from kaon_service.access.open_lines import warn_of_open_lines
    from kaon_service.niceness import give_way
    from kaon_service.serve import serve
    from kaon_telemetry.logs import configure_logs
    from kaon_wire.errors import KaonError

log = structlog.get_logger("kaon_view")


def main() -> None:
    """Entry point. Exit codes: 0 stopped in order, 1 cannot go on, 2 wrong settings."""
    parser = argparse.ArgumentParser(
        prog="kaon-view",
        description="Lists, counts, aggregates and streams runs; it reads the coordinators' database and changes nothing. Every "
        "setting is an environment variable; kaon_coordinator/view/view_settings.py lists them.",
    )
    parser.parse_args()
    configure_logs()
    try:
        settings = settings_from(os.environ)
    except KaonError as error:
        print(f"kaon-view: {error}", file=sys.stderr)
        sys.exit(2)
    warn_of_open_lines(settings.lines, closed_system=settings.calls.access.authenticates)
    give_way()
    try:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.run(serve(lambda: Application(settings), started=lambda _port: collect_seldom()))
    except KaonError as error:
        log.error("the view service cannot go on", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
