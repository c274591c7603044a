"""The current version of a model, and the target of a rollback. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kaonapi.model.v1 import model_pb2


def current_stack(announced: Iterable[tuple[int, int]]) -> list[int]:
    """Return the versions that a rollback can go back to, the current one last.

    A publication or a promotion pushes its version; a rollback pops one, so that a second one goes further
    back.

    Args:
        announced: The kinds and versions of a model's announcements, in order.
    """
    stack: list[int] = []
    for kind, version in announced:
        if kind == model_pb2.ANNOUNCEMENT_KIND_ROLLED_BACK:
            while stack and stack[-1] != version:
                stack.pop()
        if not stack or stack[-1] != version:
            stack.append(version)
    return stack


def retirable(versions: Iterable[int], stack: list[int], keep: int) -> list[int]:
    """Return the versions with deletable images: all but the newest `keep`, the current one and the target of a rollback."""
    newest = sorted(versions, reverse=True)
    needed = {*newest[:keep], *stack[-2:]}
    return [version for version in newest if version not in needed]
