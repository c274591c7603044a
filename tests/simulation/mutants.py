"""The mutation check: each safety mechanism is switched off in turn, and something must notice.

A mutant is a patch of named functions, applied in a process of its own; production code has no switches for it. The simulation runs
seeds and the named interleavings until the first violation; a mutant that survives all of them fails the check.
"""

from __future__ import annotations

import ast
import inspect
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaon_coordinator import faults
from kaon_coordinator.engine import handlers, messages
from kaon_coordinator.engine.definition import followers
from kaon_coordinator.engine.kinds import subworkflows as engine_subworkflows
from kaon_coordinator.engine.scopes import rerun as engine_rerun
from kaon_coordinator.engine.state import counting as engine_counting
from kaon_coordinator.engine.steps import attempts as engine_attempts
from kaon_coordinator.engine.steps import leases as engine_leases
from kaon_coordinator.matching import chains, matcher
from kaon_coordinator.matching.match_effects import Extend
from kaon_coordinator.matching.matcher import PoolMatcher
from kaon_coordinator.shell.barriers import Barriers
from kaon_coordinator.shell.ending import Endings
from kaon_coordinator.shell.lease_proofs import LeaseProofs
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.shell.turn import FaultedRun, Turn
from kaon_runner.leases import chain
from kaon_runner.leases.table import LeaseTable, Phase
from kaon_runner.runner import Runner
from kaon_wire.lease_tokens import TOKEN_BYTES

from .checks import CheckedStore
from .interleavings import SCENARIOS
from .memory_permits import MemoryPermits
from .memory_store import MemoryStore
from .running import quiet, run_seed

SEEDS = 3000
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One mechanism, switched off."""

    name: str
    patch: Callable[[], None]
    # Tried first: a seed that notices. Nothing depends on it but the time that the check takes.
    seed: int = 0


def _epoch_fence() -> None:
    MemoryStore.holds = lambda self, partition, epoch: True  # type: ignore[method-assign]


def _edit(module: Any, name: str, old: str, new: str) -> None:
    """Puts an edited copy of a function in the place of the original, wherever it was imported."""
    original = getattr(module, name)
    # In the one form that `ast` writes, wherever the formatter breaks a line.
    source = ast.unparse(ast.parse(inspect.getsource(original)))
    if source.count(old) != 1:
        raise LookupError(f"{name} no longer says {old!r}: the mutant needs to be adapted")
    scope: dict[str, Any] = {}
    exec(compile(source.replace(old, new), f"<mutant of {name}>", "exec"), vars(module), scope)
    for other in list(sys.modules.values()):
        if getattr(other, name, None) is original:
            setattr(other, name, scope[name])


def _attempt_deduplication() -> None:
    held = "step.status in t.HELD and (lease.incarnation"
    over = "step.status in {*t.HELD, t.PENDING, *t.TERMINAL} and (lease.incarnation"
    _edit(engine_leases, "claim", held, over)


def _holder_check() -> None:
    held = "step.status in t.HELD and (lease.incarnation == step.incarnation):"
    _edit(engine_leases, "claim", held, "step.status in t.HELD:")


def _generation_check() -> None:
    current = "current = step.is_newest(lease.issue)"
    _edit(engine_leases, "claim", current, "current = True")


def _expiry_after_catching_up() -> None:
    def expired(self: Barriers, partition: Partition, now: float) -> list[Any]:
        leases = partition.watch.leases
        return [lease for lease in leases.overdue(now) if leases.is_overdue(lease, now)]

    Barriers.expired = expired  # type: ignore[method-assign]
    Barriers.due = lambda self, partitions, now: []  # type: ignore[method-assign, assignment]


def _idempotency_key() -> None:
    real = MemoryStore._submit

    def submit(self: MemoryStore, run: Any) -> Any:
        self.keys.clear()
        return real(self, run)

    checked = CheckedStore._submit

    def checked_submit(self: CheckedStore, run: Any) -> Any:
        self.keys.clear()
        return checked(self, run)

    MemoryStore._submit = submit  # type: ignore[method-assign]
    CheckedStore._submit = checked_submit  # type: ignore[method-assign]


def _permits() -> None:
    MemoryPermits.is_free = lambda self, key, wish, now_us: True  # type: ignore[method-assign]


def _permits_of_what_is_opened_again() -> None:
    again = "decision.state.ended and bool(permit_keys(decision.state))"
    _edit(engine_rerun, "run_again", again, "False")


def _waiting_steps_are_counted_anew() -> None:
    ready = "node.status == t.READY"
    _edit(engine_counting, "_recount_cells", ready, "False")


def _end_from_before_a_retry() -> None:
    known = "message.asked != block.asked and _is_wanted_still(decision, block, message)"
    _edit(engine_subworkflows, "ended", known, "False")
    handlers._HANDLERS[messages.ChildEnded] = engine_subworkflows.ended


def _request_after_recovery() -> None:
    real = Partition.adopt

    def adopt(self: Partition, loaded: Any, now: float) -> Any:
        effects = real(self, loaded, now)
        effects.requests.clear()
        return effects

    Partition.adopt = adopt  # type: ignore[method-assign]


def _pool_opened() -> None:
    real = PoolMatcher.open

    def opened(self: PoolMatcher) -> Any:
        return real(self)[1:]

    PoolMatcher.open = opened  # type: ignore[method-assign]


def _guard() -> None:
    """Whatever is raised for one run goes on to whoever works for all."""

    def note_fault(doing: str, error: BaseException, **about: object) -> Any:
        raise error

    original = faults.note_fault
    for module in list(sys.modules.values()):
        if getattr(module, "note_fault", None) is original:
            module.note_fault = note_fault  # type: ignore[attr-defined]


def _guard_takes_back_what_was_decided() -> None:
    def set_apart(self: Turn, run_id: str, fault: Any) -> None:
        rows = [row for row in self.applied_inbox if row.run_id == run_id]
        self.faulted[run_id] = FaultedRun(run_id=run_id, fault=fault, rows=rows)

    Turn.set_apart = set_apart  # type: ignore[method-assign]


def _guard_reads_the_run_anew() -> None:
    """The state in memory, half of one decision, is what the run is ended with."""
    real = Partition.forget
    states: dict[str, Any] = {}

    def forget(self: Partition, run_id: str) -> None:
        if run_id in self.runs:
            states[run_id] = self.runs[run_id]
        real(self, run_id)

    async def state(self: Endings, run: Any) -> Any:
        return states[run.run_id] if run.run_id in states else await stored(self, run)

    stored = Endings._state
    Partition.forget = forget  # type: ignore[method-assign]
    Endings._state = state  # type: ignore[method-assign]


def _lease_tokens() -> None:
    LeaseProofs.proves = lambda self, key, incarnation, tenant: True  # type: ignore[method-assign]


def _lease_token_names_its_lease() -> None:
    """Anything of the length of a token counts, for whatever lease and whoever shows it."""
    real = LeaseProofs.proves

    def proves(self: LeaseProofs, key: Any, incarnation: str, tenant: str | None) -> bool:
        return real(self, key, incarnation, tenant) or len(key.lease_token) == TOKEN_BYTES

    LeaseProofs.proves = proves  # type: ignore[method-assign]


def _unproven_revokes_name_their_token() -> None:
    real = Runner._revoke

    def revoke(self: Runner, order: Any) -> None:
        order.unproven = False
        real(self, order)

    Runner._revoke = revoke  # type: ignore[method-assign]


def _acknowledgement_before_a_follower() -> None:
    real = LeaseTable.follow

    def follow(self: LeaseTable, request: Any, chain: Any) -> Any:
        lease = real(self, request, chain)
        if lease is not None:
            lease.phase = Phase.HELD
        return lease

    LeaseTable.follow = follow  # type: ignore[method-assign]


def _generation_of_a_follower() -> None:
    """Each step counts for itself, so a promise may name a generation that comes again."""
    engine_attempts.next_generation = lambda decision, step: step.generation + 1


def _holder_of_the_success() -> None:
    engine_leases.may_hold = lambda step, lease: True


def _successors_are_taken_away() -> None:
    chains._could_start = lambda runner, occupied, asked: False


def _chains_go_on_as_they_begin() -> None:
    """What an engine offers goes to the runner, whoever waits."""

    def extend_chains(state: Any, now: float) -> None:
        for ticket in state.extending:
            ticket.allowed = ticket.followers
            state.effects.append(Extend(incarnation=ticket.incarnation, ticket=ticket))
        state.extending.clear()

    matcher.extend_chains = extend_chains


def _generation_of_an_extension() -> None:
    """An extension counts for whatever issue of its step is here."""
    chain._lease = lambda key: (key.run_id, key.path, 0)


def _exclusive_steps_do_not_follow() -> None:
    _edit(followers, "_may_follow", "not step.exclusive", "True")


def _nothing_follows_at_a_drain() -> None:
    real = Runner._may_go_on

    def may_go_on(self: Runner, execution: Any) -> bool:
        draining, self._draining = self._draining, False
        try:
            return real(self, execution)
        finally:
            self._draining = draining

    Runner._may_go_on = may_go_on  # type: ignore[method-assign]


MUTANTS = (
    Mutant(name="acknowledgement before a follower", patch=_acknowledgement_before_a_follower),
    Mutant(name="generation of a follower", patch=_generation_of_a_follower),
    Mutant(name="holder of the success", patch=_holder_of_the_success),
    Mutant(name="successors are taken away", patch=_successors_are_taken_away),
    Mutant(name="chains go on as they begin", patch=_chains_go_on_as_they_begin),
    Mutant(name="generation of an extension", patch=_generation_of_an_extension),
    Mutant(name="exclusive steps do not follow", patch=_exclusive_steps_do_not_follow, seed=28),
    Mutant(name="nothing follows at a drain", patch=_nothing_follows_at_a_drain),
    Mutant(name="epoch fence", patch=_epoch_fence, seed=9),
    Mutant(name="attempt deduplication", patch=_attempt_deduplication),
    Mutant(name="holder check", patch=_holder_check),
    Mutant(name="lease tokens", patch=_lease_tokens),
    Mutant(name="lease token names its lease", patch=_lease_token_names_its_lease),
    Mutant(name="unproven revokes name their token", patch=_unproven_revokes_name_their_token),
    Mutant(name="generation check", patch=_generation_check),
    Mutant(name="expiry only after catching up", patch=_expiry_after_catching_up),
    Mutant(name="idempotency key", patch=_idempotency_key),
    Mutant(name="permits", patch=_permits),
    Mutant(name="permits of what is opened again", patch=_permits_of_what_is_opened_again),
    Mutant(name="waiting steps are counted anew", patch=_waiting_steps_are_counted_anew, seed=1),
    Mutant(name="an end from before a retry", patch=_end_from_before_a_retry),
    Mutant(name="request after recovery", patch=_request_after_recovery),
    Mutant(name="PoolOpened", patch=_pool_opened),
    Mutant(name="guard of one run", patch=_guard, seed=23),
    Mutant(name="a faulted run leaves its turn", patch=_guard_takes_back_what_was_decided),
    Mutant(name="a faulted run is read anew", patch=_guard_reads_the_run_anew, seed=23),
)

# On a real store and a real broker: a plugin of pytest applies the patch, in the processes that the test starts too.
_TESTS = "services/coordinator/tests/coordinator_tests"
REAL = (
    (
        "epoch fence, on SQLite",
        "fence",
        f"{_TESTS}/store/test_partition_store.py::test_an_older_owner_writes_nothing[sqlite]",
    ),
    (
        "offset commit after the handler, on Kafka",
        "early-commit",
        f"{_TESTS}/transport/test_contract.py::test_a_failing_handler_ends_the_transport_and_its_records_come_again[kafka]",
    ),
)


def hunt(name: str) -> str:
    """Switches a mechanism off in this process and says who noticed; empty when nobody did."""
    quiet()
    mutant = next(each for each in MUTANTS if each.name == name)
    mutant.patch()
    return next(_noticed(mutant), "")


def _noticed(mutant: Mutant) -> Iterator[str]:
    yield from _seeds([mutant.seed])
    for scenario in SCENARIOS:
        try:
            scenario()
        except AssertionError as error:
            yield f"{scenario.__name__}: {str(error)[:90]}"
    yield from _seeds(range(SEEDS))


def _seeds(seeds: Iterable[int]) -> Iterator[str]:
    for seed in seeds:
        violation = run_seed(seed).violation
        if violation is not None:
            yield f"seed {seed}: {str(violation)[:90]}"


def start_real(patch: str, test: str) -> subprocess.Popen[str]:
    """The same for a mutant of the real store or broker, beside all others: most of its time it waits for what does not come."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "simulation.real_mutants", test],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT / "tests"), "KAON_MUTANT": patch},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def noticed_by(hunting: subprocess.Popen[str]) -> str:
    """The test that went red, when it has ended; empty when none did."""
    out, _ = hunting.communicate()
    failed = [line for line in out.splitlines() if line.startswith("FAILED ")]
    return failed[0].split(" - ")[0].rsplit("::", 1)[-1] if failed else ""


def main() -> int:
    """Hunts all mutants and prints the table; 1 when one survives."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "simulation.mutants", *sys.argv[1:]])
    survivors = 0
    chosen = sys.argv[1:]
    began = time.monotonic()
    real = {
        name: start_real(patch, test) for name, patch, test in REAL if not chosen or name in chosen
    }
    # Forked: everything is imported once, and no mutant sees another's patch.
    context = multiprocessing.get_context("fork")
    for mutant in MUTANTS:
        if chosen and mutant.name not in chosen:
            continue
        mutant_began = time.monotonic()
        with context.Pool(1) as pool:
            survivors += _tell(mutant.name, pool.apply(hunt, (mutant.name,)), mutant_began)
    for name, hunting in real.items():
        survivors += _tell(name, noticed_by(hunting), began)
    return 1 if survivors else 0


def _tell(name: str, noticed: str, began: float) -> bool:
    print(f"{name:42} {noticed or 'SURVIVED'}  ({time.monotonic() - began:.0f} s)", flush=True)
    return not noticed


if __name__ == "__main__":
    sys.exit(main())
