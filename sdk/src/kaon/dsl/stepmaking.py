"""Makes one step of whatever type from what the user wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from kaon.dsl import foreign, functions, names, stepoptions, types, values
from kaon.dsl.blocks import Part
from kaon.dsl.datasets import produced
from kaon.dsl.errors import WorkflowError
from kaon.dsl.later import Later
from kaon.dsl.locks import checked_locks
from kaon.dsl.named import NamedFunction
from kaon.dsl.policies import Memo, Resources, Retry, milliseconds
from kaon.dsl.producers import Producer, Step
from kaon.dsl.sidecars import known_before
from kaon.dsl.source import Source
from kaon_wire import bounds, value_types
from kaon_wire.texts import meant
from kaonapi.workflow.v1 import definition_pb2 as d

_ISOLATION = {"": d.ISOLATION_UNSPECIFIED, "warm": d.ISOLATION_WARM, "process": d.ISOLATION_PROCESS}
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_LABEL = re.compile(
    rf"(?:!\s*)?{_WORD}"  # there, or not there
    rf"|{_WORD}\s*(?:==?|!=)\s*{_WORD}"
    rf"|{_WORD}\s+(?:not\s+)?in\s*\(\s*{_WORD}(?:\s*,\s*{_WORD})*\s*\)"
)
# An input's name may come close to these by chance.
_OFTEN_MEANT = tuple(
    option for option in stepoptions.NAMES if option not in ("tags", "memo", "locks")
)
_TAG = re.compile(_WORD)
# The fields of a definition's block that hold the policies which may be known only when the step begins.
_FIELDS = {
    "timeout": "step.timeout_ms",
    "total_timeout": "timeout_ms",
    "deadline": "deadline_ms",
    "retry": "step.retry.max_attempts",
    "pool": "step.pool",
    "labels": "step.labels",
    "priority": "step.priority",
    "tags": "step.tags",
}
# Settings of step types that may be known only then, and whose absence says nothing.
_SETTINGS = ("image", "env")


def make(
    step_type: str,
    name: str,
    given: Mapping[str, Any],
    source: Source,
    *,
    config: Mapping[str, Any],
    file: str | None = None,
    program: str | None = None,
    named: tuple[str, ...] = (),
    reads_bundle: bool = False,
    function: Callable[..., Any] | NamedFunction | None = None,
) -> Step:
    """Make a step of type `step_type`; `given` holds the options common to all types, and the inputs.

    Raises:
        WorkflowError: something that the user wrote is wrong.
    """
    names.check_block_name(name, "step", source)
    options, inputs = _split(name, given, functions.takes(function, source), source)
    later = Later()
    for option, field in _FIELDS.items():
        options[option] = later.take(field, options.get(option), None)
    settings = _settings(name, config, options.get("config"), later, source)
    policy = _policy(name, options, later, source)
    for dataset, partition in produced(options.get("produces"), f"step {name!r}", source):
        policy.datasets[dataset] = later.take(f"step.datasets.{dataset}", partition, "")
    plain = take_contents(policy.output_contents, f"step {name!r}", options.get("outputs"), source)
    return Step(
        name=name,
        type=names.check_block_name(step_type, "step type", source),
        inputs=inputs,
        outputs=outputs_by_name(f"step {name!r}", plain, source),
        config=settings,
        policy=policy,
        file=file,
        program=program,
        named=named,
        reads_bundle=reads_bundle,
        requirements=options.get("requirements"),
        function=function,
        memo_code=_memo_code(name, options.get("memo"), function, source),
        timeout_ms=_duration(name, "total_timeout", options, source),
        deadline_ms=_duration(name, "deadline", options, source),
        locks=checked_locks(options.get("locks"), f"step {name!r}", source),
        bound=later.values,
        source=source,
    )


def _split(
    name: str, given: Mapping[str, Any], taken: Collection[str], source: Source
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the keyword arguments into options and inputs; `taken` are the names that the step's function takes.

    What looks like an option is refused, unless it is declared: by the function, or as the name of the value itself.
    """
    options = {key: value for key, value in given.items() if key in stepoptions.NAMES}
    inputs = {key: value for key, value in given.items() if key not in stepoptions.NAMES}
    for key, value in inputs.items():
        if key in taken or key == values.declared_name(value):
            continue
        if advice := foreign.step_advice(key):
            raise WorkflowError(
                f"step {name!r}: a step has no option {key!r}; {advice}. An input of that name goes into inputs={{...}}",
                source,
            )
        if hint := meant(key, _OFTEN_MEANT, most=1, cutoff=0.82):
            raise WorkflowError(
                f"step {name!r}: a step has no option {key!r}; {hint} An input of that name goes into inputs={{...}}",
                source,
            )
    more = options.get("inputs") or {}
    if not isinstance(more, Mapping):
        raise WorkflowError(
            f"step {name!r}: inputs is a dict of values by name, not {more!r}", source
        )
    if twice := sorted(inputs.keys() & more.keys()):
        raise WorkflowError(f"step {name!r}: input {twice[0]!r} is given twice", source)
    inputs |= more
    for key, value in inputs.items():
        names.check_value_name(key, f"an input of step {name!r}", source)
        if isinstance(value, Part):
            raise WorkflowError(_instead_of_output(name, key, value), source)
    return options, inputs


def _settings(
    name: str, own: Mapping[str, Any], given: object, later: Later, source: Source
) -> dict[str, Any]:
    """Merge the settings of the step type: those that its function knows, and further ones given as they are."""
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise WorkflowError(f"step {name!r}: config is a dict of settings, not {given!r}", source)
    if twice := sorted(own.keys() & given.keys()):
        raise WorkflowError(f"step {name!r}: setting {twice[0]!r} is given twice", source)
    settings = {**own, **given}
    for setting in _SETTINGS:
        if later.take(f"step.config.{setting}", settings.get(setting), later) is later:
            del settings[setting]
    if beside := own.get("sidecars"):
        settings["sidecars"] = [known_before(each, later) for each in beside]
    values.literal(settings, f"step {name!r}: config", source)
    return settings


def _instead_of_output(name: str, key: str, value: Part) -> str:
    if isinstance(value, Producer):
        outputs = (
            " or ".join(f'{value.name}["{output}"]' for output in value.outputs)
            or "it declares no outputs"
        )
        return f"step {name!r}: input {key!r} is the whole {value.label}; name one of its outputs: {outputs}"
    return f"step {name!r}: input {key!r} is a block; name the output of a step in it"


def take_contents(contents: Any, what: str, given: object, source: Source) -> object:
    """Put what stands inside of outputs into a map of shapes by name, and return the outputs without it.

    Raises:
        WorkflowError: what stands inside of an output cannot be declared.
    """
    if not isinstance(given, Mapping):
        return given
    plain = dict(given)
    for output, written in given.items():
        shape = types.shape(written) if types.parse(written) is None else None
        if shape is None:
            continue
        if shape.optional or shape.choices_json:
            raise WorkflowError(
                f"{what}: output {output!r} is declared {value_types.name_of(shape)}; an output is never null, and has no choices",
                source,
            )
        if value_types.has_natives(shape.of) or value_types.has_artifacts(shape.of):
            raise WorkflowError(
                f"{what}: output {output!r} is declared {value_types.name_of(shape)}; times, durations and artifacts do not "
                "stand inside of an output",
                source,
            )
        if shape.of.type:
            contents[output].CopyFrom(shape.of)
        plain[output] = types.name_of(shape.type)
    return plain


def outputs_by_name(what: str, given: object, source: Source) -> dict[str, d.ValueType.ValueType]:
    """Parse declared outputs and their types; errors name `what` (such as 'step "train"').

    Raises:
        WorkflowError: a name or type is not good.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise WorkflowError(
            f'{what}: outputs is a dict of types by name, such as {{"rows": int}}', source
        )
    outputs = {}
    for output, written in given.items():
        names.check_value_name(output, f"an output of {what}", source)
        kind = types.parse(written)
        if kind is None:
            raise WorkflowError(
                f"{what}: output {output!r} is declared {written!r}, which is no type; the types are "
                f"{types.ALL_NAMES}",
                source,
            )
        outputs[output] = kind
    return outputs


def _policy(name: str, options: Mapping[str, Any], later: Later, source: Source) -> d.Step:
    """Make the message of the step, with everything that does not depend on the workflow around it."""
    policy = d.Step(
        timeout_ms=_duration(name, "timeout", options, source),
        pool=_pool(name, options.get("pool"), source),
        labels=_labels(name, options.get("labels"), source),
        priority=_priority(name, options.get("priority"), source),
        isolation=_isolation(name, options.get("isolation"), source),
        tags=_tags(name, options.get("tags"), source),
        exclusive=_flag(name, "exclusive", options.get("exclusive"), source),
        serves=_flag(name, "serves", options.get("serves"), source),
        skip_exit_codes=_skip_exit_codes(name, options.get("skip_exit_codes"), source),
    )
    if (memo := _memo(name, options.get("memo"), source)) is not None:
        policy.memo.CopyFrom(memo)
    if (retry := _retry(name, options.get("retry"), later, source)) is not None:
        policy.retry.CopyFrom(retry)
    if (resources := options.get("resources")) is not None:
        if not isinstance(resources, Resources):
            raise WorkflowError(
                f"step {name!r}: resources is Resources(...), not {resources!r}", source
            )
        policy.resources.CopyFrom(resources.to_proto(source, later))
    return policy


def _duration(name: str, option: str, options: Mapping[str, Any], source: Source) -> int:
    return milliseconds(options.get(option) or 0, f"step {name!r}: {option}", source)


def _memo(name: str, given: object, source: Source) -> d.Memo | None:
    if given is None or given is False:
        return None
    if given is True:
        given = Memo()
    if not isinstance(given, Memo):
        raise WorkflowError(f"step {name!r}: memo is True or Memo(...), not {given!r}", source)
    return given.to_proto(source)


def _memo_code(name: str, given: object, function: object, source: Source) -> tuple[str, ...]:
    if not isinstance(given, Memo) or not given.code:
        return ()
    if function is None:
        raise WorkflowError(
            f"step {name!r}: Memo(code) is for steps that call a Python function", source
        )
    return tuple(given.code)


def _flag(name: str, option: str, given: object, source: Source) -> bool:
    if given is not None and not isinstance(given, bool):
        raise WorkflowError(f"step {name!r}: {option} is True or False, not {given!r}", source)
    return bool(given)


def _skip_exit_codes(name: str, given: object, source: Source) -> list[int]:
    if given is None:
        return []
    codes: list[Any] = (
        list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    )
    for code in codes:
        if type(code) is not int or not 1 <= code <= 255:
            raise WorkflowError(
                f"step {name!r}: skip_exit_codes is a list of numbers from 1 to 255, not {given!r}",
                source,
            )
    return sorted(set(codes))


def _tags(name: str, given: object, source: Source) -> list[str]:
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise WorkflowError(f"step {name!r}: tags is a list of words, not {given!r}", source)
    tags = list(given)
    for tag in tags:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise WorkflowError(
                f"step {name!r}: {tag!r} is no good tag; use letters, digits and hyphens", source
            )
    return sorted(set(tags))


def _retry(name: str, given: object, later: Later, source: Source) -> d.RetryPolicy | None:
    if given is None:
        return None
    if type(given) is int and given >= 1:
        given = Retry(max_attempts=given)
    if not isinstance(given, Retry):
        raise WorkflowError(
            f"step {name!r}: retry is Retry(...) or the number of attempts in all, not {given!r}",
            source,
        )
    return given.to_proto(source, later)


def _pool(name: str, given: object, source: Source) -> str:
    return (
        ""
        if given in (None, "", "default")
        else names.check_pool_name(given, f"the pool of step {name!r}", source)
    )


def _labels(name: str, given: object, source: Source) -> list[str]:
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise WorkflowError(
            f"step {name!r}: labels is a list of expressions, not {given!r}", source
        )
    labels = list(given)
    for label in labels:
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            raise WorkflowError(
                f'step {name!r}: {label!r} is no label expression; write "gpu", "!gpu", "spark=4.3", '
                '"gpu!=none" or "zone in (a, b)"',
                source,
            )
    return sorted(set(labels))


def _priority(name: str, given: object, source: Source) -> int:
    if given is None:
        return 0
    if type(given) is not int or abs(given) > bounds.HIGHEST_PRIORITY:
        raise WorkflowError(
            f"step {name!r}: priority is a whole number from {-bounds.HIGHEST_PRIORITY} to {bounds.HIGHEST_PRIORITY}, "
            f"not {given!r}",
            source,
        )
    return given


def _isolation(name: str, given: object, source: Source) -> d.Isolation.ValueType:
    given = given or ""
    if not isinstance(given, str) or given not in _ISOLATION:
        raise WorkflowError(
            f'step {name!r}: isolation is "warm" or "process", not {given!r}', source
        )
    return _ISOLATION[given]
