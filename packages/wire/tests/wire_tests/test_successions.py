"""What engines and runners of different versions must compute alike."""

from __future__ import annotations

from kaon_wire.successions import inputs_digest


def test_the_digest_of_inputs_is_the_same_in_every_version() -> None:
    assert inputs_digest({"b": "1", "a": '"ä"'}).hex() == "e2c556bc9f5244f08640948fbc07441d"
    assert inputs_digest({}).hex() == "cae66941d9efbd404e4d88758ea67670"


def test_the_digest_tells_where_a_name_ends_and_does_not_depend_on_the_order() -> None:
    assert inputs_digest({"a": "bc"}) != inputs_digest({"ab": "c"})
    assert inputs_digest({"a": "1", "b": "2"}) == inputs_digest({"b": "2", "a": "1"})
