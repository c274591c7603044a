"""How a step is retried and what it occupies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from google.protobuf.message import Message

from kaon.dsl import checks, types
from kaon.dsl.errors import WorkflowError
from kaon.dsl.foreign import refuses_others
from kaon.dsl.later import Later
from kaon.dsl.source import Source, caller
from kaon.dsl.values import Value
from kaon_wire import bounds, quantities
from kaon_wire.definitions import policies, retry_rules
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

# "250ms", "30s", "10m", "1h30m", "2d", a number of seconds, or a timedelta.
Duration: TypeAlias = str | int | float | timedelta
# "512MiB", "2GB", or a number of bytes.
Size: TypeAlias = str | int

_ERROR_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\*?|\*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@refuses_others
@dataclass(frozen=True, kw_only=True)
class RetryRule:
    """The retry policy for one class of errors, for `Retry(rules=...)`.

    Raises:
        WorkflowError: the pattern of the message is wrong.
    """

    # Attempts in all; 1 means that such an error is not retried.
    max_attempts: int | Value
    # Wait before the second attempt; None means that of the policy.
    backoff: Duration | Value | None = None
    # What must be found in the error's message: a regular expression in RE2's syntax, such as "rate limit|HTTP 429".
    message: str = ""
    # In a list of rules: the error's type or exit code; None means any.
    error: str | type[BaseException] | int | None = None

    def __post_init__(self) -> None:
        checks.text(self.message, "RetryRule(message)", caller())
        if self.message and (problem := retry_rules.pattern_problem(self.message)):
            raise WorkflowError(f"RetryRule(message): {problem}", caller())


@refuses_others
@dataclass(frozen=True, kw_only=True)
class Retry:
    """The retry policy of a step. Failures of the platform are always retried, and are counted separately.

    All numbers and waits may be values that are known only when the step begins.

    Raises:
        WorkflowError: a number is out of range.
    """

    # Attempts in all, the first included; at least 1.
    max_attempts: int | Value = 3
    # Wait before the second attempt.
    backoff: Duration | Value = "1s"
    # Each further wait is longer by this factor; at least 1.
    factor: float | Value = 2.0
    # No wait is longer than this.
    max_backoff: Duration | Value = "1h"
    # Each wait is changed at random by up to this share of it, 0 to 1.
    jitter: float | Value = 0.0
    # No further attempt begins this long after the first; 0 means without bound.
    max_duration: Duration | Value = 0
    # By an error's type, such as "ValueError", ValueError or "Http*", or by an exit code, such as 75: attempts in all, or a
    # RetryRule; or a list of RetryRule that name what they are for. The first match decides; rules with a message go before exit
    # codes, and these before types.
    rules: (
        Mapping[str | type[BaseException] | int, int | Value | RetryRule] | Sequence[RetryRule]
    ) = field(default_factory=dict)

    def __post_init__(self) -> None:
        _whole(self.max_attempts, "Retry(max_attempts)", d.RetryPolicy, "max_attempts", least=1)
        if not isinstance(self.factor, Value) and (
            not types.is_real(self.factor) or self.factor < 1
        ):
            raise WorkflowError(f"Retry(factor={self.factor!r}) must be at least 1", caller())
        if not isinstance(self.jitter, Value) and (
            not isinstance(self.jitter, int | float) or not 0 <= self.jitter <= 1
        ):
            raise WorkflowError(f"Retry(jitter={self.jitter!r}) must be between 0 and 1", caller())
        self.to_proto(caller())

    def to_proto(self, source: Source, later: Later | None = None) -> d.RetryPolicy:
        """Convert the policy to a message, and give what is known only later to `later`; `source` is named by errors."""
        later = later or Later()
        wait = later.take("step.retry.backoff_ms", self.backoff, 0)
        longest = later.take("step.retry.max_backoff_ms", self.max_backoff, 0)
        return d.RetryPolicy(
            max_attempts=later.take("step.retry.max_attempts", self.max_attempts, 0),
            backoff_ms=milliseconds(wait, "Retry(backoff)", source),
            backoff_factor=float(later.take("step.retry.backoff_factor", self.factor, 0)),
            max_backoff_ms=milliseconds(longest, "Retry(max_backoff)", source),
            jitter=float(later.take("step.retry.jitter", self.jitter, 0)),
            max_duration_ms=milliseconds(
                later.take("step.retry.max_duration_ms", self.max_duration, 0),
                "Retry(max_duration)",
                source,
            ),
            rules=[_rule(error, rule, later, source) for error, rule in self._named_rules(source)],
        )

    def _named_rules(self, source: Source) -> list[tuple[Any, Any]]:
        """Return the rules, each with what it names: an error's type, an exit code, or None."""
        if isinstance(self.rules, Mapping):
            for error, rule in self.rules.items():
                if isinstance(rule, RetryRule) and rule.error is not None:
                    raise WorkflowError(
                        f"Retry(rules): the rule of {error!r} names an error of its own; write a list of rules",
                        source,
                    )
            return list(self.rules.items())
        rules: Any = self.rules
        if not isinstance(rules, Sequence) or not all(isinstance(r, RetryRule) for r in rules):
            raise WorkflowError(
                f'Retry(rules) is a mapping such as {{"ValueError": 3}}, or a list of RetryRule(...), not {rules!r}',
                source,
            )
        return [(rule.error, rule) for rule in rules]


@refuses_others
@dataclass(frozen=True, kw_only=True)
class Memo:
    """Memoization of a step: it takes the outputs of an earlier execution with equal type, code, settings, environment and inputs.

    The code of a python step is its module and all that this imports from the code bundle, wherever the import stands. What is
    imported by a computed name, or read as a file, is not seen: `code` names it. Of other steps the whole bundle counts.

    Raises:
        WorkflowError: one of them is wrong.
    """

    # Part of what is compared: another value makes old results count no more.
    salt: str = ""
    # How old a result may be; 0 means any age.
    max_age: Duration = 0
    # Further files of the code bundle that count, as patterns below its root, such as "queries/*.sql"; "*" is all of it.
    code: Sequence[str] = ()

    def __post_init__(self) -> None:
        checks.text(self.salt, "Memo(salt)", caller())
        if isinstance(self.code, str) or not all(
            isinstance(each, str) and each for each in self.code
        ):
            raise WorkflowError(
                f'Memo(code) is a list of patterns such as ["queries/*.sql"], not {self.code!r}',
                caller(),
            )
        self.to_proto(caller())

    def to_proto(self, source: Source) -> d.Memo:
        """Convert to a message; `source` is named by errors."""
        return d.Memo(
            enabled=True,
            salt=self.salt,
            max_age_ms=milliseconds(self.max_age, "Memo(max_age)", source),
        )


@refuses_others
@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources that a step occupies at its runner while it runs. They may be values that are known only when it begins.

    Raises:
        WorkflowError: a number is negative or a size cannot be read.
    """

    # Places in the runner's count of steps at once.
    slots: int | Value = 1
    # Cores; 0.5 is half a core.
    cpu: float | Value = 0
    memory: Size | Value = 0
    gpu: int | Value = 0
    # Countable resources that a deployment defines, such as {"licence": 1}.
    custom: Mapping[str, int | Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.cpu, Value) and (
            not isinstance(self.cpu, int | float) or not 0 <= self.cpu <= bounds.MOST / 1000
        ):
            raise WorkflowError(
                f"Resources(cpu={self.cpu!r}): write cores, from 0 to {bounds.MOST // 1000}",
                caller(),
            )
        _whole(self.slots, "Resources(slots)", d.Resources, "slots", least=1)
        _whole(self.gpu, "Resources(gpu)", d.Resources, "gpu", least=0)
        size_in_bytes(Later().take("", self.memory, 0), "Resources(memory)", caller())
        for name, count in self.custom.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise WorkflowError(
                    f'Resources(custom): {name!r} is no good name; write counts by name, such as {{"licence": 1}}',
                    caller(),
                )
            _whole(count, f"Resources(custom): {name}", d.Resources.CustomEntry, "value", least=1)

    def to_proto(self, source: Source, later: Later | None = None) -> d.Resources:
        """Convert to a message, and give what is known only later to `later`; `source` is named by errors."""
        later = later or Later()
        memory = later.take("step.resources.memory_bytes", self.memory, 0)
        counts = {
            name: later.take(f"step.resources.custom.{name}", count, 0)
            for name, count in self.custom.items()
        }
        return d.Resources(
            slots=later.take("step.resources.slots", self.slots, 0),
            cpu_milli=round(later.take("step.resources.cpu_milli", self.cpu, 0) * 1000),
            memory_bytes=size_in_bytes(memory, "Resources(memory)", source),
            gpu=later.take("step.resources.gpu", self.gpu, 0),
            custom={name: count for name, count in counts.items() if count},
        )


def _whole(value: object, what: str, kind: type[Message], field: str, *, least: int) -> None:
    if not isinstance(value, Value):
        checks.whole(value, what, caller(), kind, field, least=least)


def _rule(error: object, rule: object, later: Later, source: Source) -> d.RetryRule:
    if type(error) is int:
        what = "Retry(rules): an exit code"
        code = checks.whole(error, what, source, d.RetryRule, "exit_code", least=1)
        return _how_often(d.RetryRule(exit_code=code), f"exit code {code}", rule, later, source)
    if error is None and isinstance(rule, RetryRule):
        if not rule.message:
            raise WorkflowError(
                "Retry(rules): a rule in a list names an error, a message or both", source
            )
        return _how_often(d.RetryRule(), f"message {rule.message!r}", rule, later, source)
    error_type = error.__name__ if isinstance(error, type) else error
    if not isinstance(error_type, str) or not _ERROR_TYPE.fullmatch(error_type):
        raise WorkflowError(
            f'Retry(rules): {error!r} is no type of errors; write "ValueError" or "Http*"', source
        )
    return _how_often(d.RetryRule(error_type=error_type), error_type, rule, later, source)


def _how_often(
    made: d.RetryRule, error: str, rule: object, later: Later, source: Source
) -> d.RetryRule:
    """Return a rule with the fields that say how often and when."""
    if type(rule) is int or isinstance(rule, Value):
        rule = RetryRule(max_attempts=rule)
    if not isinstance(rule, RetryRule):
        raise WorkflowError(
            f"Retry(rules): {error} has {rule!r}; give the number of attempts in all, at least 1, or RetryRule(...)",
            source,
        )
    made.message_pattern = rule.message
    place = f"step.retry.rules.{policies.rule_word(made)}"
    if later.take(f"{place}.max_attempts", rule.max_attempts, None) is not None:
        what = f"Retry(rules): {error}: give the number of attempts in all, at least 1; it"
        checks.whole(rule.max_attempts, what, source, d.RetryRule, "max_attempts", least=1)
        made.max_attempts = rule.max_attempts  # type: ignore[assignment]
    wait = later.take(f"{place}.backoff_ms", rule.backoff, None)
    if wait is not None:
        made.backoff_ms = milliseconds(wait, "Retry(rules): backoff", source)
    return made


def milliseconds(duration: object, what: str, source: Source) -> int:
    """Parse a duration to milliseconds.

    Raises:
        WorkflowError: it cannot be read, or is negative.
    """
    try:
        return quantities.milliseconds(duration)
    except InvalidValue as error:
        raise WorkflowError(f"{what}: {error}", source) from None


def size_in_bytes(size: object, what: str, source: Source) -> int:
    """Parse a size to bytes.

    Raises:
        WorkflowError: it cannot be read, or is negative.
    """
    try:
        return quantities.size_in_bytes(size)
    except InvalidValue as error:
        raise WorkflowError(f"{what}: {error}", source) from None
