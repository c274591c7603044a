"""Steps that depend on how others ended, joined by "and" and "or": Argo's dag-enhanced-depends.yaml."""

from __future__ import annotations

from kaon import Workflow, steps

a, b = (steps.shell(name, ["true"]) for name in "ab")
c = steps.shell("c", ["false"])
either = steps.shell("b-or-c", ["true"])
both = steps.shell("b-and-c", ["true"])
last = steps.shell("either-or-both", ["true"])
mixed = steps.shell("a-and-c-failed-or-both", ["true"])
whichever = steps.shell("a-and-c-however", ["true"])

workflow = Workflow(
    "dag-enhanced-depends",
    (a >> (b | c))
    | ((a | c) >> whichever.when_all_done())
    | ((b | c) >> either.when_any())
    | ((b | c) >> both.when_all_succeeded())
    | ((either | both) >> last.when_any())
    | ((a | c | both) >> mixed.when(a.succeeded & (c.failed | both.succeeded))),
)

EXPECTED = {
    "steps": {
        "a": "SUCCEEDED",
        "b": "SUCCEEDED",
        "c": "FAILED",
        "b-or-c": "SUCCEEDED",
        "b-and-c": "SKIPPED",
        "either-or-both": "SUCCEEDED",
        "a-and-c-failed-or-both": "SUCCEEDED",
        "a-and-c-however": "SUCCEEDED",
    }
}
