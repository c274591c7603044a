"""Roles include others, and names of approvals stay as they are."""

from __future__ import annotations

from kaon_service.roles import Role, included


def test_an_administrator_of_the_platform_has_every_role() -> None:
    assert included([Role.PLATFORM_ADMIN]) == frozenset(Role)


def test_a_role_includes_what_is_below_it_and_nothing_beside_it() -> None:
    assert included([Role.AUTHOR]) == {Role.AUTHOR, Role.OPERATOR, Role.VIEWER}
    assert included([Role.PUBLISHER]) == {Role.PUBLISHER, Role.VIEWER}


def test_names_of_approvals_include_nothing() -> None:
    assert included(["risk-board"]) == {"risk-board"}
