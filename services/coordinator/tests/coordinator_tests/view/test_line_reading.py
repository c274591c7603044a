"""Lines of stored bytes: whatever the size of blocks, directions, numbers, places and counts agree with the lines."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from kaon_coordinator.view import line_counting, line_index, line_reading
from kaon_coordinator.view.line_index import LineIndex, LineIndexes
from kaon_coordinator.view.line_reading import Line, Lines
from kaon_coordinator.view.log_lines import Needle
from kaonapi.view.v1 import logs_pb2

_LINE = 20


@pytest.fixture(params=[1, 7, 64, 4096])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    for module in (line_reading, line_index, line_counting):
        monkeypatch.setattr(module, "BLOCK_BYTES", request.param)
    for module in (line_reading, line_counting):
        monkeypatch.setattr(module, "LINE_BYTES", _LINE)
    return int(request.param)


def content(seed: int) -> bytes:
    """Some lines: empty ones, long ones, with a text or not; the last one perhaps without an end."""
    draw = random.Random(seed)
    sizes = [draw.choice([0, 0, 1, 5, 19, 20, 21, 90]) for _ in range(draw.randrange(30))]
    lines = [
        b"%s%s" % (draw.choice([b"needle", b"NEEDLE", b"other", b""]), b"x" * size)
        for size in sizes
    ]
    return b"\n".join(lines) + draw.choice([b"", b"\n"])


def lines_of(data: bytes) -> list[Line]:
    """What is there."""
    pieces = data.split(b"\n")
    ends = [True] * (len(pieces) - 1) + [False]
    if not pieces[-1]:
        del pieces[-1], ends[-1]
    found, begin = [], 0
    for number, (piece, ended) in enumerate(zip(pieces, ends, strict=True), 1):
        end = begin + len(piece) + ended
        found.append(Line(begin=begin, end=end, data=piece[:_LINE], size=len(piece), number=number))
        begin = end
    return found


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda place, size: data[place : place + size]


def holds(text: bytes) -> Callable[[bytes], bool]:
    return lambda data: text in data


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("most", [1, 50, 10_000])
def test_lines_are_the_same_in_both_directions_from_every_line(
    block: int, seed: int, most: int
) -> None:
    data = content(seed)
    lines, index = lines_of(data), LineIndex()
    for needle in (b"", b"needle"):
        wanted = [line for line in lines if needle in line.data]
        for at in range(0, len(lines), 5):
            place = lines[at].begin
            number = index.lines_before(place, reader(data)) + 1
            assert number == lines[at].number
            found: list[Line] = []
            while place < len(data):
                walk = Lines(reader(data), len(data), most, holds(needle))
                found += walk.after(place, number)
                assert walk.place > place
                place, number = walk.place, walk.number
            assert [line for line in found if needle in line.data] == [
                line for line in wanted if line.number > at
            ]
            place, number, found = lines[at].begin, at, []
            while place > 0:
                walk = Lines(reader(data), len(data), most, holds(needle))
                found += walk.before(place, number)
                assert walk.place < place
                place, number = walk.place, walk.number
            assert [line for line in found[::-1] if needle in line.data] == [
                line for line in wanted if line.number <= at
            ]


@pytest.mark.parametrize("seed", range(12))
def test_a_line_is_found_by_its_number(block: int, seed: int) -> None:
    data = content(seed)
    index = LineIndex()
    for line in lines_of(data):
        assert index.begin_of(line.number, len(data), reader(data)) == line.begin
        assert LineIndex().begin_of(line.number, len(data), reader(data)) == line.begin
    assert index.begin_of(len(lines_of(data)) + 1, len(data), reader(data)) == len(data)
    assert index.begin_of(10**12, len(data), reader(data)) == len(data)


def test_each_block_is_counted_once(block: int) -> None:
    data, read = b"line\n" * 2_000, []

    def noted(place: int, size: int) -> bytes:
        read.append(place)
        return data[place : place + size]

    index = LineIndex()
    assert index.begin_of(1_000, len(data), noted) == 999 * 5
    assert max(read) < 999 * 5, "as far as it was asked for"
    assert index.begin_of(1_999, len(data), noted) == 1_998 * 5
    read.clear()
    for line in (10, 500, 1_999):
        assert index.begin_of(line, len(data), noted) == (line - 1) * 5
    assert len(read) == 3


def test_only_the_newest_logs_have_an_index() -> None:
    indexes = LineIndexes()
    first = indexes.of("first")
    assert indexes.of("first") is first
    for number in range(100):
        indexes.of(str(number))
    assert indexes.of("first") is not first


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("ignore_case", [False, True])
@pytest.mark.parametrize("text", ["needle", "é", "Needle", ""])
def test_counts_are_those_of_the_lines(block: int, seed: int, ignore_case: bool, text: str) -> None:
    data, buckets = content(seed), 7
    lines = lines_of(data)
    needle = Needle(logs_pb2.LogFilter(text=text, ignore_case=ignore_case))
    told = line_counting.count(reader(data), len(data), 10_000, needle, buckets)
    found = [line for line in lines if text and needle.found_in(line.data.decode())]
    assert (told.lines, told.matches, sum(told.hits)) == (len(lines), len(found), len(found))
    for number in range(buckets if data else 0):
        first, last = (-(-at * len(data) // buckets) for at in (number, number + 1))
        assert told.hits[number] == sum(first <= line.begin < last for line in found)
        after = [line.begin for line in lines if line.begin >= first]
        assert told.begins[number] == min(after, default=len(data))
