"""From settings to what stands before the handlers of a service, and to how it calls others."""

from __future__ import annotations

from collections.abc import Callable

from kaon_service.access.access_settings import AccessSettings, Auth
from kaon_service.access.admission import OPEN, Admission
from kaon_service.access.certificates import Certificates
from kaon_service.access.chain import Chain
from kaon_service.access.credentials import Authenticator, TenantSource, TokenSource
from kaon_service.access.guard import Guard
from kaon_service.access.oidc import OidcTokens
from kaon_service.access.rates import Rates
from kaon_service.access.recording import Recorder
from kaon_service.access.rules_file import read_rules
from kaon_service.access.service_keys import ServiceAuthenticator, ServiceKeys
from kaon_service.access.static_tokens import StaticTokens
from kaon_service.access.tls import server_credentials
from kaon_service.access.watched import Watched
from kaon_wire.lease_tokens import LeaseKeys


def guard_of(
    settings: AccessSettings,
    *,
    tokens: TokenSource,
    tenants: TenantSource,
    recorder: Recorder,
    rates: Rates,
    leases: Callable[[], LeaseKeys] | None = None,
) -> Guard:
    """Return the guard of a service.

    Args:
        settings: Who may call, and how.
        tokens: Where static tokens are found.
        tenants: Where tenants are found.
        recorder: Is told of every call.
        rates: Refuses what exceeds the limits of its tenant.
        leases: Returns the keys of the leases under which runners call, where they do.

    Raises:
        InvalidValue: A file in the settings is missing or malformed.
    """
    admission = OPEN
    if settings.auth is Auth.ON:
        authenticate = Chain(_authenticators(settings, tokens))
        admission = Admission(authenticate=authenticate, tenants=tenants, leases=leases)
    return Guard(
        admission=admission,
        recorder=recorder,
        rates=rates,
        credentials=server_credentials(settings),
    )


def service_keys(settings: AccessSettings) -> ServiceKeys | None:
    """Return the keys with which this service shows itself to others; None without any.

    Raises:
        InvalidValue: The file is missing or malformed.
    """
    if settings.service_keys is None:
        return None
    return ServiceKeys(settings.service_keys, settings.deployment)


def _authenticators(settings: AccessSettings, tokens: TokenSource) -> list[Authenticator]:
    found: list[Authenticator] = []
    keys = service_keys(settings)
    if keys is not None:
        found.append(ServiceAuthenticator(keys))
    found.append(StaticTokens(tokens))
    if (path := settings.rules) is not None:
        rules = Watched([path], lambda: read_rules(path))
        found += [OidcTokens(rules.get), Certificates(rules.get)]
    return found
