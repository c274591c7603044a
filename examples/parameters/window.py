"""The steps of the parameters example."""

from __future__ import annotations

from datetime import datetime, timedelta


def cut(
    start: datetime, end: datetime, step: timedelta, regions: list[str], shares: dict[str, float]
) -> dict[str, object]:
    """Cut a window of time into parts, and give each region its share of them."""
    parts = [start + step * number for number in range((end - start) // step)]
    counted = {region: round(len(parts) * shares.get(region, 1.0)) for region in regions}
    return {"parts": parts, "counted": counted, "last": end - step}


def tell(
    kind: str, limit: int | None, parts: list[str], late: bool, until: datetime, report: str
) -> dict[str, object]:
    """Say in one line what was cut."""
    most = "no limit" if limit is None else f"at most {limit}"
    when = "after noon" if late else "before noon"
    return {"line": f"{kind}: {len(parts)} parts, {most}, {when}, until {until:%H:%M}, {report}"}
