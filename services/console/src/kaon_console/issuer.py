"""An OIDC issuer as the console's server talks to it: the authorization-code flow with PKCE, by Authlib. Every method blocks."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from kaon_wire.addresses import is_loopback
from kaon_wire.errors import KaonError, Unavailable

_SCOPE = "openid profile"
_SECONDS = 10


class Refused(KaonError):
    """The issuer lets nobody in by this login."""


@dataclass(frozen=True, kw_only=True)
class IssuerSettings:
    """Where people log in, and as which client the console is known there. Each field's variable is named beside it."""

    # KAON_OIDC_ISSUER: such as "https://login.example.org/realms/team".
    url: str
    # KAON_OIDC_CLIENT_ID: the client that is registered there, with <origin of the console>/login/issuer/back to return to.
    client_id: str = "kaon"
    # KAON_OIDC_CLIENT_SECRET_FILE: a file with its secret; None: it is a public client.
    secret_file: Path | None = None
    # KAON_TLS_CA: authorities beside the usual ones.
    ca: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A login that has begun."""

    # Where the browser is sent.
    address: str
    state: str
    nonce: str
    verifier: str = field(repr=False)


class Issuer:
    """One issuer.

    Args:
        settings: see there.
        back: the address to which it sends browsers back.
    """

    def __init__(self, settings: IssuerSettings, back: str) -> None:
        self._settings = settings
        self._back = back
        self._known: Mapping[str, Any] | None = None

    @property
    def host(self) -> str:
        """Its name, for people."""
        return urlsplit(self._settings.url).netloc

    def begin(self) -> Begun:
        """Return a login that begins.

        Raises:
            Unavailable: The issuer does not answer.
        """
        nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        with self._session() as session:
            address, state = session.create_authorization_url(
                self._endpoint(session, "authorization_endpoint"),
                code_verifier=verifier,
                nonce=nonce,
            )
        return Begun(address=address, state=state, nonce=nonce, verifier=verifier)

    def tokens(self, begun: Begun, code: str) -> list[str]:
        """Return the JWTs for which a code is exchanged, once; the coordinator verifies them.

        Raises:
            Refused: The issuer refuses the code, or answers another login.
            Unavailable: It does not answer.
        """
        from authlib.common.errors import AuthlibBaseError
        from requests import RequestException

        try:
            with self._session() as session:
                told = session.fetch_token(
                    self._endpoint(session, "token_endpoint"),
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=begun.verifier,
                )
        except AuthlibBaseError as error:
            raise Refused(f"{self.host} refuses this login: {error.error}") from error
        except (RequestException, ValueError) as error:
            raise self._away(error) from error
        about = str(told.get("id_token", ""))
        if about.count(".") == 2 and _nonce(about) != begun.nonce:
            raise Refused(f"{self.host} has answered another login than this one")
        found = (str(told.get(name, "")) for name in ("access_token", "id_token"))
        return [token for token in found if token.count(".") == 2]

    def _session(self) -> Any:
        # Loaded by those who log in by an issuer only.
        from authlib.integrations.requests_client import OAuth2Session

        settings = self._settings
        secret = settings.secret_file.read_text().strip() if settings.secret_file else None
        session = OAuth2Session(
            settings.client_id,
            secret,
            scope=_SCOPE,
            redirect_uri=self._back,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            default_timeout=_SECONDS,
        )
        session.mount("https://", _trusting(settings.ca))
        # An issuer on this machine is not behind a proxy.
        session.trust_env = not is_here(settings.url)
        return session

    def _endpoint(self, session: Any, name: str) -> str:
        from requests import RequestException

        if self._known is None:
            url = self._settings.url.rstrip("/")
            try:
                answer = session.get(
                    f"{url}/.well-known/openid-configuration",
                    withhold_token=True,
                    allow_redirects=False,
                )
                answer.raise_for_status()
                known: Mapping[str, Any] = answer.json()
            except (RequestException, ValueError) as error:
                raise self._away(error) from error
            if str(known.get("issuer", "")).rstrip("/") != url:
                raise Unavailable(f"{url} says that it is another issuer: {known.get('issuer')!r}")
            self._known = known
        found = str(self._known.get(name, ""))
        if urlsplit(found).scheme != "https" and not is_here(found):
            raise Unavailable(f"the issuer at {self.host} offers no {name} over HTTPS")
        return found

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(f"the issuer at {self.host} does not answer: {type(error).__name__}")


def is_here(url: str) -> bool:
    """Whether an address is on this machine, where nobody listens in."""
    return is_loopback(f"{urlsplit(url).hostname}:0")


def _nonce(token: str) -> str:
    # It came from the issuer itself, over a line that was verified.
    return str(jwt.decode(token, options={"verify_signature": False}).get("nonce", ""))


def _trusting(ca: Path | None) -> Any:
    """Return what opens lines to servers of the usual authorities, and of those in a file."""
    from requests.adapters import HTTPAdapter

    class Trusting(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            context = ssl.create_default_context()
            if ca is not None:
                context.load_verify_locations(ca)
            super().init_poolmanager(*args, ssl_context=context, **kwargs)

    return Trusting()
