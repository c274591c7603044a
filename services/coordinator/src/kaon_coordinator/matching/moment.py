"""When a question about a pool is asked, and by whom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The time of a question, and who asks."""

    # Seconds of the matcher's clock.
    now: float
    # Returns microseconds since the epoch.
    now_us: int
    # Of other tenants, the caller of this tenant is told numbers only. Empty: everything is told.
    tenant: str = ""

    def shows(self, tenant: str) -> bool:
        """Tell whether the caller is told the names of a tenant's things."""
        return self.tenant in {"", tenant}
