"""The options of every step, typed once, and functions that take them beside the step's inputs.

Type checkers do not yet know functions that take the keywords of a TypedDict and any others, which are the inputs. So `steps.pyi`
spells the options out for them; `sdk/stub.py` writes it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypedDict, TypeVar

from kaon.dsl.datasets import Dataset
from kaon.dsl.locks import Lock
from kaon.dsl.policies import Duration, Memo, Resources, Retry
from kaon.dsl.types import TypeLike
from kaon.dsl.values import Value

F = TypeVar("F", bound=Callable[..., Any])


class StepOptions(TypedDict, total=False):
    """What every function of `kaon.steps` takes beside its own arguments and the inputs.

    A `Value` is known only when the step begins: a parameter, an item, an output of an earlier step, an expression.
    """

    # What the step must produce, by name.
    outputs: Mapping[str, TypeLike] | None
    # The number of attempts in all, or more than that.
    retry: Retry | int | Value | None
    # How long one attempt may run.
    timeout: Duration | Value | None
    # How long the step may take in all, with its waits and attempts.
    total_timeout: Duration | Value | None
    # After this it counts as late in the history, and goes on.
    deadline: Duration | Value | None
    # Whose runners execute it.
    pool: str | Value | None
    # Expressions over runners' labels, such as "gpu!=none".
    labels: Iterable[str | Value] | Value | None
    # What it occupies meanwhile.
    resources: Resources | None
    # Higher goes first.
    priority: int | Value | None
    # "warm" shares a worker process with earlier steps.
    isolation: Literal["warm", "process"] | None
    # Words that count against the tenant's permits.
    tags: Iterable[str | Value] | Value | None
    # What its success updates: `dataset(...)`.
    produces: Iterable[Dataset] | Dataset | None
    # What it holds while it runs: `mutex(...)`, `semaphore(...)`.
    locks: Iterable[Lock] | Lock | None
    # Whether it takes the outputs of an earlier, equal execution.
    memo: Memo | bool | None
    # Whether an attempt begins only when no earlier one can be running any more.
    exclusive: bool | None
    # Whether it serves those after it until nothing else is left to do in its scope.
    serves: bool | None
    # A requirements file, from which runners build the step's environment.
    requirements: str | None
    # The exit codes with which the step's program asks to be skipped.
    skip_exit_codes: Iterable[int] | None
    # Further settings of the step type.
    config: Mapping[str, Any] | None
    # Inputs whose names are taken here.
    inputs: Mapping[str, Any] | None


NAMES = tuple(StepOptions.__annotations__)
_OPTIONS = [
    inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=told.__forward_arg__
    )
    for name, told in StepOptions.__annotations__.items()
]
# What type checkers know of any further keyword.
_INPUTS = inspect.Parameter("more_inputs", inspect.Parameter.VAR_KEYWORD, annotation="Any")


def takes_options(function: F) -> F:
    """Give a function, whose last parameter is `**rest`, the signature that users and their tools see."""
    signature = inspect.signature(function)
    own = list(signature.parameters.values())[:-1]
    shown = signature.replace(parameters=[*own, *_OPTIONS, _INPUTS])
    function.__signature__ = shown  # type: ignore[attr-defined]
    return function
