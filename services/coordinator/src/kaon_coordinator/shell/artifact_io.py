"""Reads and writes artifacts for the engine, off the event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, ParamSpec, TypeVar

from kaon_artifacts import Artifact, ArtifactStore
from kaon_artifacts.errors import ArtifactError, StoreUnavailable
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_wire import canonical
from kaon_wire.artifact_references import LIST_TYPE, VALUE_TYPE, references
from kaon_wire.errors import InvalidValue

P = ParamSpec("P")
R = TypeVar("R")

# Marks the reference of an input that was too large for a record: runners replace it by the value.
JSON_LINES, JSON = "application/x-ndjson", "application/json"

_THREADS = 4
# Upper bound of the bytes of all items of one foreach.
_ITEMS_BYTES = 256 << 20


class ArtifactIO:
    """Reads and writes artifacts on threads of its own.

    Args:
        store: The store of artifacts.
        limits: The bound on the items of a foreach.
    """

    def __init__(self, store: ArtifactStore, limits: Limits = DEFAULT) -> None:
        self._store = store
        self._limits = limits
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="artifacts")

    async def read_items(self, artifact_json: str) -> tuple[str, ...]:
        """Return the lines of a JSON-lines artifact, each as canonical JSON.

        Raises:
            InvalidValue: The artifact is not JSON lines, or has too many items.
            ArtifactMissing, DigestMismatch: The artifact does not match its reference.
            ArtifactError: The storage refuses.
        """
        return await self._run(self._read_items, artifact_json)

    async def write(self, value_json: str) -> str:
        """Store a value and return its reference as canonical JSON.

        Raises:
            ArtifactError: The storage refuses.
        """
        return await self._run(self._write, value_json)

    async def all_exist(self, outputs: Mapping[str, str]) -> bool:
        """Tell whether every artifact in these outputs still exists and is protected; one in foreign storage does not count.

        Raises:
            StoreUnavailable: The storage does not answer.
        """
        return await self._run(self._all_exist, outputs)

    async def close(self) -> None:
        """Wait for pending reads and writes."""
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
            for number, line in enumerate(
                _bounded(lines, artifact.uri, self._limits.item_bytes), start=1
            ):
                if not line.strip():
                    continue
                if len(items) == limit:
                    raise InvalidValue(
                        f"artifact {artifact.uri}: more items than the limit foreach_items of {limit}"
                    )
                items.append(_item(line, artifact.uri, number))
        return tuple(items)

    def _kept(self, told: Artifact) -> Artifact:
        """Return the address of an artifact in our store, derived from its digest only: users can write references.

        Raises:
            InvalidValue: The digest is malformed.
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
            for reference in references(canonical.loads(text)):
                try:
                    # Its run, which has protected the artifact so far, may have been deleted.
                    self._store.renew(self._kept(Artifact.from_json(reference)))
                except StoreUnavailable:
                    raise
                except (InvalidValue, ArtifactError):
                    # It was deleted, or lies in foreign storage.
                    return False
        return True


def _bounded(lines: BinaryIO, uri: str, most: int) -> Iterator[bytes]:
    """Read lines and keep none in memory that exceeds the limit of an item."""
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
        value = canonical.loads(line.decode())
        item = canonical.dumps(value)
        # A lone surrogate is valid JSON, but no text that a store accepts.
        item.encode()
    except (InvalidValue, UnicodeError, RecursionError) as error:
        raise InvalidValue(f"artifact {uri}, line {number}: not JSON: {error}") from error
    if any(reference.get("digest") for reference in references(value)):
        # Whoever knew a digest would have the artifact, by writing it into a file.
        raise InvalidValue(f"artifact {uri}, line {number}: items of a file refer to no artifacts")
    return item
