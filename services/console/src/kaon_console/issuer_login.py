"""Logs people in by an OIDC issuer. Its tokens stay here: the browser gets a session as every other one."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed
from kaon_console.issuer import Begun, Issuer, Refused
from kaon_console.login import Login, is_page
from kaon_console.token_login import TokenLogin
from kaon_wire.errors import KaonError

log = structlog.get_logger(__name__)

BACK = "/login/issuer/back"
_SECONDS = 600
# Logins that have begun and not ended; the oldest ones are forgotten.
_MOST = 1_000


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    begun: Begun
    # Known to the browser that has begun it, and to no other.
    browser: str
    # The page that was wanted.
    page: str
    until: float


class IssuerLogin:
    """Sends browsers to the issuer, and begins a session when they come back.

    Args:
        issuer: None: there is none, and people log in by other ways.
        login: keeps the sessions.
        token_login: knows whose a token is.
    """

    def __init__(self, issuer: Issuer | None, login: Login, token_login: TokenLogin) -> None:
        self._issuer = issuer
        self._login = login
        self._token_login = token_login
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        # Not "strict": the browser comes back from another site.
        self._cookie = login.cookie.replace("session", "login")

    async def ways(self, _request: Request) -> Response:
        """Answer GET /login/ways: the host of the issuer; empty when there is none."""
        return JSONResponse({"issuer": self._issuer.host if self._issuer else ""})

    async def begin(self, request: Request) -> Response:
        """Answer GET /login/issuer: send the browser to the issuer."""
        page = request.query_params.get("next", "/")
        if self._issuer is None or not is_page(page):
            return PlainTextResponse(
                "there is no issuer, or next is no path of this console\n", 400
            )
        try:
            begun = await asyncio.to_thread(self._issuer.begin)
        except KaonError as error:
            return _refused(str(error), 503)
        browser = secrets.token_urlsafe(24)
        self._waiting[begun.state] = _Waiting(
            begun=begun, browser=browser, page=page, until=time.monotonic() + _SECONDS
        )
        while len(self._waiting) > _MOST:
            self._waiting.popitem(last=False)
        answer = RedirectResponse(begun.address, 303)
        answer.set_cookie(
            self._cookie,
            browser,
            max_age=_SECONDS,
            path="/",
            httponly=True,
            samesite="lax",
            secure=self._login.secure,
        )
        return answer

    async def back(self, request: Request) -> Response:
        """Answer GET /login/issuer/back: the issuer has sent the browser back, with a code or a refusal."""
        waiting = self._waiting.pop(request.query_params.get("state", ""), None)
        shown = request.cookies.get(self._cookie, "")
        if (
            waiting is None
            or self._issuer is None
            or waiting.until < time.monotonic()
            or not hmac.compare_digest(waiting.browser.encode(), shown.encode())
        ):
            return _refused("this login has ended, or was begun in another browser", 403)
        code = request.query_params.get("code", "")
        if not code:
            return _refused(f"{self._issuer.host} has refused the login", 403)
        try:
            tokens = await asyncio.to_thread(self._issuer.tokens, waiting.begun, code)
            answer = RedirectResponse(waiting.page, 303)
            await self._begin(answer, tokens)
        except Refused as error:
            return _refused(str(error), 403)
        except KaonError as error:
            return _refused(str(error), 503)
        except CallFailed as failure:
            return _refused(failure.message, failure.code.http)
        return answer

    async def _begin(self, answer: Response, tokens: list[str]) -> None:
        """Begin a session with the first token that counts.

        Raises:
            CallFailed: None does.
        """
        refused = CallFailed(Code.UNAUTHENTICATED, "the issuer gives no token that counts here")
        for token in tokens:
            try:
                await self._token_login.begin(answer, token)
            except CallFailed as failure:
                if failure.code is not Code.UNAUTHENTICATED:
                    raise
                refused = failure
            else:
                return
        raise refused


def _refused(text: str, status: int) -> Response:
    log.info("login refused", reason=text)
    return PlainTextResponse(f"{text}: go back to the console, and sign in again\n", status)
