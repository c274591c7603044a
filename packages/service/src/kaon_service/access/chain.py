"""All authenticators of a service, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from kaon_service.access.credentials import Authenticator, Credentials, Unauthenticated
from kaon_service.principal import Principal


class Chain:
    """Asks each authenticator in turn. The first that knows the kind of the credentials decides."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def __call__(self, credentials: Credentials) -> Principal:
        """Return the caller.

        Raises:
            Unauthenticated: The credentials are missing, of no known kind, or not valid.
            Unavailable: What is needed to check them does not answer.
        """
        for each in self._authenticators:
            caller = await each.authenticate(credentials)
            if caller is not None:
                return caller
        raise Unauthenticated("no credentials of a known kind")
