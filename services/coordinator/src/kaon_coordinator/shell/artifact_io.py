"""Artifacts that the engine needs read or written, off the event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, ParamSpec, TypeVar

from kaon_artifacts import Artifact, ArtifactStore
from kaon_artifacts.errors import ArtifactError, StoreUnavailable
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue

P = ParamSpec("P")
R = TypeVar("R")

# What marks a value that was too large to travel: runners put the value back in its place.
LIST_TYPE, VALUE_TYPE = "list", "value"
JSON_LINES, JSON = "application/x-ndjson", "application/json"

_THREADS = 4
# Bytes of all items of one foreach.
_ITEMS_BYTES = 256 << 20


class ArtifactIO:
    """Reads and writes artifacts on threads of its own.

    Args:
        store: where they are kept.
        limits: how many items a foreach may have.
    """

    def __init__(self, store: ArtifactStore, limits: Limits = DEFAULT) -> None:
        self._store = store
        self._limits = limits
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="artifacts")

    async def read_items(self, artifact_json: str) -> tuple[str, ...]:
        """The lines of an artifact of JSON lines, each canonical JSON.

        Raises:
            InvalidValue: it is none, or has too many.
            ArtifactMissing, DigestMismatch: it is not what its reference says.
            ArtifactError: the storage refuses.
        """
        return await self._run(self._read_items, artifact_json)

    async def write(self, value_json: str) -> str:
        """Keeps a value and returns the reference that stands for it, canonical JSON.

        Raises:
            ArtifactError: the storage refuses.
        """
        return await self._run(self._write, value_json)

    async def all_exist(self, outputs: Mapping[str, str]) -> bool:
        """Whether every artifact in these outputs is still kept, and stays; one that lives elsewhere cannot be relied on.

        Raises:
            StoreUnavailable: the storage does not answer.
        """
        return await self._run(self._all_exist, outputs)

    async def close(self) -> None:
        """Waits for what is under way."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(call, *args, **kwargs))

    def _read_items(self, artifact_json: str) -> tuple[str, ...]:
        told = Artifact.from_json(canonical.loads(artifact_json)["artifact"])
        if told.is_directory:
            raise InvalidValue(f"artifact {told.digest} is a directory, not JSON lines")
        artifact = self._kept(told)
        items: list[str] = []
        limit = self._limits.foreach_items
        with self._store.open(artifact) as lines:
            for number, line in enumerate(_bounded(lines, artifact.uri, self._limits.item_bytes), start=1):
                if not line.strip():
                    continue
                if len(items) == limit:
                    raise InvalidValue(
                        f"artifact {artifact.uri}: more items than the limit foreach_items of {limit}"
                    )
                items.append(_item(line, artifact.uri, number))
        return tuple(items)

    def _kept(self, told: Artifact) -> Artifact:
        """Where our store has an artifact. A user may have written its reference, so that nothing but the digest counts.

        Raises:
            InvalidValue: its digest is none.
        """
        try:
            return self._store.by_digest(told.digest)
        except ArtifactError as error:
            raise InvalidValue(f"a reference to an artifact whose digest {error}") from error

    def _write(self, value_json: str) -> str:
        value = canonical.loads(value_json)
        if isinstance(value, list):
            lines = "".join(f"{canonical.dumps(item)}\n" for item in value)
            data, kind, media_type = lines.encode(), LIST_TYPE, JSON_LINES
        else:
            data, kind, media_type = value_json.encode(), VALUE_TYPE, JSON
        kept = self._store.put_bytes(data, kind).to_json()
        return canonical.dumps({"artifact": {**kept, "media_type": media_type}})

    def _all_exist(self, outputs: Mapping[str, str]) -> bool:
        for text in outputs.values():
            for reference in _references(canonical.loads(text)):
                try:
                    # Its run may have been deleted, and with it what has kept the artifact so far.
                    self._store.renew(self._kept(Artifact.from_json(reference)))
                except StoreUnavailable:
                    raise
                except (InvalidValue, ArtifactError):
                    # It is gone, or lives elsewhere.
                    return False
        return True


def _bounded(lines: BinaryIO, uri: str, most: int) -> Iterator[bytes]:
    """Reads lines, of which none is kept in memory that is longer than an item may be."""
    size = number = 0
    while line := lines.readline(most + 2):
        size, number = size + len(line), number + 1
        if len(line) > most and len(line.rstrip(b"\r\n")) > most:
            raise InvalidValue(
                f"artifact {uri}, line {number}: an item has more bytes than the limit item_bytes of {most}"
            )
        if size > _ITEMS_BYTES:
            raise InvalidValue(f"artifact {uri} has more than {_ITEMS_BYTES} bytes of items")
        yield line


def _item(line: bytes, uri: str, number: int) -> str:
    try:
        item = canonical.dumps(canonical.loads(line.decode()))
        # Half of a surrogate pair is JSON, but no text that could be stored.
        item.encode()
        return item
    except (InvalidValue, UnicodeError, RecursionError) as error:
        raise InvalidValue(f"artifact {uri}, line {number}: not JSON: {error}") from error


def _references(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict) and value.keys() == {"artifact"} and isinstance(value["artifact"], dict):
        yield value["artifact"]
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _references(each)
