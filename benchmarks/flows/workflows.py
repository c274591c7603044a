"""The shapes that are measured."""

from __future__ import annotations

from functools import reduce
from operator import rshift

import bench_steps

from kaon import Workflow, each, param, steps

ledger, run, count = param("ledger", str), param("run", str), param("count", int, default=1)


def _note(name: str):  # type: ignore[no-untyped-def]
    return steps.python(name, bench_steps.note, ledger=ledger, run=run, step=name)


def _chain(length: int):  # type: ignore[no-untyped-def]
    return reduce(rshift, (_note(f"s{number}") for number in range(1, length + 1)))


def _fan_out() -> Workflow:
    split = steps.python(
        "split", bench_steps.split, ledger=ledger, run=run, count=count, outputs={"items": list}
    )
    item = each("item", split["items"])
    work = steps.python(
        "work", bench_steps.work, ledger=ledger, run=run, item=item, outputs={"out": int}
    )
    join = steps.python("join", bench_steps.join, ledger=ledger, run=run, outs=work["out"])
    return Workflow("bench-fan-out", split >> work**item >> join)


def _foreach() -> Workflow:
    split = steps.python(
        "split",
        bench_steps.split_to_file,
        ledger=ledger,
        run=run,
        count=count,
        outputs={"items": "dataset"},
    )
    item = each("item", split["items"])
    work = steps.python(
        "work", bench_steps.work, ledger=ledger, run=run, item=item, outputs={"out": int}
    )
    join = steps.python("join", bench_steps.finish, ledger=ledger, run=run)
    return Workflow("bench-foreach", split >> work**item >> join)


SHAPES = {
    "trigger": Workflow("bench-trigger", _chain(1)),
    "three": Workflow("bench-three", _chain(3)),
    "chain": Workflow("bench-chain", _chain(50)),
    "fan-out": _fan_out(),
    "foreach": _foreach(),
}
