"""What a console can be told, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kaon_console.issuer import IssuerSettings, is_here
from kaon_service.access.access_settings import AccessSettings, access_from
from kaon_service.principal import PRINCIPAL_KEY, ROLES_KEY, TENANT_KEY, Principal, principal_of
from kaon_telemetry.endpoint import metrics_token
from kaon_wire.addresses import is_loopback
from kaon_wire.channels import ChannelSecurity
from kaon_wire.errors import InvalidValue

# Where the build puts the page.
BUILT_PAGES = Path(__file__).parent / "static"
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one console. Each field's variable is named beside it."""

    # KAON_CONSOLE_ADDRESS: where it listens; port 0 takes a free one. Anything but this machine wants KAON_CONSOLE_ORIGINS.
    address: str = "127.0.0.1:7072"
    # KAON_CONSOLE_ORIGINS: how browsers reach it, such as "https://kaon.example.org", with commas between several; empty: the port
    # that it listens at, on this machine. Requests for another host are refused, and so are calls of pages from elsewhere.
    origins: tuple[str, ...] = ()
    # KAON_SERVER: host:port of the coordinator.
    server: str = "127.0.0.1:7070"
    # KAON_VIEW: host:port of the view service; empty: the coordinator where that serves views, else port 7075 of its host.
    view: str = ""
    # KAON_PUBLISHER: host:port of the model publisher.
    publisher: str = "127.0.0.1:7071"
    # KAON_PREVIEW_BYTES: of a larger text only so much is shown, and a larger image is not.
    preview_bytes: int = 5_000_000
    # KAON_CONSOLE_STATE: a directory of its own, where it keeps the hashes of links and sessions.
    state: Path = Path(".kaon/console")
    # KAON_CONSOLE_SESSION_HOURS: how long somebody stays logged in.
    session_hours: float = 168.0
    # KAON_CONSOLE_STREAMS: most streams that are open at once.
    streams: int = 1000
    # KAON_TENANT: tenant of whoever logs in.
    tenant: str = Principal.tenant
    # KAON_PRINCIPAL: their name, as histories show it.
    name: str = Principal.name
    # KAON_ROLES: their roles, separated by commas, for approvals.
    roles: str = ""
    # KAON_METRICS: host:port at which Prometheus reads metrics; empty: metrics are not served.
    metrics: str = ""
    # KAON_METRICS_TOKEN_FILE: a file with the token that reading them takes; "none": no token, although others reach the address.
    metrics_token: str = field(default="", repr=False)
    # Who may call, and how the services are called: KAON_AUTH, KAON_SERVICE_KEYS, KAON_TLS and others.
    access: AccessSettings = field(default_factory=AccessSettings)
    # KAON_OIDC_ISSUER, KAON_OIDC_CLIENT_ID, KAON_OIDC_CLIENT_SECRET_FILE: where people log in; None: nowhere else.
    issuer: IssuerSettings | None = None
    # Commands are refused: what is looked at has nobody who would carry them out.
    read_only: bool = False
    # The built page.
    pages: Path = BUILT_PAGES

    @property
    def principal(self) -> Principal:
        """Return the principal that logs in.

        Raises:
            InvalidValue: The name or tenant is invalid.
        """
        roles = ",".join(filter(None, (role.strip() for role in self.roles.split(","))))
        return principal_of(
            ((TENANT_KEY, self.tenant), (PRINCIPAL_KEY, self.name), (ROLES_KEY, roles))
        )


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from the environment; absent variables have their defaults.

    Raises:
        InvalidValue: A variable has an invalid value; the message names it.
    """
    default = Settings()
    settings = Settings(
        address=environment.get("KAON_CONSOLE_ADDRESS", default.address),
        origins=_origins(environment.get("KAON_CONSOLE_ORIGINS", "")),
        server=environment.get("KAON_SERVER", default.server),
        view=environment.get("KAON_VIEW", default.view),
        publisher=environment.get("KAON_PUBLISHER", default.publisher),
        preview_bytes=int(_number(environment, "KAON_PREVIEW_BYTES", default.preview_bytes)),
        state=Path(environment.get("KAON_CONSOLE_STATE", default.state)).absolute(),
        session_hours=_number(environment, "KAON_CONSOLE_SESSION_HOURS", default.session_hours),
        streams=int(_number(environment, "KAON_CONSOLE_STREAMS", default.streams)),
        tenant=environment.get("KAON_TENANT", default.tenant) or default.tenant,
        name=environment.get("KAON_PRINCIPAL", default.name) or default.name,
        roles=environment.get("KAON_ROLES", default.roles),
        metrics=environment.get("KAON_METRICS", default.metrics),
        metrics_token=metrics_token(environment),
        access=access_from(environment),
        issuer=_issuer(environment),
    )
    # Nobody can log in as who cannot be.
    _ = settings.principal
    return settings


def _issuer(environment: Mapping[str, str]) -> IssuerSettings | None:
    url = environment.get("KAON_OIDC_ISSUER", "")
    if not url:
        return None
    if urlsplit(url).scheme != "https" and not is_here(url):
        raise InvalidValue(f"KAON_OIDC_ISSUER: {url!r} must begin with https://")
    secret = environment.get("KAON_OIDC_CLIENT_SECRET_FILE", "")
    return IssuerSettings(
        url=url,
        client_id=environment.get("KAON_OIDC_CLIENT_ID") or IssuerSettings.client_id,
        secret_file=Path(secret).absolute() if secret else None,
        ca=ChannelSecurity.from_environment(environment).ca,
    )


def split_address(address: str) -> tuple[str, int]:
    """Return the host and the port of an address.

    Raises:
        InvalidValue: The address is malformed.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidValue(f"KAON_CONSOLE_ADDRESS: {address!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def origins_of(settings: Settings, port: int) -> tuple[str, ...]:
    """Return the origins of a console that listens at a port; links have the first one.

    Raises:
        InvalidValue: it can be reached from elsewhere, and nobody has said how.
    """
    if settings.origins:
        return settings.origins
    host, _ = split_address(settings.address)
    if not is_loopback(settings.address):
        raise InvalidValue(
            f"KAON_CONSOLE_ADDRESS: {host} can be reached from other machines, which read and steer every run with a link. "
            "Use 127.0.0.1, or name the origins by which browsers come in KAON_CONSOLE_ORIGINS"
        )
    scheme = "https" if settings.access.encrypts else "http"
    return tuple(f"{scheme}://{each}:{port}" for each in _LOCAL_HOSTS)


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(each.strip()) for each in text.split(",") if each.strip())


def _origin(text: str) -> str:
    parts = urlsplit(text)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or origin != text.lower().rstrip("/")
    ):
        raise InvalidValue(
            f"KAON_CONSOLE_ORIGINS: {text!r} is no origin such as https://kaon.example.org"
        )
    return origin


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        raise InvalidValue(f"{name}: {text!r} is not a number") from None
    if not 0 < number < float("inf"):
        raise InvalidValue(f"{name}: {text!r} must be more than 0")
    return number
