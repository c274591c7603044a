"""What matchers and runners agree on about the steps that are outstanding at a runner."""

from __future__ import annotations

# A matcher releases at most so many steps for each slot of a runner, whose queue has room for twice as many.
MOST_FOR_A_SLOT = 16
