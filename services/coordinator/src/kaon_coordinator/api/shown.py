"""What callers see of things that tenants share: pools, runners and coordinators."""

from __future__ import annotations

from kaon_service import principal
from kaon_service.roles import Role


def shown_tenant() -> str:
    """Return the tenant beyond which the caller is told no names; empty for platform administrators, who see all."""
    caller = principal.current()
    return "" if caller.holds(Role.PLATFORM_ADMIN) else caller.tenant
