"""Label expressions: `spark=4.3`, `gpu!=none`, `docker`, `!docker`, `region in (eu, us)`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kaon_wire.errors import InvalidValue

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_EXISTS = re.compile(rf"(?P<absent>!\s*)?(?P<key>{_WORD})")
_EQUALS = re.compile(rf"(?P<key>{_WORD})\s*(?P<operator>==?|!=)\s*(?P<value>{_WORD})")
_IN = re.compile(rf"(?P<key>{_WORD})\s+(?P<negated>not\s+)?in\s*\((?P<values>[^()]*)\)")
_VALUE = re.compile(_WORD)


@dataclass(frozen=True, kw_only=True)
class LabelExpression:
    """One condition on a runner's labels."""

    key: str
    # The key's value must be one of these; None means any value.
    values: frozenset[str] | None
    # Negated. An absent label differs from every value.
    negated: bool = False
    # The text as written.
    text: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a runner with these labels may take the step."""
        value = labels.get(self.key)
        holds = value is not None and (self.values is None or value in self.values)
        return holds is not self.negated


@functools.lru_cache(maxsize=4096)
def parse_label_expression(text: str) -> LabelExpression:
    """Parse a label expression.

    Raises:
        InvalidValue: The text is not a label expression; the message shows the valid forms.
    """
    written = text.strip()
    if match := _EQUALS.fullmatch(written):
        negated = match["operator"] == "!="
        return LabelExpression(
            key=match["key"], values=frozenset([match["value"]]), negated=negated, text=written
        )
    if match := _IN.fullmatch(written):
        values = _values(match["values"], written)
        return LabelExpression(
            key=match["key"], values=values, negated=bool(match["negated"]), text=written
        )
    if match := _EXISTS.fullmatch(written):
        return LabelExpression(
            key=match["key"], values=None, negated=bool(match["absent"]), text=written
        )
    raise InvalidValue(
        f"{text!r} is not a label expression: write `key`, `!key`, `key=value`, `key!=value`, `key in (a, b)` or "
        "`key not in (a, b)`, with letters, digits and . _ / - in keys and values"
    )


def _values(listed: str, written: str) -> frozenset[str]:
    values = [value.strip() for value in listed.split(",")]
    for value in values:
        if not _VALUE.fullmatch(value):
            raise InvalidValue(
                f"{written!r} has {value!r} where a label's value must be: write `key in (a, b)`"
            )
    return frozenset(values)
