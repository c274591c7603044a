from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaon_wire.definitions.validate import validate

from .mutants import MUTANTS
from .plan import make_plan

# A change is tried on these; `make simulate` runs 10,000, and from any other seed on.
SEEDS = 1_500
_TESTS = Path(__file__).parents[1]


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the simulation in processes of its own, as `make simulate` does."""
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        cwd=_TESTS,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_guarantee_breaks_whatever_goes_wrong() -> None:
    done = simulate("--seeds", str(SEEDS))
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_many_more_seeds_than_any_mutant_needs_to_be_noticed() -> None:
    assert all(8 * mutant.seed < SEEDS for mutant in MUTANTS)


@pytest.mark.slow
def test_one_seed_is_one_run_bit_for_bit() -> None:
    told = [
        simulate("--first", str(seed), "--seeds", "1", "--fingerprint").stdout for seed in (7, 7, 8)
    ]
    assert told[0]
    assert told[0] == told[1]
    assert told[0] != told[2]


def test_the_random_workflows_are_valid() -> None:
    for seed in range(300):
        for definition in make_plan(seed).definitions:
            assert validate(definition) == []
