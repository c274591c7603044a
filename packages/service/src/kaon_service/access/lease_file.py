"""The keys of lease tokens in a file, which is read again when it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kaon_service.access.watched import OFTEN_SECONDS, Watched
from kaon_wire.key_files import read_keys
from kaon_wire.lease_tokens import LeaseKeys

_VARIABLE = "KAON_LEASE_KEYS"


def read_lease_keys(environment: Mapping[str, str]) -> Callable[[], LeaseKeys] | None:
    """Return what tells the keys in the file that `KAON_LEASE_KEYS` names, as they are now; None without the variable.

    Raises:
        InvalidValue: The file is missing or malformed.
    """
    path = environment.get(_VARIABLE, "")
    if not path:
        return None
    return Watched(
        [Path(path)], lambda: LeaseKeys(read_keys(path, _VARIABLE)), seconds=OFTEN_SECONDS
    ).get
