"""A branch on what a script printed, and again until it is heads: Argo's coinflip-recursive.yaml."""

from __future__ import annotations

import random

from kaon import Workflow, expr, repeat, steps


def flip() -> str:
    """Throws the coin."""
    return random.choice(["heads", "tails"])


coin = steps.python("flip-coin", flip, outputs={"side": str})
tosses = repeat(coin, until=expr("side == 'heads'", side=coin["side"]), max_iterations=200)
heads = steps.shell("heads", ["echo", "it was heads"], stdout="said", outputs={"said": str})

workflow = Workflow("coinflip-recursive", tosses >> heads, outputs={"said": heads["said"]})

EXPECTED = {"outputs": {"said": "it was heads"}, "count": {"heads": 1}}
