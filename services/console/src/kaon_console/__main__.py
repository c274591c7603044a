"""`python -m kaon_console`: the console as a process of its own; `python -m kaon_console link`: a link for it.

SIGTERM and SIGINT stop it in order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from kaon_wire.loading import loading

with loading(without="rich"):
    import structlog

    from kaon_console.bootstrap import Application
    from kaon_console.doors import new_link
    from kaon_console.settings import origins_of, settings_from, split_address
    from kaon_service.niceness import give_way
    from kaon_service.serve import serve
    from kaon_telemetry.logs import configure_logs
    from kaon_wire.errors import KaonError

log = structlog.get_logger("kaon_console")

HOW_TO_LINK = (
    "`make link` prints one for the system of make dev, and `python -m kaon_console link`, with the settings of the console, "
    "for any other"
)


def main() -> None:
    """Run the console. Exit codes: 0 shut down in order, 1 fatal error, 2 invalid settings."""
    parser = argparse.ArgumentParser(
        prog="kaon-console",
        description="Serves the web console. Every setting is an environment variable; kaon_console/settings.py lists them.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    link = commands.add_parser("link", help="print a link that logs one person in once")
    link.add_argument("--next", default="/", metavar="PATH", help="page to which the link leads")
    arguments = parser.parse_args()
    configure_logs()
    try:
        settings = settings_from(os.environ)
        if arguments.command == "link":
            origin = origins_of(settings, split_address(settings.address)[1])[0]
            print(new_link(settings.state, origin, settings.principal, arguments.next))
            return
        application = Application(settings, how_to_link=HOW_TO_LINK)
    except KaonError as error:
        print(f"kaon-console: {error}", file=sys.stderr)
        sys.exit(2)
    give_way()
    try:
        asyncio.run(serve(lambda: application))
    except KaonError as error:
        log.error("console cannot go on; exiting", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
