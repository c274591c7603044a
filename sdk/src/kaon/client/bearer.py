"""The token that calls show: from the environment, or from what `kaon login` has kept."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from kaon.client.logins import Login, LoginFile
from kaon.client.oidc import Issuer, LoginExpired
from kaon_wire.errors import Unavailable

TOKEN = "KAON_TOKEN"
# Seconds before its end at which a token is renewed: a call that it goes with may take as long.
_EARLY = 60


class Bearer:
    """Returns the token for the calls of one server, and renews it before it ends. Thread-safe.

    Args:
        server: The address under which `kaon login` has kept the login.
        environment: KAON_TOKEN in it goes before every login.
        file: The logins.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self,
        server: str,
        *,
        environment: Mapping[str, str] = os.environ,
        file: LoginFile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._server = server
        self._given = environment.get(TOKEN, "").strip()
        self._file = file or LoginFile()
        self._clock = clock
        self._login: Login | None = None
        self._read = False
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Return the token; empty without one.

        Raises:
            LoginExpired: The login has ended, and cannot be renewed.
            InvalidValue: The file of logins cannot be read.
            Unavailable: The token has ended, and the issuer does not answer.
        """
        if self._given:
            return self._given
        with self._lock:
            if not self._read:
                self._login, self._read = self._file.get(self._server), True
            if self._login is None:
                return ""
            if self._ends_soon(self._login):
                self._login = self._renewed(self._login)
            return self._login.token

    def _ends_soon(self, login: Login) -> bool:
        return 0 < login.expires < self._clock() + _EARLY

    def _renewed(self, login: Login) -> Login:
        with self._file.locked():
            # Another process may have renewed it meanwhile.
            kept = self._file.get(self._server) or login
            if not self._ends_soon(kept):
                return kept
            if not kept.refresh_token:
                return self._unless_over(kept)
            try:
                renewed = _refreshed(kept, self._clock())
            except Unavailable:
                if self._clock() < kept.expires:
                    return kept
                raise
            self._file.put(self._server, renewed)
            return renewed

    def _unless_over(self, login: Login) -> Login:
        if self._clock() < login.expires:
            return login
        raise LoginExpired(f"the login at {self._server} has expired: log in with kaon login")


def _refreshed(login: Login, now: float) -> Login:
    found = Issuer(login.issuer, login.client_id, login.ca).refreshed(login.refresh_token)
    token: str = getattr(found, login.shows)
    if not token:
        raise LoginExpired(f"the issuer {login.issuer} gives no new token: log in with kaon login")
    return replace(
        login,
        token=token,
        expires=found.expires(login.shows, now),
        # An issuer that does not rotate it says nothing.
        refresh_token=found.refresh_token or login.refresh_token,
    )
