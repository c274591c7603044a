"""The artifact store, as the coordinators of the simulation see it: it takes its time, and now and then it does not answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from kaon_artifacts import Artifact
from kaon_artifacts.errors import StoreUnavailable
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue

from .storage import StoreTrouble


def items_artifact(count: int) -> dict[str, Any]:
    """A reference to an artifact of JSON lines with the numbers from 0 to `count` - 1."""
    return {"artifact": {"uri": f"sim://items/{count}", "digest": f"sha256:{count}"}}


class SimArtifactIO:
    """Stands in for `ArtifactIO`, in virtual time.

    Args:
        trouble: how hostile the storage is: as hostile as the database.
        chance: draws.
    """

    def __init__(self, trouble: StoreTrouble, chance: random.Random) -> None:
        self._trouble = trouble
        self._random = chance

    async def read_items(self, artifact_json: str) -> tuple[str, ...]:
        """The numbers that the artifact's name promises.

        Raises:
            InvalidValue: it promises none.
        """
        await self._answer()
        digest = Artifact.from_json(canonical.loads(artifact_json)["artifact"]).digest
        if not (number := digest.removeprefix("sha256:")).isdecimal() or len(number) > 2:
            raise InvalidValue(
                f"a reference to an artifact whose digest {digest!r} is none of these"
            )
        count = int(number)
        return tuple(str(number) for number in range(count))

    async def write(self, value_json: str) -> str:
        """A reference to the value: the same for the same value."""
        await self._answer()
        digest = canonical.digest_bytes(value_json.encode())
        return canonical.dumps({"artifact": {"uri": f"sim://values/{digest}", "digest": digest}})

    async def all_exist(self, outputs: Mapping[str, str]) -> bool:
        """Nothing is ever deleted."""
        await self._answer()
        return True

    async def _answer(self) -> None:
        draw = self._random.random()
        slow = draw < 2 * self._trouble.slow
        await asyncio.sleep(draw / self._trouble.slow if slow else 0.001 + draw * 0.02)
        # The storage is worse than the database: who asks it tries again, and gives up in the end.
        if self._random.random() < 10 * self._trouble.refused:
            raise StoreUnavailable("the simulated storage does not answer")
