"""The runtime of `kaon.R`: the step's inputs, and functions that call back into Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpy2 import robjects
from rpy2.rinterface import rternalize

from kaon.step import Artifact, Signal, StepContext
from kaon_runner.children import r_values

# R knows the functions only by address: Python must keep them alive while a script runs.
_kept: list[Any] = []


def offer(place: Any, context: StepContext, skips: list[str]) -> dict[str, Any]:
    """Put everything into the R environment `place`.

    The script's outputs appear in the returned dict, and why it asks to be skipped in `skips`.
    """
    outputs: dict[str, Any] = {}

    def dataset(name: Any) -> Any:
        artifact = context.inputs[str(name[0])]
        if not isinstance(artifact, Artifact):
            raise TypeError(f"input {name[0]} is no dataset")
        return r_values.frame(artifact)

    def output(name: Any, value: Any) -> Any:
        named = str(name[0])
        outputs[named] = r_values.output(named, robjects.default_converter.rpy2py(value), context)
        return value

    def artifact_path(name: Any, extension: Any) -> Any:
        return robjects.StrVector([str(context.artifact_path(str(name[0]), str(extension[0])))])

    def progress(fraction: Any, message: Any) -> Any:
        context.progress(float(fraction[0]), str(message[0]))
        return robjects.BoolVector([True])

    def metric(name: Any, value: Any, step: Any) -> Any:
        context.metric(str(name[0]), float(value[0]), int(step[0]) if len(step) else None)
        return robjects.BoolVector([True])

    def skip(why: Any) -> Any:
        skips.append(str(why[0]))
        return robjects.BoolVector([True])

    def signals() -> Any:
        return _all_to_r(context.signals())

    def wait_signal(name: Any, timeout: Any) -> Any:
        wanted, seconds = str(name[0]) or None, float(timeout[0])
        found = context.wait_signal(wanted, seconds if seconds >= 0 else None)
        return _all_to_r([] if found is None else [found])

    place["..kaon_inputs"] = robjects.ListVector(
        {name: r_values.to_r(_plain(value)) for name, value in context.inputs.items()}
    )
    place["..kaon_iteration"] = context.iteration
    functions: dict[str, Callable[..., Any]] = {
        "dataset": dataset,
        "output": output,
        "artifact_path": artifact_path,
        "progress": progress,
        "metric": metric,
        "skip": skip,
        "signals": signals,
        "wait_signal": wait_signal,
    }
    _kept.clear()
    for name, function in functions.items():
        _kept.append(rternalize(function, signature=False))
        place[f"..kaon_{name}"] = _kept[-1]
    return outputs


def _all_to_r(signals: list[Signal]) -> Any:
    fields = ({"name": each.name, "payload": each.payload, "seq": each.seq} for each in signals)
    return robjects.r["list"](*map(r_values.to_r, fields))


def _plain(value: Any) -> Any:
    """Return artifacts as paths: data frames are built only on demand, by `kaon_dataset`."""
    if isinstance(value, Artifact):
        return str(value.path or value.uri)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
