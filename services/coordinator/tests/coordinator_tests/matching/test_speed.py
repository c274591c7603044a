"""What matching costs. The bound is loose: machines differ; the figure is printed (pytest -s)."""

from __future__ import annotations

import time

from kaonapi.step.v1 import step_pb2

from .world import Host, Pool, key, request

STEPS = 20_000


def measure(hosts: int, tenants: int, waiting: int) -> float:
    """Microseconds of CPU for one step's whole way: request, release, end; with `waiting` others in the queue."""
    pool = Pool(*(Host(f"r{n}", slots=4, recent_us=200) for n in range(hosts)))
    asked = [request(f"s{n}", tenant=f"t{n % tenants}") for n in range(STEPS)]
    began = time.process_time()
    for start in range(0, STEPS, waiting):
        pool.ask(*asked[start : start + waiting])
        ended = start
        while len(pool.released) > ended:
            batch = [path for _, path, _ in pool.released[ended:]]
            ended = len(pool.released)
            pool.now += 0.002
            for path in batch:
                pool.matcher.requests(_ended(path), pool.now)
            pool.tick()
    assert len(pool.released) == STEPS
    return (time.process_time() - began) / STEPS * 1e6


def test_a_step_costs_microseconds_whatever_waits_beside_it() -> None:
    few = measure(hosts=2, tenants=1, waiting=500)
    many = measure(hosts=2, tenants=1, waiting=20_000)
    wide = measure(hosts=50, tenants=20, waiting=5_000)

    print(
        f"\nmatcher, CPU per step: {few:.1f} us with 500 waiting, {many:.1f} us with 20,000, {wide:.1f} us with 50 "
        f"runners and 20 tenants: {1e6 / few:,.0f}, {1e6 / many:,.0f}, {1e6 / wide:,.0f} matches/s"
    )
    assert few < 500
    assert many < 3 * few


def _ended(path: str) -> step_pb2.StepRequests:
    return step_pb2.StepRequests(
        pool="default", partition=0, epoch=1, ended=[step_pb2.StepEnded(key=key(path))]
    )
