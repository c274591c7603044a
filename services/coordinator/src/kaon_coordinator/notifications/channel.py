"""What a channel is told, and what it must do with it. Plug-ins implement `Channel`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = {
    "succeeded": "has succeeded",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "late": "is late",
    "retry": "has a step that failed and is tried again",
    "waiting": "waits for an answer",
    "running": "has begun",
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message, the same at each attempt of its delivery."""

    # Unique: a receiver that has seen it can ignore it.
    id: str
    # When the event happened, microseconds since the epoch.
    time_us: int
    # See `notices.notices_of`. Texts come from workflows and their steps: trust none of them.
    payload: Mapping[str, Any]
    # The run's page in the console; empty when the deployment names no console.
    link: str = ""

    @property
    def title(self) -> str:
        """Return one line for people, without texts of steps: "forecast has failed (run 01...)"."""
        what = _WORDS.get(self.payload["occasion"], self.payload["occasion"])
        return f"{self.payload['workflow']} {what} (run {self.payload['run_id']})"

    @property
    def text(self) -> str:
        """Return the lines below the title."""
        told = [("step", "path"), ("status", "status"), ("tenant", "tenant"), ("by", "submitter")]
        lines = [f"{word}: {self.payload[name]}" for word, name in told if self.payload[name]]
        if self.payload["error"]:
            lines.append(f"{self.payload['error_type']}: {self.payload['error']}")
        if self.link:
            lines.append(self.link)
        return "\n".join(lines)


class Channel(ABC):
    """A place outside of Kaon where people or programs read messages."""

    @abstractmethod
    def deliver(self, message: Message) -> None:
        """Deliver a message; return when the other side has accepted it.

        It runs in a thread of its own and may block for some seconds. It is called again, later and with the same id, when it
        raises: whatever the exception, whose text an operator sees. It must not contain a secret.
        """
