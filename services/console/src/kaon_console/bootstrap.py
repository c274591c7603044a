"""The composition root: settings become a console at work."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import replace

import structlog
from prometheus_client import CollectorRegistry

from kaon_console.api import Api, ApiParts
from kaon_console.app import AppParts, build_app
from kaon_console.backends import Backends
from kaon_console.doors import new_link, open_links, open_sessions
from kaon_console.issuer import Issuer
from kaon_console.issuer_login import BACK, IssuerLogin
from kaon_console.log_downloads import LogDownloads
from kaon_console.login import Login, LoginParts, local_time_zone
from kaon_console.pages import Pages
from kaon_console.previews import Previews
from kaon_console.refusals import Refusals
from kaon_console.settings import Settings, origins_of, split_address
from kaon_console.streams import Streams
from kaon_console.token_login import TokenLogin
from kaon_console.web_server import WebServer, listen
from kaon_service.access.access_settings import check_listeners
from kaon_service.access.calling import calling
from kaon_service.access.tls import watched_context
from kaon_telemetry.endpoint import MetricsServer
from kaon_telemetry.metrics import ConsoleMetrics

log = structlog.get_logger(__name__)


class Application:
    """One console: `start`, then `wait` until something ends it, then `stop`.

    Args:
        settings: see `Settings`.
        how_to_link: what people do to get another link.
        bearer: returns the token of the only person who uses this console, for services that want one; empty without one.

    Raises:
        InvalidValue: the settings do not fit together.
    """

    def __init__(
        self, settings: Settings, *, how_to_link: str, bearer: Callable[[], str] = lambda: ""
    ) -> None:
        self._calling = replace(calling("console", settings.access), bearer=bearer)
        self._settings = settings
        self._how_to_link = how_to_link
        self._pages = Pages(settings.pages)
        self._registry = CollectorRegistry()
        self._streams = Streams(settings.streams)
        ConsoleMetrics(self._registry).streams.set_function(lambda: len(self._streams))
        self._metrics_server: MetricsServer | None = None
        self._backends: Backends | None = None
        self._server: WebServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self.origin = ""

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            KaonError: The address cannot be used.
        """
        check_listeners(
            self._settings.access,
            {"KAON_CONSOLE_ADDRESS": self._settings.address},
        )
        listening = listen(*split_address(self._settings.address))
        port: int = listening.getsockname()[1]
        try:
            origins = origins_of(self._settings, port)
            self._backends = Backends(self._settings, self._calling)
            self._server = self._web_server(origins, self._backends, listening)
        except BaseException:
            listening.close()
            raise
        self.origin = origins[0]
        self._serving = asyncio.create_task(self._server.run(), name="console")
        if self._settings.metrics:
            self._metrics_server = MetricsServer(
                self._settings.metrics, self._registry, token=self._settings.metrics_token
            )
        if not self._pages.build:
            log.warning(
                "the console has no page: it is not built", directory=str(self._settings.pages)
            )
        log.info("console ready", origin=self.origin, server=self._settings.server)
        return port

    def link(self, page: str = "/") -> str:
        """Return a link that logs one person in once, as the principal in the settings."""
        return new_link(self._settings.state, self.origin, self._settings.principal, page)

    async def wait(self) -> None:
        """Wait for a fatal error and raise it."""
        assert self._serving is not None
        await asyncio.shield(self._serving)
        raise RuntimeError("the web server has ended")

    async def stop(self) -> None:
        """End the streams, finish other calls, and close every connection."""
        self._streams.close()
        if self._server is not None and self._serving is not None:
            self._server.stop()
            await self._serving
        if self._backends is not None:
            await self._backends.close()
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)

    def _web_server(
        self, origins: tuple[str, ...], backends: Backends, listening: socket.socket
    ) -> WebServer:
        app, access = build_app(self._parts(origins, backends)), self._settings.access
        if not access.encrypts:
            return WebServer(app, listening)
        # It encrypts, so both are there.
        assert access.certificate is not None
        assert access.key is not None
        return WebServer(app, listening, watched_context(access.certificate, access.key))

    def _parts(self, origins: tuple[str, ...], backends: Backends) -> AppParts:
        settings = self._settings
        login = Login(
            LoginParts(
                links=open_links(settings.state),
                sessions=open_sessions(settings.state, hours=settings.session_hours),
                streams=self._streams,
                origin=origins[0],
                session_seconds=int(settings.session_hours * 3600),
                build=self._pages.build,
                time_zone=local_time_zone(os.environ.get("TZ", "")),
                read_only=settings.read_only,
                refusals=Refusals(backends).of,
                how_to_link=self._how_to_link,
            )
        )
        token_login = TokenLogin(login, backends)
        issuer = Issuer(settings.issuer, origins[0] + BACK) if settings.issuer else None
        return AppParts(
            origins=origins,
            login=login,
            token_login=token_login,
            issuer_login=IssuerLogin(issuer, login, token_login),
            api=Api(
                ApiParts(
                    login=login,
                    backends=backends,
                    streams=self._streams,
                    read_only=settings.read_only,
                )
            ),
            previews=Previews(login, backends, settings.preview_bytes),
            log_downloads=LogDownloads(login, backends, self._streams),
            pages=self._pages,
        )
