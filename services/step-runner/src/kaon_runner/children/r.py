"""Runs an R script, or a function of it, in this process's R."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from rpy2 import robjects
from rpy2.rinterface_lib import callbacks
from rpy2.rinterface_lib.embedded import RRuntimeError

from kaon.step import StepContext
from kaon_runner.children import r_values
from kaon_runner.children.faults import EngineError
from kaon_runner.children.r_offer import offer

# Errors keep the call that raised them, and the enclosing calls.
_RUN = """
function(expression, where) {
  calls <- NULL
  withCallingHandlers(
    eval(expression, where),
    error = function(condition) {
      calls <- vapply(sys.calls(), function(call) paste(deparse(call, nlines = 1L), collapse = ""), "")
      message("Error: ", conditionMessage(condition))
      place <- conditionCall(condition)
      if (!is.null(place)) message("in: ", paste(deparse(place, nlines = 2L), collapse = " "))
      message("calls: ", paste(utils::tail(utils::head(calls, -3L), 6L), collapse = " > "))
    }
  )
}
"""


def run(context: StepContext) -> dict[str, Any] | None:
    """Source the step's script, and call its function when one is named."""
    callbacks.consolewrite_print = _write_to(sys.stdout)
    callbacks.consolewrite_warnerror = _write_to(sys.stderr)
    os.environ["KAON_STEP_DIR"] = str(context.directory)
    robjects.r["Sys.setenv"](KAON_STEP_DIR=str(context.directory))
    robjects.r["setwd"](str(context.work))
    place = robjects.r["new.env"]()
    skips: list[str] = []
    outputs = offer(place, context, skips)
    try:
        _source(os.environ["KAON_R_HELPER"], place)
        _source(str(Path(os.environ["KAON_BUNDLE"]) / context.config["file"]), place)
        function = context.config.get("function")
        return _call(function, place, context) if function else outputs
    except RRuntimeError as error:
        if skips:
            context.skip(skips[0])
        raise EngineError(f"R: {str(error).strip()}") from None
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def _source(file: str, place: Any) -> None:
    expression = robjects.r["call"]("source", file, local=place, chdir=True)
    robjects.r(_RUN)(expression, robjects.globalenv)


def _call(name: str, place: Any, context: StepContext) -> dict[str, Any]:
    arguments = {each: r_values.to_r(value) for each, value in context.inputs.items()}
    place["..kaon_arguments"] = robjects.ListVector(arguments)
    expression = robjects.r["parse"](text=f"do.call({name}, ..kaon_arguments)")
    result = robjects.r(_RUN)(expression, place)
    return r_values.outputs(result, context)


def _write_to(stream: Any) -> Any:
    # R emits fragments of lines; the stream joins them.
    return stream.write
