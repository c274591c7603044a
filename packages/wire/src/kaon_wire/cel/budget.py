"""The budget of evaluations. One unit is about 20 ns: the copy of a reference in a list."""

from __future__ import annotations

from kaon_wire.cel.errors import TooCostly

# Evaluating one node of the syntax tree.
NODE = 10
# A made text of so many characters costs one unit. It also bounds the memory of what an expression makes.
CHARACTERS = 16


class Budget:
    """Counts what evaluations cost while they run, and stops the one that would exceed the limit."""

    __slots__ = ("limit", "spent")

    def __init__(self, limit: int, spent: int = 0) -> None:
        self.limit = limit
        self.spent = spent

    def charge(self, cost: int) -> None:
        """Add to the cost.

        Raises:
            TooCostly: The limit is exceeded.
        """
        self.spent += cost
        if self.spent > self.limit:
            raise TooCostly(
                f"it costs too much; the limit cel_cost is {self.limit}: its values are too large for it"
            )
