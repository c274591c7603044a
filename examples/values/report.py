"""The steps of the workflow about values."""

from __future__ import annotations


def load(regions: list[str], full: bool) -> dict[str, object]:
    return {"regions": regions, "rows": [120, 80, 40][: len(regions)], "full": full}


def count(rows: list[int]) -> dict[str, object]:
    return {"total": sum(rows)}


def estimate(rows: list[int]) -> dict[str, object]:
    return {"total": rows[0] * len(rows)}


def tell(
    title: str, summary: dict[str, object], large: list[str], counted: int = -1
) -> dict[str, str]:
    """Write a line; `counted` has its default when the rows were estimated."""
    how = "estimated" if counted < 0 else "counted"
    line = f"{title}: {summary} {how}, large: {large}"
    print(line)
    return {"line": line}
