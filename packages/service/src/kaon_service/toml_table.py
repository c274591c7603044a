"""Tables of a TOML file that people write: each entry is asked for, and what was not is refused."""

from __future__ import annotations

from typing import Any

from kaon_wire.errors import InvalidValue


class Table:
    """A table of the file: what was not asked for is refused."""

    def __init__(self, content: Any, place: str) -> None:
        if not isinstance(content, dict):
            raise InvalidValue(f"{place}: write a table")
        self.place = place
        self._left = dict(content)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text.

        Raises:
            InvalidValue: It is missing without a default, or no text.
        """
        value = self._left.pop(name, default)
        if not isinstance(value, str) or (default is None and not value):
            raise InvalidValue(f"{self.at(name)}: write a text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a text, or a list of texts.

        Raises:
            InvalidValue: It is neither.
        """
        value = self._left.pop(name, ())
        found = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(each, str) and each for each in found):
            raise InvalidValue(f"{self.at(name)}: write a text, or a list of texts")
        return found

    def tables(self, name: str) -> list[Table]:
        """Return a list of tables."""
        found = self._left.pop(name, [])
        if not isinstance(found, list):
            raise InvalidValue(f"{self.at(name)}: write [[{name}]] before each entry")
        return [Table(each, f"{self.at(name)} {number}") for number, each in enumerate(found, 1)]

    def table(self, name: str) -> Table:
        """Return a table."""
        return Table(self._left.pop(name, {}), self.at(name))

    def names(self) -> tuple[str, ...]:
        """Return the names that are left."""
        return tuple(self._left)

    def end(self) -> None:
        """Check that nothing is left.

        Raises:
            InvalidValue: Something is.
        """
        if self._left:
            raise InvalidValue(f"{self.at(next(iter(self._left)))}: there is no such setting")

    def at(self, name: str) -> str:
        """Return the place of an entry."""
        return f"{self.place}.{name}" if self.place else name
