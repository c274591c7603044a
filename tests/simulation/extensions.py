"""What may befall the messages by which chains go on, more often than other messages: loss, delay, repetition; and short chains."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kaon_coordinator.engine.steps import succession
from kaon_coordinator.transport.base import Send
from kaonapi.step.v1 import step_pb2

from .broker import Broker

# Workflows here are small: a runner gets no more of a chain at once, and more before it is through.
CHAIN_STEPS, RENEWED_EVERY = 3, 1
_SHORT = {
    "LONGEST_CHAIN": CHAIN_STEPS,
    "LONGEST_EXTENSION": CHAIN_STEPS,
    "RENEWED_FIRST": RENEWED_EVERY,
    "RENEWED_EVERY": RENEWED_EVERY,
}
# Of the extensions: lost, kept back, and written again later.
_LOST, _LATE, _AGAIN = 0.1, 0.2, 0.2
# Seconds; steps take up to three, leases expire after four.
_LONGEST = 12.0


def shorten_chains() -> None:
    """Puts short chains in place of those of production, in this process."""
    for name, value in _SHORT.items():
        if not hasattr(succession, name):
            raise LookupError(f"the engine has no {name} any more")
        setattr(succession, name, value)


class LossyExtensions:
    """Loses, delays and repeats the extensions that matchers send.

    Args:
        broker: Where they are written.
        chance: What it draws from.
    """

    def __init__(self, broker: Broker, chance: random.Random) -> None:
        # What befalls them; off in scripted runs.
        self.hostile = True
        # How many were written at once, and later.
        self.written = self.later = 0
        self._broker = broker
        self._random = chance
        self._append = broker.append
        broker.append = self.append  # type: ignore[method-assign]

    def append(self, sender: str, sends: Sequence[Send]) -> None:
        """Writes records, and what befalls the extensions among them."""
        kept = []
        for send in sends:
            if not extensions_in(send):
                kept.append(send)
                continue
            draw = self._random.random() if self.hostile else 1.0
            if draw >= _LOST + _LATE:
                self.written += 1
                kept.append(send)
            if _LOST <= draw < _LOST + _LATE + _AGAIN:
                self.later += 1
                delay = self._random.random() * _LONGEST
                self._broker.scheduler.after(delay, self._append, sender, [send])
        self._append(sender, kept)


def extensions_in(send: Send) -> Sequence[step_pb2.ChainExtension]:
    """The extensions of a record."""
    if not send.topic.startswith("step-ready"):
        return ()
    return step_pb2.StepReleases.FromString(send.value).extensions
