"""The names of a foreach's cells: readable where they are unambiguous, else numbers, and never twice the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.messages import ItemsRead, Start
from kaon_coordinator.engine.paths import item_key, item_keys
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
            lambda name: st.one_of(st.integers(0, 6), st.sampled_from(["a", "4"])).map(lambda v: {name: v})
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
    driver = Driver(workflow(chain(for_each("f", literal(items), chain(step("s"))))), lambda _: {"out": None})
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


def test_a_new_owner_gives_the_cells_that_wait_the_names_that_the_old_one_would_have_given() -> None:
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
            if "f" in driver.state.preparing:
                driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=items))
        assert driver.state.status == t.SUCCEEDED
        assert {cell.key for cell in driver.state.blocks["f"].cells.values()} == names
