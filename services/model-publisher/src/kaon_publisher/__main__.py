"""`python -m kaon_publisher`: one publisher as a process of its own. SIGTERM and SIGINT stop it in order."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

import structlog

from kaon_publisher.bootstrap import Application
from kaon_publisher.settings import Settings, settings_from
from kaon_service.background import until_first
from kaon_telemetry.logs import configure_logs
from kaon_wire.errors import KaonError

log = structlog.get_logger("kaon_publisher")


async def serve(settings: Settings) -> None:
    """Runs until a signal asks to stop, or raises what makes it impossible to go on."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    application = Application(settings)
    await application.start()
    try:
        await until_first(application.wait(), stopping.wait())
    finally:
        await application.stop()


def main() -> None:
    """Entry point. Exit codes: 0 stopped in order, 1 cannot go on."""
    parser = argparse.ArgumentParser(
        prog="kaon-publisher",
        description="Publishes validated models. Every setting is an environment variable; kaon_publisher/settings.py lists them.",
    )
    parser.parse_args()
    configure_logs()
    try:
        asyncio.run(serve(settings_from(os.environ)))
    except KaonError as error:
        log.error("the publisher cannot go on", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
