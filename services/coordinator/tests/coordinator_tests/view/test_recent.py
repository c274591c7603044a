"""What the view keeps in memory is bounded, and goes when nobody uses it any more."""

from __future__ import annotations

from kaon_coordinator.view.recent import IDLE_SECONDS, Recent


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_used_least_lately_goes_first() -> None:
    recent: Recent[str, list[int]] = Recent(most=4, weight=len)
    recent.put("a", [1, 2])
    recent.put("b", [1, 2])
    assert recent.get("a") == [1, 2]
    recent.put("c", [1])
    assert [recent.peek(key) for key in "abc"] == [[1, 2], None, [1]]


def test_what_was_used_last_is_kept_whatever_it_weighs() -> None:
    recent: Recent[str, list[int]] = Recent(most=1, weight=len)
    recent.put("a", [1])
    assert recent.get_or_put("b", lambda: [1, 2, 3]) == [1, 2, 3]
    assert recent.peek("a") is None


def test_entries_that_have_grown_are_weighed_anew() -> None:
    recent: Recent[str, list[int]] = Recent(most=4, weight=len)
    grown = [1]
    recent.put("a", grown)
    recent.put("b", [1])
    grown.extend([2, 3, 4])
    recent.sweep()
    assert recent.peek("a") is None
    assert recent.peek("b") == [1]


def test_what_nobody_uses_goes() -> None:
    clock = _Clock()
    recent: Recent[str, list[int]] = Recent(most=100, weight=len, clock=clock)
    recent.put("looked at", [1])
    recent.put("left", [1])
    clock.now = IDLE_SECONDS
    assert recent.get("looked at") is not None
    # A look at what is kept is no use of it.
    assert recent.peek("left") is not None
    clock.now += 1.0
    recent.sweep()
    assert recent.peek("left") is None
    assert recent.peek("looked at") is not None


def test_what_somebody_waits_for_stays() -> None:
    clock = _Clock()
    recent: Recent[str, list[int]] = Recent(most=100, weight=len, clock=clock)
    recent.put("watched", [1])
    recent.put("left", [1])
    clock.now = IDLE_SECONDS + 1.0
    recent.sweep(["watched", "never looked at"])
    assert [recent.peek(key) for key in ("watched", "left", "never looked at")] == [[1], None, None]
