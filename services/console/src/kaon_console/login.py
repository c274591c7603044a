"""Who somebody is: one-time links and tokens begin a session, a cookie carries it."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed
from kaon_console.streams import Streams
from kaon_console.tickets import Grant, Tickets
from kaon_service.principal import Principal
from kaon_wire.version import VERSION

# A path of this console: no other host, no backslash, which browsers take for a slash, nothing beyond ASCII.
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
_SPENT = "This link has been used or has expired. Get a new one: {how}\n"


@dataclass(frozen=True, kw_only=True)
class LoginParts:
    """What logging in works with."""

    links: Tickets
    sessions: Tickets
    streams: Streams
    # The first of the origins: it tells the port, and whether the way is encrypted.
    origin: str
    session_seconds: int
    # Of the page that is served.
    build: str
    time_zone: str
    read_only: bool
    # Returns the commands that would be refused in a session, each with the role that is lacking.
    refusals: Callable[[Grant], Awaitable[Mapping[str, str]]]
    # How to get another link, for people.
    how_to_link: str


def is_page(path: str) -> bool:
    """Whether a path is one of this console, which an address of somebody else cannot pass for."""
    return _PATH.fullmatch(path) is not None


class Login:
    """The session of a request, and the paths that begin and end one."""

    def __init__(self, parts: LoginParts) -> None:
        self._parts = parts
        origin = urlsplit(parts.origin)
        # Whether browsers come by HTTPS.
        self.secure = origin.scheme == "https"
        # Cookies know no ports: two consoles on one machine have two names.
        self.cookie = "__Host-kaon-session" if self.secure else f"kaon-session-{origin.port or 80}"

    def grant(self, request: Request) -> Grant | None:
        """Return the grant of a request's session; None when nobody is logged in."""
        secret = self._secret(request)
        return self._parts.sessions.find(secret) if secret else None

    async def session(self, request: Request) -> Response:
        """Answer GET /session with the logged-in principal."""
        grant = self.grant(request)
        if grant is None:
            return self.refused()
        return JSONResponse(
            {
                "tenant": grant.principal.tenant,
                "name": grant.principal.name,
                "roles": sorted(grant.principal.roles),
                "version": VERSION,
                "build": self._parts.build,
                "timeZone": self._parts.time_zone,
                "readOnly": self._parts.read_only,
                "refused": await self._parts.refusals(grant),
                "expires": int(grant.expires),
            }
        )

    async def login(self, request: Request) -> Response:
        """Answer GET /login: spend a link, and redirect to the page with a session."""
        target = request.query_params.get("next", "/")
        if not is_page(target):
            return PlainTextResponse("parameter next must be a path of this console\n", 400)
        link = self._parts.links.spend(request.query_params.get("token", ""))
        if link is None:
            if self.grant(request) is not None:
                # The same link again, from the same browser.
                return RedirectResponse(target, 303)
            return PlainTextResponse(_SPENT.format(how=self._parts.how_to_link), 403)
        answer = RedirectResponse(target, 303)
        self.begin(answer, link.principal)
        return answer

    def begin(
        self, answer: Response, principal: Principal, *, token_id: str = "", until: float = math.inf
    ) -> None:
        """Make an answer begin a session.

        Args:
            answer: to the browser.
            principal: who logs in.
            token_id: the static token with which the session ends.
            until: when the session ends at the latest, in seconds since the epoch.
        """
        answer.set_cookie(
            self.cookie,
            self._parts.sessions.issue(principal, token_id=token_id, until=until),
            max_age=self._parts.session_seconds,
            path="/",
            httponly=True,
            samesite="strict",
            secure=self.secure,
        )

    async def logout(self, request: Request) -> Response:
        """Answer POST /logout: end the session, and its streams."""
        grant = self._parts.sessions.spend(self._secret(request))
        if grant is not None:
            self._parts.streams.end_session(grant.key)
        answer = Response(status_code=204)
        answer.delete_cookie(
            self.cookie, path="/", httponly=True, samesite="strict", secure=self.secure
        )
        return answer

    def refused(self) -> Response:
        """Return the answer to a request without a session: Connect's error, which is JSON."""
        failure = CallFailed(Code.UNAUTHENTICATED, f"log in first: {self._parts.how_to_link}")
        return Response(failure.encoded(), Code.UNAUTHENTICATED.http, media_type="application/json")

    def _secret(self, request: Request) -> str:
        return request.cookies.get(self.cookie, "")


def local_time_zone(environment_zone: str, localtime: Path = Path("/etc/localtime")) -> str:
    """Return the name of this machine's time zone, as browsers know it.

    Args:
        environment_zone: the variable TZ.
        localtime: the link by which the system names its zone.
    """
    zone = environment_zone.removeprefix(":")
    if zone and not zone.startswith("/"):
        return zone
    _, found, linked = str(localtime.resolve()).rpartition("/zoneinfo/")
    return linked if found else "UTC"
