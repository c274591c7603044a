"""Where the secrets of one console lie: those of its links and those of its sessions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

from kaon_console.tickets import Tickets
from kaon_service.principal import Principal
from kaon_service.roles import included

# Links lie in terminals and logs: they are good for a day.
LINK_SECONDS = 24 * 3600.0


def open_links(state: Path, *, now: Callable[[], float] = time.time) -> Tickets:
    """Return the one-time links of the console with this state directory."""
    return Tickets(state / "links", seconds=LINK_SECONDS, now=now)


def open_sessions(state: Path, *, hours: float, now: Callable[[], float] = time.time) -> Tickets:
    """Return the sessions of the console with this state directory."""
    return Tickets(state / "sessions", seconds=hours * 3600, now=now)


def new_link(state: Path, origin: str, principal: Principal, page: str = "/") -> str:
    """Make a link that logs one person in once.

    Args:
        state: the directory of the console's state.
        origin: how the browser reaches the console, such as http://127.0.0.1:7072.
        principal: who the person will be, with all that its roles include.
        page: where the link leads, a path.
    """
    person = replace(principal, roles=included(principal.roles))
    told = {"token": open_links(state).issue(person)} | ({} if page == "/" else {"next": page})
    return f"{origin}/login?{urlencode(told)}"
