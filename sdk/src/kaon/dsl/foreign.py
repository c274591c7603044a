"""Options of other systems, and what Kaon's words for them are.

A word that is none of a function's options is refused where it is written, with the option that is meant. Of a step every other
keyword is an input, and of a sub-workflow a parameter, so the words of other systems are refused there by these tables; an input
of such a name goes into `inputs`, a parameter into `params`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, TypeVar, cast

from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import caller
from kaon_wire.texts import meant

F = TypeVar("F", bound=Callable[..., Any])

_RETRY = "write retry=Retry(max_attempts=4), or retry=4: the number of attempts in all, the first one included"
_WAIT = 'write retry=Retry(max_attempts=4, backoff="30s", factor=2)'
_TIMEOUT = 'write timeout="10m" for one attempt, total_timeout="1h" for all of them'
_ORDER = "write the order with the steps: load >> train, or (a | b) >> train"
_IF = 'write branch(when(expr("n > 0", n=count["n"]), body))'
_RULE = "write train.when_any(), .when_all_done() or another rule where the step stands"
_MEMO = 'write memo=True, or memo=Memo(salt="2", max_age="1d")'
_MAP = 'write train ** each("region", load["regions"], max_concurrency=4), and region=region at the step'
_SIZE = 'write resources=Resources(cpu=2, memory="4GiB", gpu=1)'
_PACKAGES = 'write requirements="requirements.txt", a file of the workflow\'s directory'
_PLACE = 'write labels=["gpu!=none"], expressions over runners\' labels, or pool="gpu"'
_POOL = 'write pool="gpu"'
_CALLBACK = "write train.on_failure(alert) or .finally_(clean_up), hooks that are steps"
_INPUTS = "write inputs={...}, or each input as a keyword of its own"
_NAME = "write the name as the first argument"
_AT_ONCE = 'write tags=["db"], and `kaon permits set db 4` says how many steps of a tag run at once'
_OUTPUTS = 'write outputs={"rows": int, "model": "model"}'
_IMAGE = 'write steps.docker("train", image="...", argv=[...])'

# What steps are given elsewhere: in Airflow, Argo, KFP, Metaflow, Prefect, Flyte, Temporal.
_STEP = {
    **dict.fromkeys(
        ("retries", "max_retries", "num_retries", "max_attempts", "retry_limit"), _RETRY
    ),
    **dict.fromkeys(("retry_policy", "retry_strategy"), _RETRY),
    **dict.fromkeys(("retry_delay", "retry_delay_seconds", "retry_exponential_backoff"), _WAIT),
    **dict.fromkeys(("max_retry_delay", "minutes_between_retries", "retry_jitter_factor"), _WAIT),
    **dict.fromkeys(("execution_timeout", "timeout_seconds", "timeout_in_seconds"), _TIMEOUT),
    **dict.fromkeys(("active_deadline_seconds", "start_to_close_timeout"), _TIMEOUT),
    **dict.fromkeys(("schedule_to_close_timeout", "schedule_to_start_timeout"), _TIMEOUT),
    **dict.fromkeys(
        ("sla", "expected_runtime"), 'write deadline="1h": after it the step counts as late'
    ),
    **dict.fromkeys(
        ("depends", "depends_on", "dependencies", "upstream_tasks", "wait_for"), _ORDER
    ),
    **dict.fromkeys(("upstream", "downstream", "depends_on_past"), _ORDER),
    **dict.fromkeys(("when", "run_if", "skip_if"), _IF),
    **dict.fromkeys(("trigger_rule", "continue_on", "continue_on_failure"), _RULE),
    **dict.fromkeys(("cache_policy", "cache_key_fn", "cache_expiration", "cache_version"), _MEMO),
    **dict.fromkeys(("enable_caching", "memoize", "cache_result", "persist_result"), _MEMO),
    **dict.fromkeys(("with_items", "with_param", "foreach", "map_over", "expand"), _MAP),
    **dict.fromkeys(("num_cpus", "num_gpus", "cpu_limit", "memory_limit", "gpu_limit"), _SIZE),
    **dict.fromkeys(("cpu_request", "memory_request", "accelerator", "pool_slots"), _SIZE),
    **dict.fromkeys(("packages_to_install", "pip_packages", "requirements_file"), _PACKAGES),
    **dict.fromkeys(("conda", "pypi", "virtualenv"), _PACKAGES),
    **dict.fromkeys(("node_selector", "tolerations", "affinity"), _PLACE),
    **dict.fromkeys(("task_queue", "work_pool", "worker_pool", "queue"), _POOL),
    **dict.fromkeys(("on_failure_callback", "on_success_callback", "on_retry_callback"), _CALLBACK),
    **dict.fromkeys(("on_completion", "on_exit", "exit_handler"), _CALLBACK),
    **dict.fromkeys(("op_args", "op_kwargs", "templates_dict"), _INPUTS),
    **dict.fromkeys(("task_id", "step_name", "task_name", "display_name"), _NAME),
    **dict.fromkeys(("max_active_tis_per_dag", "task_concurrency", "concurrency_limit"), _AT_ONCE),
    **dict.fromkeys(("multiple_outputs", "output_artifacts", "output_files"), _OUTPUTS),
    **dict.fromkeys(("base_image", "container_image", "container"), _IMAGE),
    "daemon": "write serves=True: it serves those after it, which begin when it says so (context.serving)",
    "priority_weight": "write priority=10: higher goes first",
    "bash_command": 'write argv=["sh", "-c", "a | b"]',
    "env_vars": 'write env={"NAME": "text"} at steps of type shell and docker',
}
# What sub-workflows are given elsewhere: Airflow's triggered runs, Argo's templates, Prefect's deployments, child workflows.
_SUB_WORKFLOW = {
    **{
        word: advice
        for word, advice in _STEP.items()
        if advice in {_ORDER, _IF, _RULE, _MEMO, _MAP, _CALLBACK, _NAME}
    },
    **dict.fromkeys(
        ("conf", "parameters", "arguments", "inputs", "kwargs", "run_input"),
        'write params={"day": day}, or each parameter as a keyword of its own',
    ),
    **dict.fromkeys(
        ("wait_for_completion", "sync", "asynchronous", "as_subflow", "deferrable", "detached"),
        "write wait=False where the run is not waited for",
    ),
    **dict.fromkeys(
        ("trigger_dag_id", "dag_id", "workflow_id", "workflow_name", "deployment_name"),
        "write the other workflow's name as the second argument",
    ),
    **dict.fromkeys(
        ("template_ref", "workflow_template_ref", "subworkflow_id", "launch_plan"),
        "write the other workflow's name as the second argument",
    ),
    **dict.fromkeys(
        ("execution_timeout", "workflow_execution_timeout", "timeout_seconds", "run_timeout"),
        'write timeout="1h": how long it may take in all',
    ),
    **dict.fromkeys(
        ("retry", "retries", "max_retries", "max_attempts", "retry_policy", "retry_strategy"),
        "the other workflow's steps are tried again: write retry=4 there",
    ),
    **dict.fromkeys(
        ("pass_all_params", "pass_parameters", "inherit_params", "propagate_params"),
        "write pass_params=True",
    ),
    "sla": 'write deadline="1h": after it the block counts as late',
}
_CONCURRENCY = "write max_concurrency=4"
_ITERATIONS = "write max_iterations=5: iterations in all"
_ACTIVE = 'write max_active_runs=1, or strategy="sequential"'
_SCHEDULE = "a schedule is made beside the workflow: kaon schedule put FILE"
_PARAMETERS = 'write param("day", "date") where the value is used, or parameters=[...]'
_ELSEWHERE: dict[str, dict[str, str]] = {
    "each": dict.fromkeys(
        (
            "parallelism",
            "max_parallel",
            "concurrency",
            "max_workers",
            "max_map_length",
            "max_splits",
        ),
        _CONCURRENCY,
    )
    | dict.fromkeys(
        ("min_success_ratio", "tolerance", "fail_fast"), 'write tolerate=2, or tolerate="20%"'
    ),
    "until": dict.fromkeys(
        ("max_passes", "max_attempts", "limit", "times", "max_loops"), _ITERATIONS
    )
    | dict.fromkeys(("delay", "interval", "poke_interval"), 'write backoff="10s"'),
    "Workflow": dict.fromkeys(("max_active_tasks", "concurrency", "parallelism"), _ACTIVE)
    | dict.fromkeys(("schedule", "schedule_interval", "cron", "catchup", "start_date"), _SCHEDULE)
    | dict.fromkeys(("params", "arguments", "inputs", "default_args"), _PARAMETERS)
    | {
        "dagrun_timeout": 'write timeout="2h"',
        "dag_id": _NAME,
        "tags": "labels belong to runs: kaon submit --label NAME=VALUE",
        **dict.fromkeys(("on_exit", "exit_handler"), "write finally_=clean_up"),
        **dict.fromkeys(("on_failure_callback", "on_error_callback"), "write on_failure=alert"),
    },
    "Retry": dict.fromkeys(
        ("attempts", "retries", "limit", "stop", "maximum_attempts"), "write max_attempts=4"
    )
    | dict.fromkeys(("wait", "delay", "initial_interval", "duration"), 'write backoff="30s"')
    | dict.fromkeys(("multiplier", "exponential_base", "backoff_coefficient"), "write factor=2")
    | dict.fromkeys(
        ("non_retryable_error_types", "retry_on", "retryable"), 'write rules={"ValueError": 1}'
    )
    | dict.fromkeys(("maximum_interval", "max_delay", "max_duration"), 'write max_backoff="10m"'),
    "notify": dict.fromkeys(
        ("channel", "channels", "recipients", "target", "email", "emails", "slack", "url"),
        'write to="ops", the name of a channel of the deployment',
    )
    | dict.fromkeys(
        ("on", "events", "event", "when", "states", "occasions", "trigger"),
        'write the occasions first: notify("failed", "late", to="ops")',
    )
    | dict.fromkeys(("on_failure", "on_error"), 'write notify("failed", to="ops")')
    | dict.fromkeys(("on_success", "on_completion"), 'write notify("succeeded", to="ops")'),
    "param": dict.fromkeys(("enum", "options", "values"), "write choices=[...]")
    | dict.fromkeys(
        ("type", "dtype", "schema"), 'write the type as the second argument: param("n", int)'
    )
    | {"help": 'write description="..."', "required": "a parameter without a default is required"},
}
_ELSEWHERE["repeat"] = _ELSEWHERE["while_"] = _ELSEWHERE["until"]


def step_advice(word: str) -> str:
    """Return what to write in place of another system's option of steps; empty when it is no such option."""
    return _STEP.get(word, "")


def sub_workflow_advice(word: str) -> str:
    """Return what to write in place of another system's option of what runs a workflow; empty when it is no such option."""
    return _SUB_WORKFLOW.get(word, "")


def refuses_others(function: F) -> F:
    """Refuse keywords that a function or class does not take, with the one that is meant, where its user wrote them."""
    takes = _keywords(function)
    name = function.__name__

    if inspect.isclass(function):
        made = function.__init__

        @wraps(made)
        def __init__(self: Any, *arguments: Any, **given: Any) -> None:  # noqa: N807
            check_keywords(name, given, takes)
            made(self, *arguments, **given)

        function.__init__ = __init__  # type: ignore[method-assign]
        return function

    @wraps(function)
    def checked(*arguments: Any, **given: Any) -> Any:
        check_keywords(name, given, takes)
        return function(*arguments, **given)

    return cast("F", checked)


def check_keywords(name: str, given: Collection[str], takes: list[str]) -> None:
    """Refuse keywords that a function does not take, with the one that is meant.

    Raises:
        WorkflowError: there is one.
    """
    for word in given:
        if word not in takes:
            raise WorkflowError(_refusal(name, word, takes), caller())


def _keywords(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    assert not any(each.kind is each.VAR_KEYWORD for each in parameters), function
    return [
        each.name
        for each in parameters
        if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]


def _refusal(name: str, word: str, takes: list[str]) -> str:
    advice = _ELSEWHERE.get(name, {}).get(word, "")
    advice = advice or meant(word, takes, most=1, cutoff=0.7) or _STEP.get(word, "")
    return f"{name}() has no option {word!r}{'; ' if advice else ''}{advice}; it takes {', '.join(takes)}"
