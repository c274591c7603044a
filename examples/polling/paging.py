"""The functions of the example of polling."""

from __future__ import annotations


def count(pages: int) -> dict[str, int]:
    """Say how much there is to load."""
    return {"left": pages}


def load(left: int) -> dict[str, int]:
    """Load one page, and say how many are left."""
    print(f"loaded a page, {left - 1} are left")
    return {"left": left - 1}


def report(left: int | None) -> dict[str, str]:
    """Say what was loaded; there may have been nothing."""
    return {"text": "nothing to load" if left is None else f"{left} pages left"}
