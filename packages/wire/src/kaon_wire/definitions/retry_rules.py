"""Which retry rule of a step is for an error, and what is wrong with a rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from kaon_wire.errors import InvalidValue
from kaon_wire.patterns import compiled
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# Characters of a pattern, and of the message in which it is looked for; instructions of a pattern, as RE2 counts them. Together
# they bound what one failure costs.
PATTERN_CHARACTERS = 200
MESSAGE_CHARACTERS = 4_096
PATTERN_SIZE = 2_000


def matching_rule(policy: d.RetryPolicy, error: step_pb2.StepError) -> d.RetryRule | None:
    """Return the rule for an error; None when there is none.

    The first one with a message that matches goes before one for the exit code, and that before one for the error's type or,
    failing that, its nearest base class.
    """
    types = (error.type, *error.type_bases)
    others = [rule for rule in policy.rules if not rule.message_pattern]
    by_message = (r for r in policy.rules if r.message_pattern and _is_for(r, error, types))
    by_code = (rule for rule in others if 0 != rule.exit_code == error.exit_code)
    by_type = (
        rule
        for each in types
        for rule in others
        if not rule.exit_code and _matches(rule.error_type, each)
    )
    return next(chain(by_message, by_code, by_type), None)


def _is_for(rule: d.RetryRule, error: step_pb2.StepError, types: tuple[str, ...]) -> bool:
    """Tell whether all that a rule with a message names is true of an error."""
    if rule.exit_code and rule.exit_code != error.exit_code:
        return False
    if rule.error_type and not any(_matches(rule.error_type, each) for each in types):
        return False
    texts = [error.message[:MESSAGE_CHARACTERS]]
    if error.exit_code:
        # The message tells only the code: what the program says is the end of its standard error.
        texts.append(error.details[-MESSAGE_CHARACTERS:])
    pattern = compiled(rule.message_pattern)
    return any(pattern.search(text) is not None for text in texts)


def _matches(pattern: str, error_type: str) -> bool:
    prefix = pattern.removesuffix("*")
    return error_type == pattern or (prefix != pattern and error_type.startswith(prefix))


def rule_problem(rule: d.RetryRule) -> str:
    """Return what is wrong with a rule; empty when it is good."""
    named = bool(rule.error_type) + bool(rule.exit_code)
    if named > 1 or not (named or rule.message_pattern):
        return "a retry rule needs an error type or an exit code, or a pattern of the message"
    if min(rule.max_attempts, rule.backoff_ms, rule.exit_code) < 0:
        return "a retry rule needs no number below 0"
    return pattern_problem(rule.message_pattern) if rule.message_pattern else ""


def pattern_problem(pattern: str) -> str:
    """Return what is wrong with a pattern of an error's message; empty when it is good."""
    if len(pattern) > PATTERN_CHARACTERS:
        return f"the pattern of a message has {len(pattern)} characters; the limit is {PATTERN_CHARACTERS}"
    try:
        size = compiled(pattern).programsize
    except InvalidValue as error:
        return str(error)
    if size > PATTERN_SIZE:
        return f"the pattern {pattern[:80]!r} has {size} instructions, by its repetitions; the limit is {PATTERN_SIZE}"
    return ""


def problems(name: str, policy: d.RetryPolicy) -> Iterator[str]:
    """Yield the problems of a step's rules; `name` is the step's."""
    for rule in policy.rules:
        if problem := rule_problem(rule):
            yield f"{name}: {problem}"
