"""Lease tokens in the coordinator: put into releases, and looked for in what runners report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from kaon_coordinator.matching.match_effects import Extend, Release
from kaon_coordinator.matching.tickets import Ticket
from kaon_wire.lease_tokens import TOKEN_BYTES, LeaseClaim, LeaseKeys
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2

_SUBMESSAGE = 2
# What sets StepRequest.key.lease_token when it follows a serialized StepRequest: a part of a message that comes again is
# merged with the first.
_TOKEN_FIELD = (
    bytes([step_pb2.StepRequest.KEY_FIELD_NUMBER << 3 | _SUBMESSAGE, TOKEN_BYTES + 2])
    + bytes([step_pb2.StepKey.LEASE_TOKEN_FIELD_NUMBER << 3 | _SUBMESSAGE, TOKEN_BYTES])
)  # fmt: skip


class LeaseProofs:
    """Makes and checks lease tokens; without keys it makes none, and every report counts.

    Args:
        keys: Returns the keys of the deployment, as they are now.
        required: Whether reports without a valid token are dropped; else they are only counted.
    """

    def __init__(
        self, keys: Callable[[], LeaseKeys] | None = None, *, required: bool = True
    ) -> None:
        self._read = keys
        # Whether reports without a valid token are dropped.
        self.required = required

    @property
    def _keys(self) -> LeaseKeys | None:
        return None if self._read is None else self._read()

    def released(self, release: Release) -> list[bytes]:
        """Return the serialized requests of a release, with the tokens of its runner."""
        return [
            b"".join(self._parts(ticket, ticket.request, release.incarnation))
            for ticket in release.tickets
            if ticket.request is not None
        ]

    def extended(self, extend: Extend) -> bytes:
        """Return the serialized ChainExtension of a runner, with the tokens of its successors."""
        ticket = extend.ticket
        extension = step_pb2.ChainExtension(key=ticket.key)
        chain = self._chain(step_pb2.ChainExtension(), ticket, extend.incarnation)
        return extension.SerializeToString() + chain

    def _parts(self, ticket: Ticket, request: bytes, incarnation: str) -> Iterator[bytes]:
        """Yield the parts of a serialized request: as it came, the token, and the successors with theirs."""
        keys = self._keys
        _, path = ticket.step
        yield request
        if keys is not None:
            yield _TOKEN_FIELD + keys.sign(_claim_of(ticket, path, ticket.attempt, incarnation))
        if ticket.allowed:
            yield self._chain(step_pb2.StepRequest(), ticket, incarnation)

    def _chain(
        self,
        carrier: step_pb2.StepRequest | step_pb2.ChainExtension,
        ticket: Ticket,
        incarnation: str,
    ) -> bytes:
        """Return the successors that a matcher allows, each with its token.

        Args:
            carrier: An empty message of the kind in which they are.
            ticket: The step that they may follow.
            incarnation: The runner.
        """
        keys = self._keys
        if keys is None:
            return ticket.allowed
        carrier.ParseFromString(ticket.allowed)
        for each in carrier.successors:
            key = each.request.key
            key.lease_token = keys.sign(_claim_of(ticket, key.path, 1, incarnation))
        return carrier.SerializeToString()

    def prove(self, key: step_pb2.StepKey, tenant: str, incarnation: str) -> None:
        """Put the token of a lease into its key."""
        if (keys := self._keys) is not None:
            key.lease_token = keys.sign(_claim(key, tenant, incarnation))

    def proves(self, key: step_pb2.StepKey, incarnation: str, tenant: str | None) -> bool:
        """Tell whether what is reported under a lease counts.

        Args:
            key: The lease, with its token.
            incarnation: The runner that reports.
            tenant: The tenant of the run; None when its owner does not have the run in memory. Such a report changes nothing,
                but tells the runner to stop: there a token suffices, whose ever it is.
        """
        keys = self._keys
        if keys is None:
            return True
        if tenant is None:
            return bool(key.lease_token)
        return keys.verify(_claim(key, tenant, incarnation), key.lease_token)

    def progress(
        self,
        reports: Mapping[int, Sequence[step_pb2.StepEvents]],
        tenant_of: Callable[[int, str], str | None],
    ) -> Mapping[int, Sequence[step_pb2.StepEvents]]:
        """Return the progress in records of runners, without what no token proves.

        Args:
            reports: The records, by partition.
            tenant_of: Returns the tenant of a run in memory, by partition and id.
        """
        if self._read is None or not self.required:
            return reports
        return {
            number: [
                self._proven(record, told, number, tenant_of)
                for record in records
                if (told := [event for event in record.events if event.HasField("progress")])
            ]
            for number, records in reports.items()
        }

    def logs(
        self,
        lines: Sequence[log_pb2.LogLines],
        tenant_of: Callable[[str], str | None],
    ) -> list[log_pb2.LogLines]:
        """Return records of output without what no token proves, and without the tokens, which nobody else may see.

        Args:
            lines: The records.
            tenant_of: Returns the tenant of a run in memory, by its id.
        """
        proven = [
            record
            for record in lines
            if not self.required
            or self.proves(record.key, record.incarnation, tenant_of(record.key.run_id))
        ]
        for record in proven:
            record.key.ClearField("lease_token")
        return proven

    def _proven(
        self,
        record: step_pb2.StepEvents,
        told: Sequence[step_pb2.StepEvent],
        number: int,
        tenant_of: Callable[[int, str], str | None],
    ) -> step_pb2.StepEvents:
        return step_pb2.StepEvents(
            runner_id=record.runner_id,
            incarnation=record.incarnation,
            partition=record.partition,
            events=[
                event
                for event in told
                if (tenant := tenant_of(number, event.key.run_id)) is not None
                and self.proves(event.key, record.incarnation, tenant)
            ],
        )


def _claim(key: step_pb2.StepKey, tenant: str, incarnation: str) -> LeaseClaim:
    return LeaseClaim(tenant, key.run_id, key.path, key.attempt, key.generation, incarnation)


def _claim_of(ticket: Ticket, path: str, attempt: int, incarnation: str) -> LeaseClaim:
    run_id, _ = ticket.step
    return LeaseClaim(ticket.tenant, run_id, path, attempt, ticket.generation, incarnation)


# Without keys.
NO_PROOFS = LeaseProofs()
