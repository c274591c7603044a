"""The names of a foreach's cells: readable where they are unambiguous, else numbers, and never twice the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaon_coordinator.engine.messages import ItemsRead, Start
from kaon_coordinator.engine.state import paths as cell_paths
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.paths import item_key, item_keys
from kaon_wire import canonical

from .build import chain, for_each, literal, step, workflow
from .driver import Driver

# Short texts and numbers that are likely to meet each other and each other's numbers.
ITEMS = st.lists(
    st.one_of(
        st.integers(0, 12),
        st.sampled_from(["a", "b", "a/b", "", "x y", None, True, 1.0, [1]]),
        st.integers(0, 12).map(str),
        st.sampled_from(["key", "id", "name", "a"]).flatmap(
            lambda name: st.one_of(st.integers(0, 6), st.sampled_from(["a", "4"])).map(
                lambda v: {name: v}
            )
        ),
    ),
    max_size=13,
)


@pytest.mark.parametrize(
    ("items", "names"),
    [
        ([1, 1], ["0", "1"]),
        ([1, "1"], ["0", "1"]),
        (["a/b", "0"], ["0", "1"]),
        ([{"a": 1}, 0], ["0", "1"]),
        (["US", "DE", "US"], ["0", "DE", "2"]),
        ([{"id": "x"}, "x", {"name": "y"}], ["0", "1", "y"]),
        # The number of one item is the name of another, whose number is the name of a third.
        (["a", "a", "c", 1, "3"], ["0", "1", "c", "3", "4"]),
        # What is unambiguous keeps its name, also where it is a number.
        ([3, 2, 1, 0], ["3", "2", "1", "0"]),
        (["a/b", "1", "c"], ["0", "1", "c"]),
    ],
)
def test_every_cell_has_a_name_of_its_own_and_runs(items: list[object], names: list[str]) -> None:
    driver = Driver(
        workflow(chain(for_each("f", literal(items), chain(step("s"))))), lambda _: {"out": None}
    )
    assert driver.run().status == t.SUCCEEDED
    cells = driver.state.blocks["f"].cells
    assert [cells[index].key for index in range(len(items))] == [f"f[{name}]" for name in names]
    assert [canonical.loads(cells[index].item_json) for index in range(len(items))] == items
    driver.check_replay()


@given(ITEMS)
def test_names_are_never_twice_the_same_and_stay_as_they_are_where_they_never_were(
    items: list[object],
) -> None:
    names, own = item_keys(items), [item_key(item, index) for index, item in enumerate(items)]
    assert len(set(names)) == len(items)
    assert all(name in (own[index], str(index)) for index, name in enumerate(names))
    if len(set(own)) == len(own):
        assert list(names) == own


def test_a_new_owner_gives_the_cells_that_wait_the_names_that_the_old_one_would_have_given() -> (
    None
):
    items = tuple(canonical.dumps(item) for item in ("a", "b", "a", "c", 0, "d"))
    artifact = literal({"artifact": {"uri": "file:///items", "digest": "sha256:1"}})
    names = {"f[0]", "f[b]", "f[2]", "f[c]", "f[4]", "f[d]"}
    for moved_after in range(len(items)):
        body = chain(for_each("f", artifact, chain(step("s")), at_once=1))
        driver = Driver(workflow(body), lambda _: {"out": None})
        driver.tell(Start())
        driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=items))
        for _ in range(moved_after):
            driver.execute(driver.take())
        driver.take_over()
        while driver.requested:
            driver.execute(driver.take())
            if "f" in driver.state.transient.preparing:
                driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=items))
        assert driver.state.status == t.SUCCEEDED
        assert driver.state.transient.items == {}
        assert {cell.key for cell in driver.state.blocks["f"].cells.values()} == names


# PostgreSQL's indexes hold 2,704 bytes: a path, its run's id and a tag.
PATH_BYTES = 2_500


def deep(levels: int, item: str) -> Driver:
    """Foreachs within one another, whose names are as long as they may be, over two items."""
    body = chain(step("s" * 63))
    for level in range(levels):
        name = f"f{level}-".ljust(63, "x")
        body = chain(
            for_each(name, literal([item, f"{item[1:]}z"] if level == 0 else [item]), body)
        )
    return Driver(workflow(body), lambda _: {"out": 1})


@pytest.mark.parametrize("item", ["x" * 80, "ä" * 80, "\U0001f600" * 80])
def test_no_path_is_too_long_for_an_index_however_deep_and_long_the_names_are(item: str) -> None:
    driver = deep(15, item)
    assert driver.run().status == t.SUCCEEDED
    paths = [*driver.state.steps, *driver.state.blocks, *driver.state.scopes]
    assert max(len(path.encode()) for path in paths) < PATH_BYTES
    assert any(f"[{item}]" in path for path in paths)
    driver.check_replay()


@pytest.mark.parametrize("bound", [0, 1_000, 100_000])
def test_a_foreach_that_has_begun_keeps_its_names_whatever_the_bound_is(
    bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade: cells that are still to begin are called as those that have begun."""
    items = ["a", "1", "0"]
    driver = Driver(
        workflow(chain(for_each("f", literal(items), chain(step("s")), at_once=1))),
        lambda _: {"out": 1},
    )
    driver.tell(Start())
    assert set(driver.state.steps) == {"f[a]/s"}
    driver.take_over()
    monkeypatch.setattr(cell_paths, "NAMED_BYTES", bound)
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert set(driver.state.steps) == {"f[a]/s", "f[1]/s", "f[0]/s"}
