"""When a client counts as stalled."""

from __future__ import annotations

from kaon_service.stalls import StallWatch


def test_a_client_is_stalled_when_records_wait_and_none_is_acknowledged() -> None:
    now = [0.0]
    watch = StallWatch(30.0, clock=lambda: now[0])

    def stalled_at(second: float, waiting: int, acknowledged: int) -> bool:
        now[0] = second
        return watch.stalled(waiting=waiting, acknowledged=acknowledged)

    # Nothing waits, for as long as it may be.
    assert not stalled_at(100, 0, 0)
    assert not stalled_at(129, 3, 0)
    assert stalled_at(130, 3, 0)
    # Told once, and again after as long.
    assert not stalled_at(131, 3, 0)
    assert stalled_at(160, 3, 0)
    # An acknowledgement counts from the moment it came.
    assert not stalled_at(189, 3, 1)
    assert not stalled_at(218, 3, 1)
    assert stalled_at(219, 3, 1)
