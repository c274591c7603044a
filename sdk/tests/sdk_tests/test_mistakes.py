"""Mistakes are told when the workflow is built, with the file and the line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kaon import Workflow, WorkflowError, load_workflow
from kaon.dsl.bundle import make_bundle

Build = Callable[[str], Workflow]

START = """\
from kaon import *
def step(name, **rest): return steps.shell(name, argv=["true"], **rest)
a = step("a", outputs={"x": int, "ok": bool, "rows": list, "data": "dataset", "fit": "model"})
b = step("b", outputs={"y": int})
"""
END = '\nw = Workflow("w", body)\n'

# What is wrong, the line where the mistake stands (steps are made in line 2), and what the message must say.
MISTAKES = [
    ('body = step("c", v=a["nope"])', 5, "step 'a' has no output 'nope'; it declares x (int)"),
    ("body = a >> b >> a", 2, "cycle: a >> b >> a"),
    ("body = a >> a", 2, "cycle: a >> a"),
    ('body = a >> step("b") >> b', 2, "'b' is used twice"),
    ('body = step("Bad Name")', 2, "'Bad Name' is not a good name for a step"),
    (
        'body = step("c", v=param("limit"))',
        2,
        "uses parameter 'limit', which the workflow does not declare",
    ),
    ('body = a | step("c", v=a["x"])', 2, "which need not have ended before: write a >> c"),
    ('c = step("c", v=a["x"]); body = c >> a', 2, "which comes after it"),
    ('body = step("c", v=b["y"])', 2, "that step is not part of the workflow"),
    ('body = a >> step("c", v=last(a["x"], 0))', 2, "outside of every repeat"),
    ('body = a >> b ** each("i", a["x"])', 5, "comes from a value of type int; it must be a list"),
    ('body = b ** each("i", 3)', 5, "int; it must be a list"),
    ('body = a >> b ** each("i", a["fit"])', 5, "model; it must be a list"),
    ('body = a ** until(a["x"], max_iterations=2)', 5, "is a value of type int; it must be a bool"),
    ('body = a ** until(a["x"] == 3, max_iterations=2)', 5, "is always false"),
    (
        'body = a ** until(a["x"] > 3, max_iterations=2)',
        5,
        'write the condition or computation as expr("x > 3"',
    ),
    (
        'body = a ** until(a["ok"], max_iterations=0)',
        5,
        "max_iterations must be a whole number of at least 1",
    ),
    (
        'body = repeat(a, until=a["ok"], max_iterations=2, exhausted="x")',
        5,
        'must be "fail", "accept" or "skip"',
    ),
    ('body = steps.python("c", lambda: 1)', 5, "runners cannot find a lambda"),
    ("def f():\n def g(): ...\n return g\nbody = steps.python('c', f())", 8, "'f.<locals>.g'"),
    (
        "def f(x, *, y): ...\nbody = steps.python('c', f, x=1)",
        6,
        "gives no value for 'y' of function f(x, y)",
    ),
    (
        "def f(x): ...\nbody = steps.python('c', f, x=1, z=1)",
        6,
        "gives 'z', which function f(x) does not take",
    ),
    ('body = steps.python("c", 3)', 5, "needs a function, not 3"),
    ('body = steps.r("c", "r/none.R")', 5, "there is no file 'r/none.R'"),
    ('body = steps.hive("c", "../x.sql")', 5, "lies outside of the workflow's directory"),
    ("body = parallel()", 5, "parallel() is empty"),
    ("body = sequence(a, parallel())", 5, "parallel() is empty"),
    ('body = a >> a["x"]', 5, "which is data"),
    ("body = a >> len", 5, "make a step of it"),
    ("body = a >> [b]", 5, "joins steps and blocks"),
    ("body = [a] >> b", 5, "joins steps and blocks"),
    ('body = step("c", v=a)', 2, "is the whole step 'a'; name one of its outputs"),
    ('body = a >> step("c", v={1: a["x"]})', 2, "is a dict with the key 1; keys are text"),
    ("""body = a >> step("c", v=f"rows: {a['x']}")""", 5, 'a["x"] has no value while the workflow'),
    ("""body = a >> step("c", v="rows: " + str(a["x"]))""", 5, "so no text can hold it"),
    ("""body = a >> step("c", v=f"{param('n', int)}")""", 5, "parameter 'n' has no value while"),
    ('body = step("c", v=object())', 2, "not a JSON value"),
    ('body = step("c", v=float("nan"))', 2, "not a JSON value"),
    ('body = step("c", timout="1m")', 2, "a step has no option 'timout'; did you mean timeout? An"),
    ('body = step("c", retries=3)', 2, "no option 'retries'; write retry="),
    ('body = step("c", when=a["ok"])', 2, "no option 'when'; write branch(when("),
    (
        'body = step("c", depends_on=[a])',
        2,
        "no option 'depends_on'; write the order with the steps",
    ),
    ('body = b ** each("i", a["rows"], parallelism=2)', 5, "write max_concurrency=4; it takes"),
    (
        'body = a ** until(a["ok"], max_passes=2)',
        5,
        "until() has no option 'max_passes'; write max_iter",
    ),
    (
        'body = repeat(a, until=a["ok"], limit=2)',
        5,
        "repeat() has no option 'limit'; write max_iter",
    ),
    (
        'body = step("c", retry=Retry(attempts=2))',
        5,
        "Retry() has no option 'attempts'; write max_att",
    ),
    ("body = group(a, finaly=b)", 5, "did you mean finally_?"),
    (
        'w = Workflow("w", a, schedule="@daily")',
        5,
        "Workflow() has no option 'schedule'; a schedule is",
    ),
    (
        'body = sub_workflow("s", "w", conf={"n": 1})',
        5,
        "a sub-workflow has no option 'conf'; write params={",
    ),
    (
        'body = sub_workflow("s", "w", wait_for_completion=False)',
        5,
        "no option 'wait_for_completion'; write wait=False",
    ),
    ('body = sub_workflow("s", "w", retries=3)', 5, "the other workflow's steps are tried again"),
    ('body = sub_workflow("s", "w", timout="1h")', 5, "did you mean timeout? A parameter of"),
    (
        'w = Workflow("w", a, notify=notify("failed", channel="ops"))',
        5,
        "notify() has no option 'channel'; write to=",
    ),
    (
        'w = Workflow("w", a, notify=notify(on="failed", to="ops"))',
        5,
        "notify() has no option 'on'; write the occasions first",
    ),
    (
        "async def f(): ...\nbody = steps.python('c', f)",
        6,
        "'f' is an async function; a step is called as",
    ),
    (
        "def f():\n yield 1\nbody = steps.python('c', f)",
        7,
        "'f' is a generator; a step gives its outputs",
    ),
    ("body = a >> (b | 3)", 5, "joins steps and blocks, not 3"),
    ("body = a; Workflow('w', [a, b])", 5, "not a list of them; write parallel(*steps) or"),
    ('body = a ** (b | step("c"))', 5, "or while_(...), not b | c"),
    ('body = step("Train2")', 2, "such as 'train2'"),
    ('body = step("etl..load")', 2, "'etl..load' is not a good name"),
    ('body = a >> steps.publish("c", "m.x", model=a["fit"])', 5, "it has a dot; such as 'm-x'"),
    ('body = step("c", timeout="soon")', 2, "'soon' is no duration"),
    ('body = step("c", retry=0)', 2, "retry is Retry(...) or the number of attempts"),
    ('body = step("c", labels="gpu")', 2, "labels is a list"),
    ('body = step("c", labels=["gpu>1"])', 2, "'gpu>1' is no label expression"),
    ('body = step("c", outputs={"o": "frame"})', 2, "is declared 'frame', which is no type"),
    ('body = step("c", outputs={"o": set})', 2, "which is no type"),
    ('body = steps.shell("c", argv="ls -l")', 5, "argv is a list of words"),
    (
        'body = steps.shell("c", argv=["ls", "${dir}"])',
        5,
        "argv names ${dir}, but there is no such input",
    ),
    (
        'body = steps.shell("c", argv=["ls"], env={"D": "${d}"})',
        5,
        "env D names ${d}, but there is no such input",
    ),
    ('body = a >> steps.publish("c", "m", model=a["x"])', 5, "it must be an artifact"),
    ('body = step("c", v=param("n", int, default="x"))', 5, 'declared int, but its default is "x"'),
    ('body = step("c", v=param("n", "dataset", default=1))', 5, "it has no default"),
    ('body = step("c", v=param("n", "tabel"))', 5, "'tabel' is no type: use one of string"),
    ('body = step("c", v=param("n", int), w=param("n", str))', 5, "is declared otherwise at"),
    ('body = step("c", v=expr("x >", x=1))', 5, "is not a CEL expression"),
    ("body = step('c', v=expr('xs.joyn(\",\")', xs=[1]))", 5, "'joyn'; did you mean join?"),
    ('body = step("c", v=expr("x + 1", x="a"))', 5, "there is no string + int"),
    ('body = a >> step("c", v=expr("x + y", x=a["x"], y={}))', 5, "there is no any + map"),
    ('body = step("c", v=param("n", int, check="size(value) > 1"))', 5, "size(int)"),
    ('body = step("c", v=param("n", int, check="value + 1"))', 5, "gives int; it must give true"),
    ('body = step("c", v=coalesce(1))', 5, "coalesce() takes two values or more"),
    ('body = step("c", v=expr("x > y", x=1))', 5, "uses y; give each as an argument, y=..."),
    ('body = step("c", v=expr("x > 1", x=1, y=2))', 5, "does not use y"),
    (
        'r = each("r", a["rows"]); body = a >> step("c", v=r)',
        2,
        "does not stand in the foreach over it",
    ),
    (
        'r = each("r", a["rows"]); body = a >> (b ** r) ** r',
        5,
        "stands in another foreach with an item 'r'",
    ),
    ('body = (a >> b ** each("r", a["rows"])) | b', 2, "stands in two places"),
    (
        'body = branch(when(expr("true"), a), otherwise=step("c", v=a["x"]))',
        2,
        "belongs to another case of",
    ),
    (
        'body = a ** until(a["ok"], max_iterations=2) >> step("c", v=last(a["x"]))',
        2,
        "outside of every repeat",
    ),
    (
        'body = step("c", v=last("zzz.x")) ** until(expr("true"), max_iterations=2)',
        2,
        "has no step 'zzz'",
    ),
    ('body = a >> b ** each("r", a["rows"]) ** each("s", a["rows"])', 5, "write (x ** a) ** b"),
    ('for r in a["rows"]: body = a', 5, "loop with for_each"),
    ('body = a if a["ok"] else b', 5, "has no value while the workflow is built"),
    # hooks and groups
    ("body = a.finally_(a)", 2, "step 'a' stands both in the body and in finally_"),
    ("body = (a.on_failure(b)).finally_(b)", 2, "stands both in on_failure and in finally_"),
    ("body = a.finally_()", 5, "finally_() is empty"),
    ("body = a.on_failure(3)", 5, "on_failure joins steps and blocks, not 3"),
    (
        'body = a.finally_(step("c", v=outcome())) >> step("e", v=outcome())',
        2,
        "known only in finally_ and on_failure",
    ),
    (
        'c = step("c", outputs={"z": int}); body = a.finally_(c) >> step("e", v=c["z"])',
        2,
        "is a hook",
    ),
    (
        'c = step("c", outputs={"z": int}); body = step("e", v=c["z"]).finally_(c)',
        2,
        "belongs to step 'c', a hook that runs later",
    ),
    ('body = group(a, name="Bad")', 5, "'Bad' is not a good name for a group"),
    # when a block starts
    ("body = a.when_any()", 5, "step 'a' has a rule of when to start, but nothing comes before it"),
    ("body = a >> b.when_any().when_all_done()", 5, "has a rule of when to start already"),
    (
        "body = (a >> b.when_any()) | (a >> b.when_all_done())",
        5,
        "has another rule of when to start",
    ),
    ("body = b.when(a.succeeded)", 5, "but nothing comes before it"),
    ("body = a >> b.when(True)", 5, "takes ends of blocks, such as load.succeeded & "),
    ("body = a >> b.when(a.succeeded & a.status)", 5, "& takes ends of blocks"),
    ("body = a >> b.when(a.succeeded and a.ended)", 5, "join conditions by & and |, not by `and`"),
    ("body = a >> b.when(a.succeeded).when_any()", 5, "has a rule of when to start already"),
    (
        "body = (a >> b.when(a.ended)) | (a >> b.when(a.failed))",
        5,
        "has another rule of when to start",
    ),
    (
        "c = step('c'); body = a >> b.when(a.succeeded | c.succeeded) >> c",
        5,
        "step 'b' starts by a.succeeded | c.succeeded, and step 'c' does not come right before it",
    ),
    (
        "c = step('c'); body = (a | c) >> b.when(a.succeeded)",
        5,
        "does not look at step 'c', which comes right before it; add c.ended where",
    ),
    (
        "r = each('r', ['x']); c = step('c', v=r); body = (a | c**r) >> b.when(a.succeeded & c.ended)",
        5,
        "step 'c' does not come right before it; foreach 'each-r' does: write block = c ** r once, and use block in both",
    ),
    (
        "r = each('r', ['x']); c = step('c', v=r); body = (a | c**r) >> b.when(a.succeeded & (c**r).ended)",
        5,
        "a.succeeded & (c ** r).ended, and foreach 'each-r' does not come right before it; foreach 'each-r' does: write",
    ),
    (
        "r = each('r', ['x']); c = step('c', v=r); body = (a | c**r) >> b.when(a.succeeded)",
        5,
        "add block.ended with block = c ** r where its end does not matter",
    ),
    ("body = b >> sequence(a, step('c')).when_any()", 5, "belongs to one block"),
    ("body = b >> sequence(a, step('c')).optional()", 5, "optional() belongs to one block"),
    ('body = while_(a["ok"], a)', 5, "lies inside of it; last(...) gives the previous"),
    ("body = a ** while_(True)", 5, "is always true"),
    ('body = while_(last(b["y"], 1), b)', 5, "is a value of type int; it must be a bool"),
    # how others have ended
    ('body = a >> group(b, name="g") >> step("e", v=group(b).exit_code)', 2, "not part of"),
    ('g = group(a); body = g >> step("e", v=g.attempts)', 2, "only steps have exit codes"),
    ('body = step("e", v=a.status) >> a', 2, "which comes after it"),
    ('g = group(step("e", v=a.status)); body = g | a', 2, "need not have ended before"),
    ('step("e", skip_exit_codes=[0])', 2, "skip_exit_codes is a list of numbers from 1 to 255"),
    ("Retry(rules={0: 3})", 5, "an exit code must be a whole number of at least 1"),
    # what a failure stops
    ('body = group(a, on_error="continue")', 5, 'group: on_error is "fail" or "finish", not'),
    ('body = a ** each("i", [1], on_error=True)', 5, "each('i'): on_error is"),
    # gates
    ('body = approval("Ok?")', 5, "'Ok?' is not a good name for a gate"),
    ('body = approval("ok", roles="owner")', 5, "roles is a list"),
    (
        'body = approval("ok", timeout="1h", on_timeout="pass")',
        5,
        'on_timeout is one of "fail", "approve"',
    ),
    ('body = signal("ok", roles="owner")', 5, "signal 'ok': roles is a list"),
    ('body = approval("ok", on_timeout="skip")', 5, "but no timeout"),
    (
        'body = signal("s", timeout="1h", on_timeout="default")',
        5,
        "and default=... belong together",
    ),
    ('body = signal("s", default=1)', 5, "but no timeout"),
    ('body = signal("s", signal="no spaces")', 5, "is no good name for a signal"),
    ('body = signal("s", where=1)', 5, "where is a CEL expression such as"),
    ('body = signal("s", where="payload.")', 5, "signal 's': where: expression 'payload.'"),
    ('body = signal("s", where="day == 1")', 5, "signal 's': where: expression 'day == 1'"),
    ('body = signal("s", where="payload.n == params.n")', 5, "there is no parameter 'n'"),
    ('body = last_run("r", "No name")', 5, "is not a good name for a workflow"),
    ('body = last_run("r", "w", outputs={"run_id": str})', 5, "is an output of the gate itself"),
    ('body = last_run("r", "w", wait=False, timeout="1h")', 5, "exclude one another"),
    ('body = last_run("r", "w", on_timeout="skip")', 5, "but no timeout"),
    ('body = last_run("r", "w", on_timeout="default", timeout="1h")', 5, 'one of "fail", "skip"'),
    ('body = last_run("r", Workflow("w", a), params={"x": 1})', 5, "has no parameter 'x'"),
    ('body = last_run("r", "w", params={"x": a["nope"]})', 5, "has no output 'nope'"),
    ('body = timer("t")', 5, 'give either after="10m" or at='),
    ('body = timer("t", after="soon")', 5, "'soon' is no duration"),
    ('body = timer("t", at="2026-11-24 06:00")', 5, "is a time with its zone"),
    (
        'body = a >> timer("t", after=a["rows"])',
        5,
        "it must be a duration or a number of milliseconds",
    ),
    (
        'body = timer("t", after="1s") >> step("c", v=approval("ok")["nope"])',
        5,
        "gate 'ok' has no output 'nope'",
    ),
    (
        'g = approval("ok"); body = g >> step("c", v=g)',
        2,
        "the whole gate 'ok'; name one of its outputs",
    ),
    # sub-workflows
    ('body = sub_workflow("s", "Other")', 5, "'Other' is not a good name for a workflow"),
    ('body = sub_workflow("s", "other", version="7")', 5, 'version is "sha256:..."'),
    (
        'body = sub_workflow("s", "other", outputs={"o": set})',
        5,
        "sub-workflow 's': output 'o' is declared",
    ),
    (
        'body = sub_workflow("s", "other")["x"]',
        5,
        "sub-workflow 's' has no output 'x'; it declares none",
    ),
    (
        'o = Workflow("o", a); body = sub_workflow("s", o, z=1)',
        5,
        "workflow 'o' has no parameter 'z'",
    ),
    (
        'o = Workflow("o", step("c", v=param("n", int))); body = sub_workflow("s", o)',
        5,
        "no value for parameter 'n'",
    ),
    (
        'o = Workflow("o", step("c", v=param("n", int))); body = sub_workflow("s", o, n="x")',
        5,
        "must be of type int",
    ),
    (
        'o = Workflow("o", a); body = sub_workflow("s", o, outputs={"x": int})',
        5,
        "workflow 'o' gives no 'x'",
    ),
    (
        'body = sub_workflow("s", "other", wait=False, outputs={"x": int})',
        5,
        "wait=False does not go with outputs",
    ),
    (
        'body = sub_workflow("s", "other", wait=False, memo=True)',
        5,
        "wait=False does not go with memo",
    ),
    (
        'body = sub_workflow("s", "other", memo=Memo(code=["*"]))',
        5,
        "of a sub-workflow the whole version counts",
    ),
    (
        'o = Workflow("o", step("c", v=param("n", int)))'
        '; body = sub_workflow("s", o, pass_params=True)',
        5,
        "parameter 'n' has no value: this workflow has no parameter of that name to pass on",
    ),
    (
        'o = Workflow("o", step("c", v=param("n", int)))'
        '; body = step("d", v=param("n", "date")) >> sub_workflow("s", o, pass_params=True)',
        5,
        "parameter 'n' is of type date here and of type int there",
    ),
    # hooks beside a step
    ('body = (a >> b).on_late(step("c"))', 5, "on_late() belongs to one block"),
    ("body = a.on_retry()", 5, "on_retry() is empty"),
    # sweeps
    ('body = b ** each("t", grid())', 5, "grid() has no axis"),
    ('body = b ** each("t", grid(lr=[]))', 5, "axis 'lr' is empty"),
    (
        'body = b ** each("t", grid(lr=3))',
        5,
        "axis 'lr' comes from a value of type int; it must be a list",
    ),
    ('body = b ** each("t", grid(lr=uniform(0, 1)))', 5, "draw values with sample(...)"),
    (
        'body = b ** each("t", sample(count=0, x=[1]))',
        5,
        "count must be a whole number of at least 1",
    ),
    ('body = b ** each("t", sample(count=1, x=log_uniform(0, 1)))', 5, "both ends must be above 0"),
    (
        'body = b ** each("t", sample(count=1, x=uniform(2, 1)))',
        5,
        "the first must not be above the second",
    ),
    ('body = b ** each("t", sample(count=1, x=integers(1, 2.5)))', 5, "must be whole numbers"),
    (
        'body = b ** each("t", [1], stop_early="median")',
        5,
        "stop_early is median(...) or halving(...)",
    ),
    (
        'body = b ** each("t", [1], stop_early=median("loss", goal="low"))',
        5,
        'goal must be "minimize"',
    ),
    (
        'body = b ** each("t", [1], stop_early=halving("loss", eta=1))',
        5,
        "eta must be a whole number of at least 2",
    ),
    (
        't = each("t", grid(lr=[1])); body = step("c", v=t["depth"]) ** t',
        5,
        "has no axis 'depth'; it has lr",
    ),
    # repeats
    (
        'body = repeat(a, until=a["ok"], max_iterations=2, factor=0.5)',
        5,
        "factor must be at least 1",
    ),
    ('body = repeat(a, until=a["ok"], max_iterations=2, backoff="x")', 5, "'x' is no duration"),
    # options of steps
    (
        'body = step("c", pool="a b")',
        2,
        "'a b' is not a good name for the pool of step 'c': use letters",
    ),
    (
        'body = step("c", outputs={"a-b": int})',
        2,
        "'a-b' is not a good name for an output of step 'c': use letters",
    ),
    ('body = step("c", tags="gpu")', 2, "tags is a list of words"),
    ('body = step("c", tags=["a b"])', 2, "'a b' is no good tag"),
    ('body = step("c", memo="yes")', 2, "memo is True or Memo(...)"),
    ('body = step("c", exclusive=1)', 2, "exclusive is True or False"),
    ('body = step("c", requirements="none.txt")', 2, "there is no file 'none.txt'"),
    ('body = step("c", total_timeout="x")', 2, "total_timeout: 'x' is no duration"),
    ('body = step("c", retry=Retry(jitter=2))', 5, "must be between 0 and 1"),
    ('RetryRule(max_attempts=2, message="(")', 5, "RetryRule(message): the pattern '(' is wrong"),
    (
        "Retry(rules=[RetryRule(max_attempts=2)])",
        5,
        "a rule in a list names an error, a message or both",
    ),
    ("Retry(rules=[3])", 5, "or a list of RetryRule(...), not [3]"),
    (
        'Retry(rules={"X": RetryRule(max_attempts=2, error="Y")})',
        5,
        "names an error of its own",
    ),
    ('body = step("c", retry=Retry(rules={"no way": 1}))', 5, "'no way' is no type of errors"),
    (
        'body = step("c", retry=Retry(rules={"E": 0}))',
        5,
        "give the number of attempts in all, at least 1",
    ),
    (
        'body = step("c", resources=Resources(custom={"licence": 0}))',
        5,
        "licence must be a whole number of at least 1",
    ),
    # parameters and the workflow
    (
        'body = step("c", v=param("d", "date", default="24.11.2026"))',
        5,
        "declared date, but its default is",
    ),
    ('body = step("c", v=param("n", int, check="value >"))', 5, "is not a CEL expression"),
    ('body = step("c", v=param("n", int, check="x > 0"))', 5, "must be over `value`"),
    (
        'body = step("c", v=param("n", int, default=0, check="value > 0"))',
        5,
        "it must fulfil value > 0",
    ),
    ('body = step("c", v=param("n", list[set]))', 5, "is no type"),
    ('body = step("c", v=param("n", int | str))', 5, "is no type"),
    ('body = step("c", v=param("n", "date[]"))', 5, "is no type"),
    ('body = step("c", v=param("n", list[int], default=["a"]))', 5, "[0] is wrong"),
    (
        'body = step("c", v=param("n", "datetime", default="2026-11-24T06:00:00"))',
        5,
        "does not say in which zone it is",
    ),
    ('body = step("c", v=param("n", "duration", check="value > 5"))', 5, "duration > int"),
    (
        'body = step("c", v=param("n", int, default=a["rows"]))',
        5,
        "it may use other parameters, run_info() and expressions of these",
    ),
    (
        'body = step("c", v=param("n", int, default=expr("x + 1", x=param("n"))))',
        5,
        "the default of parameter 'n' depends on itself: n -> n",
    ),
    (
        'body = step("c", v=param("n", "duration", default=expr("m + duration(\'1h\')", m=param("m", "datetime"))))',
        5,
        "is of type datetime; it must be of type duration",
    ),
    ('body = step("c", v=param("n", default=param("m", int)))', 5, "needs a type"),
    (
        'body = step("c", v=expr("n > 5", n=param("n", "datetime")))',
        5,
        "timestamp > int",
    ),
    (
        'body = step("c", v=param("n", int, default=3, choices=[1, 2]))',
        5,
        "must be one of 1, 2, not 3",
    ),
    ('body = step("c", v=param("n", int, choices=["x"]))', 5, 'but a choice is "x"'),
    ('body = step("c", v=a["x"]["y"])', 2, "that step is not part of the workflow"),
    (
        'body = a; x = Workflow("x", body, outputs={"y": b["y"]})',
        5,
        "output 'y' of the workflow refers to b",
    ),
    ('body = a; x = Workflow("x", a.finally_(b), outputs={"y": b["y"]})', 5, "is a hook"),
    ('body = a; x = Workflow("x", a, outputs=[1])', 5, "outputs of a workflow is a dict"),
    ('body = a; x = Workflow("x", a, max_active_runs=-1)', 5, "max_active_runs must be 0"),
    ('body = step("c", produces=["ratings"])', 2, "produces is a list such as"),
    ('body = step("c", produces=dataset("No!"))', 5, "dataset"),
    ('body = step("c", produces=dataset("r", partition=[1]))', 5, "it must be a text, a number"),
    (
        'body = step("c", produces=[dataset("r"), dataset("r", partition="x")])',
        2,
        "produces has dataset 'r' twice",
    ),
    ('body = step("c", locks=["hall"])', 2, "locks is a list such as"),
    ('body = step("c", locks=semaphore("hall", 0))', 5, "semaphore 'hall': its limit must be"),
    ('body = step("c", locks=mutex("hall", key=b["y"]))', 5, "the key of lock 'hall' refers to b"),
    (
        'body = group(step("c", locks=mutex("a")), locks=mutex("b")); x = Workflow("x", body).definition()',
        2,
        "inner locks come after outer ones",
    ),
    ('body = a; x = Workflow("x", a, strategy="serial")', 5, 'one of "parallel", "sequential"'),
    (
        'body = a; x = Workflow("x", a, strategy="sequential", max_active_runs=2).definition()',
        5,
        "max_active_runs belongs to the strategy parallel",
    ),
    ("body = 1 / 0", 5, "ZeroDivisionError"),
    ("body = (", 5, "SyntaxError"),
]


@pytest.mark.parametrize(
    ("text", "line", "message"), MISTAKES, ids=[text for text, _, _ in MISTAKES]
)
def test_a_mistake_names_its_line(
    build: Build, project: Path, text: str, line: int, message: str
) -> None:
    with pytest.raises(WorkflowError) as caught:
        build(START + text + END)
    told = str(caught.value)
    assert message in told
    assert told.startswith(f"{project / 'flow.py'}:{line}: "), told


def test_an_error_in_a_module_beside_the_workflow_names_that_module(
    build: Build, project: Path
) -> None:
    (project / "helper_with_error.py").write_text("\nx = {}['gone']\n")
    with pytest.raises(
        WorkflowError, match=re.escape(f"{project / 'helper_with_error.py'}:2: KeyError")
    ):
        build("import helper_with_error\n")


def test_paths_under_the_working_directory_are_told_relative_to_it(
    build: Build, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(WorkflowError, match=r"^flow\.py:5: "):
        build(START + "body = parallel()" + END)


def test_a_file_must_define_exactly_one_workflow(build: Build, project: Path) -> None:
    with pytest.raises(WorkflowError, match="defines no Workflow"):
        build("x = 1\n")
    text = START + 'one = Workflow("one", a)\ntwo = Workflow("two", b)\n'
    with pytest.raises(WorkflowError, match="defines several workflows: one, two"):
        build(text)
    assert load_workflow(project / "flow.py", "two").name == "two"


def test_a_function_outside_of_the_directory_without_a_module_is_refused(build: Build) -> None:
    with pytest.raises(WorkflowError, match="cannot be imported by that name"):
        build(
            'from kaon import *\nimport importlib.util as u, pathlib\nf = pathlib.Path(__file__).with_name("bad-name.py")\n'
            'f.write_text("def g(): ...")\ns = u.spec_from_file_location("bad", f)\nm = u.module_from_spec(s)\n'
            's.loader.exec_module(m)\nw = Workflow("w", steps.python("a", m.g))\n'
        )


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("./absent", "there is no file './absent'"),
        ("./plain", "./plain may not be executed; chmod"),
        ("../outside", "lies outside of the workflow's directory"),
        ("bin", None),
    ],
)
def test_a_program_that_no_runner_would_get_is_refused(
    build: Build, project: Path, program: str, told: str | None
) -> None:
    (project / "plain").touch(0o644)
    text = f'from kaon import *\nw = Workflow("w", steps.shell("a", argv=["{program}"]))\n'
    if told is None:
        build(text)
        return
    with pytest.raises(WorkflowError, match=re.escape(told)):
        build(text)


def test_an_ignored_file_that_a_step_needs_is_named(build: Build, project: Path) -> None:
    (project / "train.R").write_text("1")
    (project / ".kaonignore").write_text("*.R\n")
    workflow = build('from kaon import *\nw = Workflow("w", steps.r("a", "train.R"))\n')
    with pytest.raises(WorkflowError, match=r"flow\.py:2: train\.R is left out"):
        workflow.definition()


def test_a_bundle_beyond_the_limit_names_its_largest_files(project: Path) -> None:
    (project / "model.bin").write_bytes(b"0" * 3_000_000)
    (project / "x.py").write_text("1")
    with pytest.raises(
        WorkflowError, match=r"would be 2\.9 MiB; the limit is 1\.0 MiB\. Largest files: model\.bin"
    ):
        make_bundle(project, max_bytes=2**20)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda project: os.mkfifo(project / "odd"), "odd in .* is neither a file nor a directory"),
        (lambda project: (project / "odd").symlink_to("/dev/zero"), "odd in .* is neither a file"),
        (lambda project: (project / "odd").symlink_to("odd"), "cannot be made"),
        (
            lambda project: (project / os.fsdecode(b"odd\xff.py")).write_text(""),
            r"odd\\xff\.py .* is not UTF-8",
        ),
        (
            lambda project: (project / ".kaonignore").write_text("[z-a]"),
            "kaonignore cannot be understood",
        ),
        (
            lambda project: (project / ".kaonignore").write_bytes(b"\xff"),
            "kaonignore cannot be understood",
        ),
    ],
)
def test_what_a_bundle_cannot_hold_is_named(
    project: Path, make: Callable[[Path], object], told: str
) -> None:
    make(project)
    with pytest.raises(WorkflowError, match=told):
        make_bundle(project)


def test_a_value_of_any_length_is_quoted_in_part() -> None:
    with pytest.raises(WorkflowError) as raised:
        Workflow("w", ["x" * 100_000])  # type: ignore[arg-type]
    assert len(str(raised.value)) < 5_000
    assert "a workflow's body joins steps and blocks, not ['xxx" in str(raised.value)
