"""A console on a thread beside something else, for commands of the CLI."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from kaon_console.bootstrap import Application
from kaon_console.pages import check_built
from kaon_console.settings import BUILT_PAGES, Settings, settings_from
from kaon_service.serve import serve_until

_AGAIN = "end the command that has printed the link, and start it again"


def local_settings(
    server: str,
    *,
    port: int,
    state: Path,
    view: str = "",
    artifacts: str | None = None,
    read_only: bool = False,
) -> Settings:
    """Return the settings of a console on this machine; the environment provides the others.

    Args:
        server: address of the coordinator.
        port: at which it listens; 0 takes a free one.
        state: where it keeps its secrets.
        view: address of the view service; empty: found by the coordinator's.
        artifacts: where artifacts are kept; None: as KAON_ARTIFACTS says.
        read_only: refuses commands.
    """
    told = {name: value for name, value in os.environ.items() if name != "KAON_METRICS"}
    settings = settings_from(told)
    return replace(
        settings,
        address=f"127.0.0.1:{port}",
        origins=(),
        server=server,
        view=view,
        artifacts=settings.artifacts if artifacts is None else artifacts,
        state=state,
        read_only=read_only,
    )


class Console:
    """A console at work; a context manager. It keeps its secrets in a directory of its own, which goes with it.

    Args:
        server: see `local_settings`, like the other ones.
        port: see there.
        view: see there.
        artifacts: see there.
        read_only: see there.

    Raises:
        KaonError: the page is not built, or the port is taken.
    """

    def __init__(
        self,
        server: str,
        *,
        port: int,
        view: str = "",
        artifacts: str | None = None,
        read_only: bool = False,
    ) -> None:
        check_built(BUILT_PAGES)
        self._secrets = tempfile.TemporaryDirectory(prefix="kaon-console-")
        settings = local_settings(
            server,
            port=port,
            state=Path(self._secrets.name),
            view=view,
            artifacts=artifacts,
            read_only=read_only,
        )
        self._application = Application(settings, how_to_link=_AGAIN)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)

    def __enter__(self) -> Console:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._secrets.cleanup()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._secrets.cleanup()

    def link(self, page: str = "/") -> str:
        """Return a link that logs one person in once, and leads to a page."""
        return self._application.link(page)

    def wait(self) -> None:
        """Return when the console has ended by itself.

        Raises:
            BaseException: The reason.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await serve_until(self._stopping, self._application, lambda _port: self._ready.set())
