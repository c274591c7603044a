"""How a service calls another one: over which line, and for whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kaon_service.access.access_settings import AccessSettings
from kaon_service.access.building import service_keys
from kaon_service.access.service_keys import SERVICE_KEY, ServiceKeys
from kaon_service.principal import Principal, metadata_of
from kaon_wire.channels import ChannelSecurity


@dataclass(frozen=True, kw_only=True)
class Calling:
    """Makes the metadata and the channels of calls to other services."""

    # Of this service, such as "coordinator".
    service: str
    keys: ServiceKeys | None = None
    # Returns the token of the person for whom this process works, where it holds no keys of services; empty without one.
    bearer: Callable[[], str] = lambda: ""
    channels: ChannelSecurity = field(default_factory=ChannelSecurity)

    def metadata_for(self, caller: Principal) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call for a principal: signed, and by name for services without authentication.

        Raises:
            KaonError: There is a token, and it has expired.
        """
        if self.keys is None and (token := self.bearer()):
            # The service knows whose token it is.
            return (("authorization", f"Bearer {token}"),)
        return (*self._signed(caller), *metadata_of(caller))

    @property
    def own_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call of this service for itself."""
        return self._signed(None)

    def _signed(self, caller: Principal | None) -> tuple[tuple[str, str], ...]:
        if self.keys is None:
            return ()
        return ((SERVICE_KEY, self.keys.sign(self.service, caller)),)


def calling(service: str, settings: AccessSettings) -> Calling:
    """Return how a service calls others.

    Raises:
        InvalidValue: A file in the settings is missing or malformed.
    """
    return Calling(service=service, keys=service_keys(settings), channels=settings.channels)
