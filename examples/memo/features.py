"""The functions of the example of memoization."""

from __future__ import annotations


def build(users: int) -> dict[str, list[float]]:
    """What takes long in earnest."""
    print(f"building features of {users} users")
    return {"features": [(number * 7919 % 101) / 100 for number in range(users)]}


def report(features: list[float]) -> dict[str, float]:
    """The mean."""
    return {"mean": sum(features) / len(features)}
