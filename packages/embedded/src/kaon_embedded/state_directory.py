"""What `kaon run --state` keeps in a directory, and whose runs they are."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import quote

from kaon.client import Endpoints
from kaon_service.principal import Principal
from kaon_wire.errors import NotFound

_DATABASE = "kaon.db"


def has_runs(state: Path) -> bool:
    """Tell whether a directory keeps runs."""
    return (state / _DATABASE).is_file()


def check_has_runs(state: Path) -> None:
    """Refuse a directory that keeps no runs.

    Raises:
        NotFound: The directory keeps none.
    """
    if not has_runs(state):
        raise NotFound(
            f"{state} keeps no runs: `kaon run FILE --state {shlex.quote(str(state))}` makes such a directory"
        )


def database_url(state: Path) -> str:
    """Return the address of a directory's database, which need not exist."""
    return f"sqlite:///{quote(str(state.resolve()))}/{_DATABASE}"


def tenant() -> str:
    """Return the tenant of the environment, whose runs a directory is asked for."""
    return Endpoints.from_environment().tenant or Principal.tenant
