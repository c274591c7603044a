"""`python -m simulation --first 0 --seeds 10000`: runs seeds on several processes; prints a small failing plan and its trace."""

from __future__ import annotations

import argparse
import os
import sys
import time

from .plan import Plan, make_plan
from .running import Outcome, fingerprint, quiet, run_seeds, shrink
from .world import World


def main() -> int:
    """Runs what the command line asks for; 1 when a guarantee was broken."""
    arguments = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts must be the same in every process, or a seed would not mean one run.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]])
    quiet()
    if arguments.fingerprint:
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            print(seed, fingerprint(seed))
        return 0
    began = time.monotonic()
    outcomes: list[Outcome] = []
    for outcome in run_seeds(
        range(arguments.first, arguments.first + arguments.seeds), arguments.processes
    ):
        outcomes.append(outcome)
        if outcome.violation is not None:
            _explain(outcome)
            return 1
    seconds = time.monotonic() - began
    events = sum(outcome.events for outcome in outcomes)
    print(
        f"{len(outcomes)} seeds from {arguments.first} in {seconds:.0f} s ({len(outcomes) / seconds:.0f}/s): {events} events, "
        f"{sum(outcome.seconds for outcome in outcomes) / 3600:.1f} simulated hours, no guarantee broken"
    )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="simulation", description="Simulates the whole system, one seed a run."
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--processes", type=int, default=2, help="how many at once")
    parser.add_argument(
        "--fingerprint",
        action="store_true",
        help="print a digest of all that was said and stored, for each seed",
    )
    return parser.parse_args()


def _explain(outcome: Outcome) -> None:
    assert outcome.violation is not None
    print(f"seed {outcome.seed}: {outcome.violation}")
    if outcome.violation.guarantee == "simulation":
        return
    plan = shrink(make_plan(outcome.seed), outcome.violation)
    print(f"\nthe smallest plan that was found:\n{_told(plan)}\n\nits trace:")
    again = World(plan, print, story=True).run()
    print(f"\n{again}\nagain: make simulate SEEDS=1 START={outcome.seed}")


def _told(plan: Plan) -> str:
    lines = [
        f"  {plan.coordinators} coordinators, {plan.runners} runners of {plan.slots} slots, {plan.run_partitions} partitions",
        f"  {plan.noise}, clocks wrong by up to {plan.skew} s, calm from {plan.calm:.2f} s",
        *(f"  {wish}" for wish in plan.wishes),
        *(f"  {fault}" for fault in plan.faults),
    ]
    used = {wish.workflow for wish in plan.wishes if wish.kind == "submit"}
    lines += [f"  {plan.definitions[index]}".replace("\n", "\n  ") for index in sorted(used)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
