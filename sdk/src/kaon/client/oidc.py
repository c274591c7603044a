"""Logs a person in at an OIDC issuer without a browser of this process: the device flow (RFC 8628)."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaon.client.errors import AccessDenied
from kaon_wire.errors import KaonError, Unavailable

_SECONDS = 10
_LARGEST_ANSWER = 1024 * 1024
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_SCOPE = "openid profile offline_access"
# What the standard says when the issuer does not.
_INTERVAL = 5
_SLOWER = 5
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class LoginExpired(AccessDenied):
    """A login that was kept is over, and cannot be renewed."""


class Refused(KaonError):
    """The issuer answered with an error of OAuth.

    Args:
        code: Such as "authorization_pending".
        text: For people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What an issuer gives. Secrets are not part of its text."""

    access_token: str = field(repr=False)
    id_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    # Seconds for which the access token is valid; 0: the issuer does not say.
    expires_in: int

    def expires(self, shows: str, now: float) -> int:
        """Return when a token ends, in seconds since the epoch; 0 when it does not say."""
        stated = _claims(getattr(self, shows)).get("exp")
        if isinstance(stated, int | float):
            return int(stated)
        return int(now) + self.expires_in if self.expires_in else 0


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a person is asked to do."""

    # The page to open.
    url: str
    # The same with the code filled in; empty when the issuer has none.
    whole_url: str
    # To be typed there.
    code: str
    # Seconds for which the code is valid.
    seconds: int


class Issuer:
    """Talks to one issuer.

    Args:
        url: The issuer, such as "https://login.example.org/realms/team".
        client_id: The public client that is registered for Kaon's command line.
        ca: A file of certificates to check the issuer's against, beside those of the machine.
    """

    def __init__(self, url: str, client_id: str, ca: str = "") -> None:
        self.url = url.rstrip("/")
        self.client_id = client_id
        self._context = _trusting(ca)
        self._found: Mapping[str, Any] | None = None

    def device_login(
        self,
        show: Callable[[Prompt], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Tokens:
        """Ask a person to confirm the login elsewhere, and wait until they have.

        Args:
            show: Tells the person what to do.
            sleep: Waits for some seconds.
            clock: Returns seconds that only grow.

        Raises:
            AccessDenied: The person refused, or did not come in time.
            KaonError: The issuer does not offer this, or does not answer.
        """
        asked = {"client_id": self.client_id, "scope": _SCOPE}
        answer = self._post(self._endpoint("device_authorization_endpoint"), asked)
        prompt = _prompt(answer)
        show(prompt)
        poll = {"grant_type": _DEVICE_GRANT, "device_code": _text(answer, "device_code")}
        interval = _number(answer, "interval", _INTERVAL)
        deadline = clock() + prompt.seconds
        while clock() < deadline:
            sleep(interval)
            try:
                return self._tokens(poll)
            except Refused as error:
                if error.code == "slow_down":
                    interval += _SLOWER
                elif error.code == "expired_token":
                    break
                elif error.code == "access_denied":
                    raise AccessDenied(f"the login was refused at {self.url}") from error
                elif error.code != "authorization_pending":
                    raise
            except Unavailable:
                # It may be back for the next look.
                interval = max(interval, _INTERVAL)
        raise AccessDenied("nobody confirmed the login in time: begin again with kaon login")

    def refreshed(self, refresh_token: str) -> Tokens:
        """Return new tokens for an old login.

        Raises:
            LoginExpired: The login is over.
            Unavailable: The issuer does not answer.
        """
        asked = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            found = self._tokens(asked)
        except Refused as error:
            raise LoginExpired(
                f"the login has expired ({error}): log in with kaon login"
            ) from error
        return found

    def revoke(self, refresh_token: str) -> None:
        """End a login at the issuer, when it offers that.

        Raises:
            KaonError: The issuer refuses, or does not answer.
        """
        if self._configuration().get("revocation_endpoint"):
            asked = {"client_id": self.client_id, "token": refresh_token}
            self._post(
                self._endpoint("revocation_endpoint"),
                asked | {"token_type_hint": "refresh_token"},
            )

    def _tokens(self, asked: Mapping[str, str]) -> Tokens:
        wanted = {"client_id": self.client_id, **asked}
        answer = self._post(self._endpoint("token_endpoint"), wanted)
        return Tokens(
            access_token=_text(answer, "access_token"),
            id_token=_text(answer, "id_token", ""),
            refresh_token=_text(answer, "refresh_token", ""),
            expires_in=_number(answer, "expires_in", 0),
        )

    def _configuration(self) -> Mapping[str, Any]:
        if self._found is None:
            url = f"{self.url}/.well-known/openid-configuration"
            found = self._ask(urllib.request.Request(_safe(url)))
            if str(found.get("issuer", "")).rstrip("/") != self.url:
                raise KaonError(
                    f"{self.url} says that it is the issuer {found.get('issuer')!r}: use that address"
                )
            self._found = found
        return self._found

    def _endpoint(self, name: str) -> str:
        url = self._configuration().get(name)
        if not isinstance(url, str):
            raise KaonError(f"the issuer {self.url} offers no {name}: use kaon login --token -")
        return _safe(url)

    def _post(self, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        data = urllib.parse.urlencode(form).encode()
        return self._ask(urllib.request.Request(url, data=data))

    def _ask(self, request: urllib.request.Request) -> Mapping[str, Any]:
        """Return an answer.

        Raises:
            Refused: It is an error of OAuth.
            Unavailable: It is none, or there is none.
        """
        request.add_header("Accept", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS, context=self._context) as answer:
                return _parsed(answer.read(_LARGEST_ANSWER), self.url)
        except urllib.error.HTTPError as error:
            with error:
                problem = _parsed_error(error.read(_LARGEST_ANSWER))
            if problem is None:
                raise Unavailable(f"the issuer {self.url} answers HTTP {error.code}") from error
            raise problem from error
        except (OSError, ValueError) as error:
            raise Unavailable(f"no answer from the issuer {self.url}: {error}") from error


def _prompt(answer: Mapping[str, Any]) -> Prompt:
    return Prompt(
        url=_text(answer, "verification_uri"),
        whole_url=_text(answer, "verification_uri_complete", ""),
        code=_text(answer, "user_code"),
        seconds=_number(answer, "expires_in", 600),
    )


def _text(answer: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = answer.get(name, default)
    if not isinstance(value, str):
        raise KaonError(f"the issuer's answer has no {name}")
    return value


def _number(answer: Mapping[str, Any], name: str, default: int) -> int:
    value = answer.get(name, default)
    # A few issuers quote numbers.
    return int(value) if str(value).isdigit() else default


def _parsed(data: bytes, url: str) -> Mapping[str, Any]:
    if not data:
        return {}
    found = json.loads(data)
    if not isinstance(found, dict):
        raise Unavailable(f"the issuer {url} answers with something else than a JSON object")
    return found


def _parsed_error(data: bytes) -> Refused | None:
    try:
        found = json.loads(data)
        code = found["error"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(code, str):
        return None
    return Refused(code, str(found.get("error_description") or code))


def _claims(token: str) -> Mapping[str, Any]:
    """Return what a JWT says of itself; the server checks it. Nothing when it is none."""
    parts = token.split(".")
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _safe(url: str) -> str:
    """Return an address to which secrets may be sent.

    Raises:
        KaonError: It is not encrypted, and leaves this machine.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise KaonError(f"the issuer's address {url} must begin with https://")


def _trusting(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca:
        try:
            context.load_verify_locations(ca)
        except OSError as error:
            raise KaonError(f"the certificates in {ca} cannot be read: {error}") from error
    return context
