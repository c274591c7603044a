"""Who owns a pool: by which name, and where its API is reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A coordinator, as the row of a pool that it owns names it."""

    name: str
    # host:port of its API; empty when it has told none.
    address: str

    @classmethod
    def parse(cls, text: str) -> Owner:
        """From `written`."""
        name, _, address = text.partition("@")
        return cls(name=name, address=address)

    @property
    def written(self) -> str:
        """As it stands in the row."""
        return f"{self.name}@{self.address}" if self.address else self.name
