"""Makes steps of each type; `steps` offers these functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kaon.dsl import functions, names, types
from kaon.dsl.errors import WorkflowError
from kaon.dsl.policies import Duration, milliseconds
from kaon.dsl.producers import Step
from kaon.dsl.sidecars import Sidecar, configs
from kaon.dsl.source import caller
from kaon.dsl.stepmaking import make
from kaon.dsl.stepoptions import takes_options
from kaon.dsl.values import Reference, Value
from kaon.dsl.words import check_argv, check_env, check_text

# What the shell step type fills in: inputs, and the directory of the code bundle.
_BUNDLE = "KAON_BUNDLE"
_IN_BUNDLE = re.compile(r"\$\{KAON_BUNDLE\}/+([^$]+)")
# "$${" is a literal "${".
_PLACEHOLDER = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")


@takes_options
def python(name: str, function: Callable[..., Any] | str, /, **rest: Any) -> Step:
    """Call a function with the inputs as arguments; it returns a dict of the outputs.

    steps.python("wrangle", recommend.wrangle, users=get_users["users"], outputs={"clean": "dataset", "regions": list})

    The function stands at the top of a module under the workflow's directory or of an installed package. A parameter named
    `context` receives the step's context (progress, logs, checkpoints). As text, "module:function", it names one under the
    workflow's directory, whose module is not imported here: it may need packages that only the runners have.
    """
    source = caller()
    found = functions.given(name, function, source)
    made = make("python", name, rest, source, config={}, function=found)
    functions.check_inputs(name, found, set(made.inputs), source)
    return made


@takes_options
def hive(name: str, /, query: str, **rest: Any) -> Step:
    """Run a SQL query over HiveServer2's protocol; `query` is SQL, or a file of it whose name ends in ".sql"."""
    source = caller()
    check_text(name, "query", query, source)
    if query.strip().lower().endswith(".sql") and not query.split()[1:]:
        return make("hive", name, rest, source, config={"file": query}, file=query)
    return make("hive", name, rest, source, config={"query": query})


@takes_options
def spark(name: str, function_or_script: Callable[..., Any] | str, /, **rest: Any) -> Step:
    """Call a PySpark function with the inputs as arguments, or run a PySpark script (a file's name).

    The function's parameter `spark`, if it has one, is the session. It may be named as text, "module:function".
    """
    source = caller()
    if isinstance(function_or_script, str) and ":" not in function_or_script:
        return make(
            "spark",
            name,
            rest,
            source,
            config={"file": function_or_script},
            file=function_or_script,
        )
    provided = functions.CONTEXT | {"spark"}
    function = functions.given(name, function_or_script, source, provided=provided)
    made = make("spark", name, rest, source, config={}, function=function)
    functions.check_inputs(name, function, set(made.inputs), source, provided=provided)
    return made


@takes_options
def r(name: str, file: str, /, *, function: str | None = None, **rest: Any) -> Step:
    """Run an R script, or a function of it."""
    source = caller()
    config = (
        {"file": file}
        if function is None
        else {"file": file, "function": check_text(name, "function", function, source)}
    )
    return make("r", name, rest, source, config=config, file=file)


@takes_options
def scala(name: str, file: str, /, *, main: str | None = None, **rest: Any) -> Step:
    """Compiles a Scala source file (once for each content) and runs its main object; `main` names it when there are several."""
    source = caller()
    config = (
        {"file": file}
        if main is None
        else {"file": file, "main": check_text(name, "main", main, source)}
    )
    return make("scala", name, rest, source, config=config, file=file)


@takes_options
def docker(
    name: str,
    /,
    image: str | Value,
    *,
    argv: Iterable[str] = (),
    env: Mapping[str, str | Value] | Value | None = None,
    sidecars: Iterable[Sidecar] = (),
    publish: Mapping[str, int] | None = None,
    ready: Iterable[str] = (),
    ready_timeout: Duration = "1m",
    **rest: Any,
) -> Step:
    """Run a container of `image` with the step's directory mounted; without `argv` the image's own command.

    `${name}` with the name of an input becomes its value, in a word of argv and in a value of env; any other stays as it is, for a
    shell in the container. Of an artifact it is the path in the container. `sidecars` are containers that run beside it.
    The image, and variables of the environment, may be values that are known only when the step begins.

    With serves=True the container serves those after it from when `ready`, a program in it with its arguments, ends with code 0,
    which it must within `ready_timeout`. publish={"database": 5432} makes port 5432 of the container reachable: its address,
    "host:port", is the output `database`.
    """
    source = caller()
    if not isinstance(image, Value):
        check_text(name, "image", image, source)
    config: dict[str, Any] = {
        "image": image,
        "argv": check_argv(name, argv, source),
        "env": check_env(name, env, source),
    }
    if beside := configs(name, sidecars, source):
        config["sidecars"] = beside
    if words := check_argv(name, ready, source):
        config["ready"] = words
        config["ready_ms"] = milliseconds(ready_timeout, f"step {name!r}: ready_timeout", source)
    if publish:
        if not isinstance(publish, Mapping):
            raise WorkflowError(
                f'step {name!r}: publish is a dict of ports by the names of outputs, such as {{"database": 5432}}, not '
                f"{publish!r}",
                source,
            )
        config["publish"] = dict(publish)
        declared = rest.get("outputs") or {}
        if isinstance(declared, Mapping):
            rest["outputs"] = {**dict.fromkeys(publish, str), **declared}
    return make("docker", name, rest, source, config=config)


@takes_options
def shell(
    name: str,
    /,
    argv: Iterable[str],
    *,
    env: Mapping[str, str | Value] | Value | None = None,
    stdout: str | None = None,
    **rest: Any,
) -> Step:
    """Run a program with its arguments; no shell reads them. For a pipeline: argv=["sh", "-c", "a | b"].

    `${name}` in a word of argv, or in a value of env, becomes the value of input `name`: of an artifact its local path.
    A program named with a relative path, such as "./load", is a file of the workflow's directory. `${KAON_BUNDLE}` becomes the
    runner's copy of that directory: argv=["perl", "${KAON_BUNDLE}/load.pl"]. `$${` stands for `${`. `stdout` names the output
    that becomes what the program prints: a text without its last line end, another value as JSON, or the file of an artifact.
    """
    source = caller()
    words = check_argv(name, argv, source)
    if not words:
        raise WorkflowError(f"step {name!r}: argv is empty; its first word is the program", source)
    variables = check_env(name, env, source)
    known = variables if isinstance(variables, dict) else {}
    texts = {key: text for key, text in known.items() if isinstance(text, str)}
    own = "/" in words[0] and not words[0].startswith("/") and "${" not in words[0]
    made = make(
        "shell",
        name,
        rest,
        source,
        config={"argv": words, "env": variables} | ({} if stdout is None else {"stdout": stdout}),
        program=words[0] if own else None,
        named=tuple(match[1] for word in words if (match := _IN_BUNDLE.fullmatch(word))),
        reads_bundle=any(_BUNDLE in text for text in (*words, *texts.values())),
    )
    if stdout is not None and stdout not in made.outputs:
        raise WorkflowError(
            f'step {name!r}: stdout names {stdout!r}, which is no output of it; add outputs={{"{stdout}": str}}',
            source,
        )
    for where, text in (
        *(("argv", word) for word in words),
        *((f"env {key}", texts[key]) for key in texts),
    ):
        for placeholder in _PLACEHOLDER.findall(text):
            if placeholder not in made.inputs and placeholder != _BUNDLE:
                raise WorkflowError(
                    f"step {name!r}: {where} names ${{{placeholder}}}, but there is no such input",
                    source,
                )
    return made


@takes_options
def publish(
    name: str, model_name: str, /, *, model: Reference, metrics: Any = None, **rest: Any
) -> Step:
    """Hands a model to the publisher and waits for its validation.

    Args:
        name: the step's name.
        model_name: under which name the model is published.
        model: the output that holds it: an artifact.
        metrics: numbers to keep with it: a dict, or an output of type map or metrics.
        rest: options and further inputs.
    """
    source = caller()
    names.check_model_name(model_name, source)
    if isinstance(model, Reference) and not (
        types.is_artifact(model.type) or types.name_of(model.type) == "any"
    ):
        raise WorkflowError(
            f"step {name!r}: model is {model.written}, which is of type {types.name_of(model.type)}; "
            'it must be an artifact, such as one declared outputs={"model": "model"}',
            source,
        )
    inputs = {"model": model} | ({} if metrics is None else {"metrics": metrics})
    return make("publish", name, rest | inputs, source, config={"model_name": model_name})


@takes_options
def step(step_type: str, name: str, /, *, file: str | None = None, **rest: Any) -> Step:
    """Make a step of any type that runners provide, with its settings in `config`; `file` is checked, bundled and added to them."""
    return make(
        step_type, name, rest, caller(), config={} if file is None else {"file": file}, file=file
    )
