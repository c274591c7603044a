"""How the publisher connects to an image registry: over TLS, as an account that may push."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kaon_wire.errors import InvalidValue
from kaon_wire.key_files import read_password

_CA = "KAON_REGISTRY_CA"
_USER = "KAON_REGISTRY_USER"
_PASSWORD_FILE = "KAON_REGISTRY_PASSWORD_FILE"
# Of KAON_REGISTRY_CA: the authorities that the system trusts.
_SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class RegistryAccess:
    """The security of connections to a registry. Each field's variable is named beside it."""

    # KAON_REGISTRY_CA: "system", or a PEM file with the authorities of the registry's certificate; empty: no TLS.
    ca: str = ""
    # KAON_REGISTRY_USER: an account that may push; empty: the registry asks for none.
    user: str = ""
    # KAON_REGISTRY_PASSWORD_FILE: a file with its password.
    password: str = field(default="", repr=False)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> RegistryAccess:
        """Read the variables.

        Raises:
            InvalidValue: A file cannot be read, or a password would travel without TLS.
        """
        ca, user = environment.get(_CA, ""), environment.get(_USER, "")
        if ca not in {"", _SYSTEM} and not Path(ca).is_file():
            raise InvalidValue(
                f"{_CA}: there is no file {ca}; say {_SYSTEM!r} for the system's authorities"
            )
        if user and not ca:
            raise InvalidValue(f"{_USER}: a password travels over TLS only: set {_CA}, too")
        return cls(ca=ca, user=user, password=_password(environment) if user else "")

    @property
    def scheme(self) -> str:
        """Return "https" or "http"."""
        return "https" if self.ca else "http"

    @property
    def verify(self) -> bool | str:
        """Return how `requests` checks the registry's certificate."""
        return True if self.ca in {"", _SYSTEM} else self.ca

    @property
    def basic(self) -> tuple[str, str] | None:
        """Return the account for `requests`; None without one."""
        return (self.user, self.password) if self.user else None


def _password(environment: Mapping[str, str]) -> str:
    path = environment.get(_PASSWORD_FILE, "")
    if not path:
        raise InvalidValue(f"{_USER} needs {_PASSWORD_FILE}, too")
    return read_password(path, _PASSWORD_FILE)


# Without TLS, and without an account.
OPEN = RegistryAccess()
