"""The steps of the example."""


def fetch(region: str) -> dict[str, int]:
    """Read the rows of a region."""
    return {"rows": 10 * len(region)}


def store(rows: int) -> dict[str, int]:
    """Write them."""
    return {"stored": rows}
