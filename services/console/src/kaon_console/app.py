"""The paths of the console."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from kaon_console.api import Api
from kaon_console.issuer_login import BACK, IssuerLogin
from kaon_console.log_downloads import LogDownloads
from kaon_console.login import Login
from kaon_console.pages import Pages
from kaon_console.previews import Previews
from kaon_console.security import Guard
from kaon_console.token_login import TokenLogin


@dataclass(frozen=True, kw_only=True)
class AppParts:
    """What answers."""

    # How browsers reach the console.
    origins: tuple[str, ...]
    login: Login
    token_login: TokenLogin
    issuer_login: IssuerLogin
    api: Api
    previews: Previews
    log_downloads: LogDownloads
    pages: Pages


def build_app(parts: AppParts) -> ASGIApp:
    """Build the whole application, with its guard before it."""
    routes = [
        Mount("/api", parts.api),
        Route("/session", parts.login.session),
        Route("/login", parts.login.login, methods=["GET"]),
        Route("/login", parts.token_login.serve, methods=["POST"]),
        Route("/login/ways", parts.issuer_login.ways),
        Route("/login/issuer", parts.issuer_login.begin),
        Route(BACK, parts.issuer_login.back),
        Route("/logout", parts.login.logout, methods=["POST"]),
        Route("/preview/{run_id}", parts.previews.serve),
        Route("/log/{run_id}", parts.log_downloads, methods=["GET"]),
        Route("/health", _health),
        Route("/{path:path}", parts.pages.serve),
    ]
    return Guard(Starlette(routes=routes), parts.origins)


async def _health(_request: Request) -> Response:
    return PlainTextResponse("healthy\n")
