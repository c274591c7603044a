"""What a run is told about itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from kaon_wire.times import time_text


def run_info(
    *,
    run_id: str,
    workflow: str,
    version: str,
    tenant: str,
    submit_us: int,
    origin: str,
    scheduled_us: int,
) -> Mapping[str, str | None]:
    """Return the value of `run_info()`; times are microseconds since the epoch, 0 for none."""
    return {
        "id": run_id,
        "workflow": workflow,
        "version": version,
        "tenant": tenant,
        "submit_time": _text(submit_us, "microseconds"),
        "origin": origin,
        "scheduled_time": _text(scheduled_us, "auto") if scheduled_us else None,
    }


def _text(time_us: int, precision: str) -> str:
    moment = datetime.fromtimestamp(time_us / 1_000_000, UTC)
    if precision == "auto":
        return time_text(moment)
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
