"""The functions of the example of failures."""

from __future__ import annotations


def load(broken: bool) -> dict[str, list[str]]:
    """Give the regions of the day."""
    return {"regions": ["de", "broken" if broken else "fr", "us"]}


def weather() -> dict[str, str]:
    """Ask a service that is often away."""
    raise ConnectionError("the weather service is away")


def report(region: str, weather: str | None) -> dict[str, str]:
    """Write the report of one region, with the weather if it is known."""
    if region == "broken":
        raise ValueError("this region has no sales")
    return {"text": f"{region}: {weather or 'unknown'} weather"}


def apologize() -> None:
    """Tell readers that a report is missing."""
    print("a report is missing")


def archive() -> None:
    """Keep what was loaded."""
    print("archived")
