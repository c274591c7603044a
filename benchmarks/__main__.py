"""`python -m benchmarks`: measures, prints a table and, where asked, writes JSON lines."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import report, trace_hop
from benchmarks.celery_side import CelerySide
from benchmarks.kaon_side import KaonSide
from benchmarks.measure import Bench, Result
from kaon_local.paths import ROOT

_WORKLOADS: dict[str, Callable[[Bench], Result]] = {
    "idle": Bench.idle,
    "chain": Bench.chain,
    "trigger": Bench.trigger,
    "three": Bench.three,
    "three-together": Bench.three_together,
    "fan-out-100": lambda bench: bench.fan_out(100),
    "fan-out-500": lambda bench: bench.fan_out(500),
    "fan-out-2000": lambda bench: bench.fan_out(2000),
    "memory": Bench.memory,
    "calls": Bench.calls,
    "foreach-100": lambda bench: bench.foreach(100),
    "foreach-10000": lambda bench: bench.foreach(10_000),
    "foreach-100000": lambda bench: bench.foreach(100_000),
}
_SHORT = (
    "idle",
    "chain",
    "trigger",
    "three",
    "fan-out-100",
    "fan-out-500",
    "fan-out-2000",
    "memory",
)
# What the peer has no like of.
_OURS_ALONE = frozenset({"calls", "foreach-100", "foreach-10000", "foreach-100000"})


def main() -> int:
    """Entry point; returns the exit code."""
    options = _options()
    state = ROOT / ".kaon" / "bench"
    if options.trace_hop:
        _trace(state, options)
        return 0
    results: list[Result] = []
    for round_ in range(options.rounds):
        for name, coordinators in _turns(options):
            shutil.rmtree(state, ignore_errors=True)
            results += _measure(name, coordinators, state, round_, options)
    print(report.table(results))
    return 0


def _trace(state: Path, options: argparse.Namespace) -> None:
    """Tell where the time of a hop and of a trigger goes, on each of our sides."""
    for name, coordinators in _turns(options):
        shutil.rmtree(state, ignore_errors=True)
        ledgers = state / "ledgers"
        ledgers.mkdir(parents=True)
        with _our_side(name, coordinators, state, options) as side:
            Bench(side, ledgers).warm(options.warm)
            print(trace_hop.trace(side, ledgers, options.repeats))


def _turns(options: argparse.Namespace) -> list[tuple[str, tuple[int, int]]]:
    return [
        (name, count)
        for name in options.sides
        for count in ([(0, 0)] if name == "celery" else options.coordinators)
    ]


def _measure(
    name: str, coordinators: tuple[int, int], state: Path, round_: int, options: argparse.Namespace
) -> list[Result]:
    results = []
    ledgers = state / "ledgers"
    ledgers.mkdir(parents=True)
    with _side(name, coordinators, state, options) as side:
        bench = Bench(side, ledgers)
        bench.warm(options.warm)
        for workload in options.workloads:
            if name == "celery" and workload in _OURS_ALONE:
                continue
            for _ in range(1 if workload in {"idle", "memory"} else options.repeats):
                began = time.time()
                result = {
                    "side": side.name,
                    "round": round_,
                    **_WORKLOADS[workload](bench),
                    "time": began,
                }
                results.append(result)
                _note(result, options.json)
    return results


def _side(
    name: str, coordinators: tuple[int, int], state: Path, options: argparse.Namespace
) -> KaonSide | CelerySide:
    if name == "celery":
        return CelerySide(state, processes=options.processes)
    return _our_side(name, coordinators, state, options)


def _our_side(
    name: str, coordinators: tuple[int, int], state: Path, options: argparse.Namespace
) -> KaonSide:
    return KaonSide(
        state,
        durability="synchronous" if name == "closed" else name,
        runners=options.runners,
        slots=options.slots,
        closed=name == "closed",
        coordinators=coordinators[0],
        apis=coordinators[1],
    )


def _note(result: Result, path: str) -> None:
    print(report.line(result), file=sys.stderr, flush=True)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(result) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(_WORKLOADS)}"
    )
    parser.add_argument(
        "--sides",
        default="synchronous,relaxed",
        help="of synchronous, relaxed, closed (synchronous, with everything of docs/security.md on), celery; in this order",
    )
    parser.add_argument("--peer", default="", help="celery: measured after each of our own")
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often everything is started anew"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="how often each workload is run in a round"
    )
    parser.add_argument(
        "--warm",
        type=int,
        default=2,
        help="rounds of 160 steps before anything is measured; a broker's compiler is done after about 20",
    )
    parser.add_argument("--runners", type=int, default=2)
    parser.add_argument(
        "--coordinators",
        default="0",
        help="1,2,1+1: by turns, one, two that share the runs, and one with a process that answers the API for it, each over "
        "PostgreSQL; 0: one with SQLite",
    )
    parser.add_argument("--slots", type=int, default=4, help="steps that a runner executes at once")
    parser.add_argument(
        "--processes", type=int, default=4, help="tasks that Celery executes at once"
    )
    parser.add_argument(
        "--trace-hop",
        action="store_true",
        help="instead of workloads: the stages of a hop and of a trigger; for the sides synchronous and relaxed",
    )
    parser.add_argument("--json", default="", metavar="FILE", help="JSON lines are appended here")
    options = parser.parse_args()
    options.workloads = _known(parser, options.workloads or _SHORT, _WORKLOADS)
    options.coordinators = [_shape(each) for each in options.coordinators.split(",")]
    if "closed" in options.sides and options.coordinators != [(0, 0)]:
        parser.error("--coordinators: the closed side has its tenants in SQLite")
    sides: Sequence[str] = [*options.sides.split(","), *filter(None, [options.peer])]
    options.sides = _known(parser, sides, ("synchronous", "relaxed", "closed", "celery"))
    if options.trace_hop and not {*options.sides} <= {"synchronous", "relaxed"}:
        parser.error("--trace-hop: the benchmark reads topics of open brokers of our own only")
    return options


def _shape(text: str) -> tuple[int, int]:
    """Return how many coordinators, and processes for the API beside them, "1+1" asks for."""
    coordinators, _, apis = text.partition("+")
    return int(coordinators), int(apis or 0)


def _known(
    parser: argparse.ArgumentParser, names: Sequence[str], known: Sequence[str] | dict[str, object]
) -> Sequence[str]:
    strange = [name for name in names if name not in known]
    if strange:
        parser.error(f"{', '.join(strange)}: use {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
