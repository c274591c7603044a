"""A console on a thread beside something else, for commands of the CLI."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from kaon.client import Client, Endpoints
from kaon.client.bearer import Bearer
from kaon_console.bootstrap import Application
from kaon_console.pages import check_built
from kaon_console.settings import BUILT_PAGES, Settings, settings_from
from kaon_service.access.access_settings import AccessSettings
from kaon_service.thread import ApplicationThread

_AGAIN = "end the command that has printed the link, and start it again"


def local_settings(
    server: str,
    *,
    port: int,
    state: Path,
    view: str = "",
    read_only: bool = False,
    access: AccessSettings | None = None,
) -> Settings:
    """Return the settings of a console on this machine; the environment provides the others.

    Args:
        server: address of the coordinator.
        port: at which it listens; 0 takes a free one.
        state: where it keeps its secrets.
        view: address of the view service; empty: found by the coordinator's.
        read_only: refuses commands.
        access: how the services are called; None: as the environment says.
    """
    told = {name: value for name, value in os.environ.items() if name != "KAON_METRICS"}
    settings = settings_from(told)
    return replace(
        settings,
        address=f"127.0.0.1:{port}",
        origins=(),
        server=server,
        view=view,
        state=state,
        read_only=read_only,
        access=settings.access if access is None else access,
        # One person uses it, who has a link; no issuer knows its port.
        issuer=None,
    )


def of_the_token(settings: Settings, bearer: Bearer) -> Settings:
    """Return settings whose link logs in as the person of a token; as they are without a token, or where no token counts.

    Raises:
        KaonError: The coordinator does not answer, or does not accept the token.
    """
    if not bearer():
        return settings
    # KAON_TENANT: a platform administrator may name another tenant.
    endpoints = replace(Endpoints.from_environment(), server=settings.server)
    with Client(endpoints) as client:
        caller = client.access.whoami()
    if caller.authentication == "off":
        return settings
    return replace(
        settings, tenant=caller.tenant, name=caller.name, roles=",".join(sorted(caller.roles))
    )


class Console:
    """A console at work; a context manager. It keeps its secrets in a directory of its own, which goes with it.

    Args:
        server: see `local_settings`, like the other ones.
        port: see there.
        view: see there.
        read_only: see there.
        access: see there.

    Raises:
        KaonError: the page is not built, the port is taken, or the coordinator does not accept the token of whoever starts it.
    """

    def __init__(
        self,
        server: str,
        *,
        port: int,
        view: str = "",
        read_only: bool = False,
        access: AccessSettings | None = None,
    ) -> None:
        check_built(BUILT_PAGES)
        self._secrets = tempfile.TemporaryDirectory(prefix="kaon-console-")
        settings = local_settings(
            server,
            port=port,
            state=Path(self._secrets.name),
            view=view,
            read_only=read_only,
            access=access,
        )
        # Whoever runs this command has logged in at the server, or has a token.
        bearer = Bearer(server)
        try:
            settings = of_the_token(settings, bearer)
        except BaseException:
            self._secrets.cleanup()
            raise
        self._application = Application(settings, how_to_link=_AGAIN, bearer=bearer)
        self._thread = ApplicationThread("console", lambda: self._application)

    def __enter__(self) -> Console:
        try:
            self._thread.start()
        except BaseException:
            self._secrets.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.stop()
        self._secrets.cleanup()

    def link(self, page: str = "/") -> str:
        """Return a link that logs one person in once, and leads to a page."""
        return self._application.link(page)

    def wait(self) -> None:
        """Wait until the console has ended by itself.

        Raises:
            BaseException: Why, or an interrupt.
        """
        self._thread.wait()
