"""What functions take and give, and which of the overloads fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kaon_wire.cel.budget import Budget
from kaon_wire.cel.errors import CelError
from kaon_wire.texts import meant


@dataclass(frozen=True, kw_only=True, slots=True)
class Overload:
    """One way to call a function."""

    # Kinds of the arguments; "number" stands for int and double, "any" for all. The last one repeats when
    # `many` is set.
    parameters: tuple[str, ...]
    result: str
    call: Callable[..., Any]
    many: bool = False
    # The call takes the budget first.
    charged: bool = False

    def fits(self, kinds: Sequence[str]) -> bool:
        """Tell whether arguments of these kinds may be given; "any" is a kind that is not known yet."""
        wanted = list(self.parameters)
        if self.many:
            wanted += wanted[-1:] * (len(kinds) - len(wanted))
        return len(wanted) == len(kinds) and all(map(_fits, wanted, kinds))

    def written(self, name: str) -> str:
        """Return how the function is called."""
        rest = ", ..." if self.many else ""
        return f"{name}({', '.join(self.parameters)}{rest})"


def _fits(wanted: str, given: str) -> bool:
    if "any" in (wanted, given) or wanted == given:
        return True
    return wanted == "number" and given in ("int", "double")


def chosen(
    functions: Mapping[str, Sequence[Overload]], name: str, kinds: Sequence[str]
) -> list[Overload]:
    """Return the overloads that fit arguments of these kinds.

    Raises:
        CelError: There is no such function, or none that takes such arguments.
    """
    overloads = functions.get(name)
    if overloads is None:
        raise CelError(unknown("function", name, functions))
    fitting = [each for each in overloads if each.fits(kinds)]
    if not fitting:
        known = " or ".join(each.written(name) for each in overloads)
        raise CelError(f"{name}({', '.join(kinds)}): it is called as {known}")
    return fitting


def unknown(what: str, name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """Describe a name that is not known, with the nearest one."""
    if not known:
        return f"there is no {what} {name!r}"
    hint = meant(name, known, most=1, cutoff=0.5) or f"there are {', '.join(sorted(known))}"
    return f"there is no {what} {name!r}; {hint}"


def invoke(
    functions: Mapping[str, Sequence[Overload]],
    name: str,
    arguments: Sequence[Any],
    kinds: Sequence[str],
    budget: Budget,
) -> Any:
    """Call the overload that fits the arguments.

    Raises:
        CelError: None fits, or the function has no value for them.
    """
    overload = chosen(functions, name, kinds)[0]
    budget.charge(sum(len(each) for each in arguments if isinstance(each, list | dict)))
    try:
        return overload.call(budget, *arguments) if overload.charged else overload.call(*arguments)
    except (ValueError, OverflowError, OSError) as error:
        raise CelError(f"{name}(): {error}") from None
