"""Settings of authentication and of encrypted lines, the same for every service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

from kaon_wire.addresses import is_loopback
from kaon_wire.channels import ChannelSecurity
from kaon_wire.errors import InvalidValue

log = structlog.get_logger(__name__)


class Auth(StrEnum):
    """Whether a service authenticates its callers."""

    # Callers are who they say they are. Only where nobody from another machine can call.
    OFF = "off"
    ON = "on"
    # As off, also where others can call: whoever reaches the service can do everything.
    INSECURE = "insecure"


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """Settings of who may call, and how. Each field's variable is named beside it."""

    # KAON_AUTH: off, on or insecure.
    auth: Auth = Auth.OFF
    # KAON_AUTH_FILE: issuers of tokens and principals of certificates (docs/closing.md); empty: there are none.
    rules: Path | None = None
    # KAON_SERVICE_KEYS: file with the keys by which services know each other; needed with KAON_AUTH=on.
    service_keys: Path | None = None
    # KAON_DEPLOYMENT: the services among which these keys count.
    deployment: str = "kaon"
    # KAON_TLS: on or off; empty: on when there is a certificate.
    tls: bool | None = None
    # KAON_TLS_CERT, KAON_TLS_KEY: the certificate of this service, with its chain, and its private key (PEM).
    certificate: Path | None = None
    key: Path | None = None
    # KAON_TLS_CLIENT_CA: authorities of clients' certificates; with it every client must show one.
    client_ca: Path | None = None
    # How this service calls others: KAON_TLS, KAON_TLS_CA, and the certificate above.
    channels: ChannelSecurity = field(default_factory=ChannelSecurity)

    @property
    def authenticates(self) -> bool:
        """Return whether callers must show who they are."""
        return self.auth is Auth.ON

    @property
    def encrypts(self) -> bool:
        """Return whether this service listens with TLS."""
        return self.certificate is not None and self.tls is not False


def access_from(environment: Mapping[str, str]) -> AccessSettings:
    """Read the settings from the environment.

    Raises:
        InvalidValue: A variable has an invalid value; the message names it.
    """
    auth = environment.get("KAON_AUTH") or Auth.OFF
    if auth not in set(Auth):
        raise InvalidValue(f"KAON_AUTH: {auth!r} is not one of {', '.join(Auth)}")
    tls = environment.get("KAON_TLS", "")
    if tls not in {"", "on", "off"}:
        raise InvalidValue(f"KAON_TLS: {tls!r} is neither 'on' nor 'off'")
    settings = AccessSettings(
        auth=Auth(auth),
        rules=_path(environment, "KAON_AUTH_FILE"),
        service_keys=_path(environment, "KAON_SERVICE_KEYS"),
        deployment=environment.get("KAON_DEPLOYMENT") or AccessSettings.deployment,
        tls=None if not tls else tls == "on",
        certificate=_path(environment, "KAON_TLS_CERT"),
        key=_path(environment, "KAON_TLS_KEY"),
        client_ca=_path(environment, "KAON_TLS_CLIENT_CA"),
        channels=ChannelSecurity.from_environment(environment),
    )
    _check(settings)
    return settings


def check_listeners(settings: AccessSettings, listeners: Mapping[str, str]) -> None:
    """Check that no listener, by its variable, is open to other machines unless somebody has said so; warn when it is.

    Raises:
        InvalidValue: A listener is open; the message names its variable and the remedy.
    """
    open_to_others = {
        variable: address
        for variable, address in listeners.items()
        if address and not is_loopback(address)
    }
    for variable, address in open_to_others.items():
        if settings.auth is Auth.OFF:
            raise InvalidValue(
                f"{address} ({variable}) can be reached from other machines, and KAON_AUTH is off: whoever reaches it could do "
                "everything. Listen on 127.0.0.1, or set KAON_AUTH=on and what docs/closing.md names, or KAON_AUTH=insecure "
                "where the network lets nobody in"
            )
        if settings.tls is None and not settings.encrypts:
            raise InvalidValue(
                f"{address} ({variable}) can be reached from other machines, and nothing is encrypted. Set KAON_TLS_CERT and "
                "KAON_TLS_KEY, or KAON_TLS=off where a proxy encrypts, or the network lets nobody in"
            )
    if settings.auth is Auth.INSECURE and open_to_others:
        log.warning(
            "nobody is authenticated: whoever reaches this service can do everything (KAON_AUTH=insecure)",
            **{name.lower(): address for name, address in open_to_others.items()},
        )
    elif settings.auth is Auth.OFF:
        log.info("nobody is authenticated; only this machine can call (KAON_AUTH=off)")


def _check(settings: AccessSettings) -> None:
    if (settings.certificate is None) != (settings.key is None):
        missing = "KAON_TLS_KEY" if settings.key is None else "KAON_TLS_CERT"
        raise InvalidValue(f"{missing}: a certificate and its key are set together")
    if settings.client_ca is not None and not settings.encrypts:
        raise InvalidValue("KAON_TLS_CLIENT_CA: needs KAON_TLS_CERT and KAON_TLS_KEY")
    if settings.auth is Auth.ON and settings.service_keys is None:
        raise InvalidValue(
            "KAON_SERVICE_KEYS: KAON_AUTH=on needs a file with the keys by which services know each other"
        )


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "")
    return Path(text).absolute() if text else None
