"""An error's text as far as a gRPC status takes it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from kaon_wire.statuses import MESSAGE_BYTES, fitting


@pytest.mark.parametrize("character", ["x", "%", "\n", "ä", "\u05e9", "\U0001f600"])
def test_a_text_of_any_characters_fits_into_a_header(character: str) -> None:
    told = fitting(character * 10_000)
    assert told.endswith(" ...")
    # As gRPC encodes it: printable ASCII but for the percent sign stays.
    size = len(quote(told.removesuffix(" ..."), safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"))
    assert MESSAGE_BYTES - 12 < size <= MESSAGE_BYTES


def test_a_text_that_fits_stays_as_it_is_but_for_what_no_message_can_hold() -> None:
    assert fitting("x" * MESSAGE_BYTES) == "x" * MESSAGE_BYTES
    assert fitting("half \ud800") == "half ?"
