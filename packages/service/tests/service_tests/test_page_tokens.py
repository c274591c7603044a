"""Pages of lists by name."""

from __future__ import annotations

import pytest

from kaon_service import page_tokens
from kaon_service.page_tokens import LARGEST_PAGE, window
from kaon_wire.errors import InvalidValue


def test_pages_follow_one_another_without_gaps() -> None:
    names = [f"n{number}" for number in range(7)]
    found, token = [], ""
    while True:
        wanted = window(3, token)
        rows = [name for name in names if name > wanted.after][: wanted.limit]
        page, token = wanted.cut(rows, str)
        found.append(list(page))
        if not token:
            break
    assert found == [["n0", "n1", "n2"], ["n3", "n4", "n5"], ["n6"]]


def test_a_full_last_page_has_no_next_one() -> None:
    wanted = window(2, "")
    assert wanted.cut(["a", "b"], str) == (["a", "b"], "")


def test_without_a_size_a_page_is_as_large_as_pages_get() -> None:
    assert window(0, "").size == LARGEST_PAGE


@pytest.mark.parametrize("token", ["x", "====", "AAAA", page_tokens.made(2**63, "a"), "é"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidValue, match="page token"):
        window(0, token)
