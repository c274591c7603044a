"""Parses an expression into its syntax tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaon_wire.cel import nodes as n
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.tokens import Token, tokens
from kaon_wire.cel.values import MOST

# Parentheses, brackets, choices and fields within one another.
_DEEPEST = 40
_LEVELS: Mapping[str, int] = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    **dict.fromkeys("+-", 4),
    **dict.fromkeys("*/%", 5),
}
_WORDS: Mapping[str, object] = {"true": True, "false": False, "null": None}
MACROS = ("all", "exists", "exists_one", "existsOne", "filter", "map")


def parse(text: str) -> n.Node:
    """Return the syntax tree of an expression.

    Raises:
        CelError: The text is no expression.
    """
    parser = _Parser(text)
    tree = parser.expression()
    if parser.token.kind != "end":
        raise parser.error("does not belong here")
    return tree


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(tokens(text))
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """Return the token that is read next."""
        return self._tokens[self._next]

    def error(self, problem: str) -> CelError:
        """Return an error that names the next token."""
        token = self.token
        return CelError(f"at character {token.position + 1}: {str(token.value)[:80]} {problem}")

    def expression(self) -> n.Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise CelError(f"it is nested deeper than {_DEEPEST} levels")
        condition = self._binary(1)
        if self._accept("?"):
            yes = self.expression()
            self._expect(":")
            condition = n.Choice(condition=condition, yes=yes, no=self.expression())
        self._depth -= 1
        return condition

    def _binary(self, least: int) -> n.Node:
        left = self._unary()
        while (level := self._level()) >= least:
            operator = str(self._take().value)
            left = _joined(left, operator, self._binary(level + 1))
        return left

    def _level(self) -> int:
        token = self.token
        return _LEVELS.get(token.value, 0) if token.kind in ("sign", "name") else 0

    def _unary(self) -> n.Node:
        signs: list[str] = []
        while self.token.kind == "sign" and self.token.value in ("!", "-"):
            signs.append(self._take().value)
        literal: Any = self.token.value if self.token.kind == "literal" else None
        if signs and signs[-1] == "-" and type(literal) in (int, float):
            signs.pop()
            self._take()
            operand = self._members(n.Literal(value=-literal))
        elif type(literal) is int and literal > MOST:
            raise self.error(f"is above {MOST}")
        else:
            operand = self._members(self._primary())
        if len(signs) > _DEEPEST:
            raise CelError(f"it has more than {_DEEPEST} signs in front of one value")
        for sign in reversed(signs):
            operand = n.Unary(operator=sign, of=operand)
        return operand

    def _members(self, of: n.Node) -> n.Node:
        before = self._depth
        while self.token.kind == "sign" and self.token.value in (".", "["):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise CelError(f"it is nested deeper than {_DEEPEST} levels")
            if self._accept("."):
                name = self._name()
                of = self._called(name, of) if self._accept("(") else n.Field(of=of, name=name)
            else:
                self._take()
                of = n.Index(of=of, key=self.expression())
                self._expect("]")
        self._depth = before
        return of

    def _primary(self) -> n.Node:
        token = self._take()
        match token.kind, token.value:
            case "literal", value:
                return n.Literal(value=value)
            case "name", name if name in _WORDS:
                return n.Literal(value=_WORDS[name])
            case "name", name if name != "in":
                return self._called(name, None) if self._accept("(") else n.Name(name=name)
            case "sign", "(":
                inner = self.expression()
                self._expect(")")
                return inner
            case "sign", "[":
                return n.ListOf(items=tuple(self._list("]")))
            case "sign", "{":
                return self._map()
        self._next -= 1
        raise self.error("stands where a value should")

    def _map(self) -> n.Node:
        entries: list[tuple[n.Node, n.Node]] = []
        while not self._accept("}"):
            key = self.expression()
            self._expect(":")
            entries.append((key, self.expression()))
            if not self._accept(","):
                self._expect("}")
                break
        return n.MapOf(entries=tuple(entries))

    def _list(self, end: str) -> list[n.Node]:
        items: list[n.Node] = []
        while not self._accept(end):
            items.append(self.expression())
            if not self._accept(","):
                self._expect(end)
                break
        return items

    def _called(self, name: str, of: n.Node | None) -> n.Node:
        arguments = self._list(")")
        if of is None and name == "has":
            if len(arguments) != 1 or not isinstance(arguments[0], n.Field):
                raise CelError("has() takes a field, such as has(value.name)")
            return n.Has(of=arguments[0].of, name=arguments[0].name)
        if of is not None and name in MACROS:
            return _macro(name, of, arguments)
        given = arguments if of is None else [of, *arguments]
        return n.Call(name=name, arguments=tuple(given), method=of is not None)

    def _name(self) -> str:
        if self.token.kind != "name":
            raise self.error("stands where a name should")
        return str(self._take().value)

    def _take(self) -> Token:
        token = self.token
        if token.kind == "end":
            raise CelError("it ends too early")
        self._next += 1
        return token

    def _accept(self, sign: str) -> bool:
        if self.token.kind != "sign" or self.token.value != sign:
            return False
        self._next += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise self.error(f"stands where {sign!r} should")


def _joined(left: n.Node, operator: str, right: n.Node) -> n.Node:
    if operator in ("&&", "||"):
        if isinstance(left, n.Logic) and left.operator == operator:
            return n.Logic(operator=operator, operands=(*left.operands, right))
        return n.Logic(operator=operator, operands=(left, right))
    if isinstance(left, n.Chain):
        return n.Chain(first=left.first, rest=(*left.rest, (operator, right)))
    return n.Chain(first=left, rest=((operator, right),))


def _macro(name: str, over: n.Node, arguments: list[n.Node]) -> n.Node:
    three = name == "map" and len(arguments) == 3
    if (
        (len(arguments) != 2 and not three)
        or not isinstance(variable := arguments[0], n.Name)
        or (len(arguments) < 2)
    ):
        example = "x * 2" if name == "map" else "x > 0"
        raise CelError(f"{name}() takes a name and what to do with it: list.{name}(x, {example})")
    condition = None if name == "map" and not three else arguments[1]
    return n.Macro(
        name="exists_one" if name == "existsOne" else name,
        over=over,
        variable=variable.name,
        condition=condition,
        result=arguments[-1] if name == "map" else None,
    )
