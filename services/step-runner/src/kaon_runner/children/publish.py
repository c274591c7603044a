"""Requests the publication of a model from the model publisher, and reports each stage."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc

from kaon.step import Artifact, StepContext
from kaon_runner.children.faults import EngineError, PlatformFault
from kaon_wire.channels import ChannelSecurity
from kaon_wire.errors import InvalidValue
from kaon_wire.lease_tokens import LEASE_KEY
from kaonapi.model.v1 import model_pb2, model_pb2_grpc

# Seconds for which an unreachable publisher is retried within one attempt; an environment variable may
# override them.
PATIENCE_VARIABLE = "KAON_PUBLISHER_PATIENCE_SECONDS"
PATIENCE_SECONDS = 60.0
# Names the file with the token that the runner shows; without it KAON_TOKEN holds the token.
TOKEN_VARIABLE = "KAON_PUBLISHER_TOKEN"
# Status codes that concern the request; all others concern the publisher.
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_LAST_STAGE = model_pb2.STAGE_ANNOUNCED


def run(context: StepContext) -> dict[str, Any]:
    """Publish the input `model`.

    The idempotency key is the run and the step, so that every attempt requests the same version.
    """
    deadline = time.monotonic() + float(os.environ.get(PATIENCE_VARIABLE) or PATIENCE_SECONDS)
    pause = 0.2
    while True:
        try:
            return _outputs(context, _publish(context))
        except grpc.RpcError as error:
            if error.code() in _REFUSALS:
                raise EngineError(f"the publisher refused the model: {error.details()}") from error
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise PlatformFault(
                    f"the publisher failed ({error.code().name}): {error.details()}"
                ) from error
            if time.monotonic() + pause > deadline:
                raise PlatformFault(
                    f"the publisher at {os.environ['KAON_PUBLISHER']} does not answer"
                ) from error
            context.progress(0.0, "the publisher does not answer, trying again")
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def _publish(context: StepContext) -> model_pb2.ModelVersion:
    address, security = os.environ["KAON_PUBLISHER"], _security()
    with security.open(address) as channel:
        metadata = (
            ("kaon-tenant", str(context.tenant)),
            ("kaon-principal", f"run/{context.run_id}"),
            *(((LEASE_KEY, context.lease),) if context.lease else ()),
            *_token(address, security),
        )
        stream = model_pb2_grpc.ModelServiceStub(channel).PublishModel(
            _request(context), metadata=metadata
        )
        return _follow(context, stream)


def _security() -> ChannelSecurity:
    try:
        return ChannelSecurity.from_environment()
    except InvalidValue as error:
        raise PlatformFault(f"the runner cannot reach the publisher: {error}") from error


def _token(address: str, security: ChannelSecurity) -> tuple[tuple[str, str], ...]:
    """Return the metadata with the runner's token; none where it has none. The file is read each time: tokens rotate."""
    path, token = os.environ.get(TOKEN_VARIABLE, ""), os.environ.get("KAON_TOKEN", "").strip()
    if not path and not token:
        return ()
    try:
        security.check_token(address)
        token = Path(path).read_text(encoding="ascii").strip() if path else token
    except (InvalidValue, OSError, UnicodeDecodeError) as error:
        raise PlatformFault(
            f"{TOKEN_VARIABLE} cannot be shown to the publisher: {error}"
        ) from error
    return (("authorization", f"Bearer {token}"),)


def _follow(
    context: StepContext, stream: Iterator[model_pb2.PublishModelResponse]
) -> model_pb2.ModelVersion:
    for told in stream:
        name = model_pb2.Stage.Name(told.stage).removeprefix("STAGE_").lower()
        print(f"{name}: {told.message}" if told.message else name, flush=True)
        if told.stage == model_pb2.STAGE_REJECTED:
            raise EngineError(f"the model was rejected: {told.message}")
        context.progress(told.stage / _LAST_STAGE, name)
        if told.stage == _LAST_STAGE:
            return told.version
    raise PlatformFault("the publisher ended without saying what became of the model")


def _request(context: StepContext) -> model_pb2.PublishModelRequest:
    model: Artifact = context.inputs["model"]
    lineage = model_pb2.Lineage(
        workflow=context.workflow,
        workflow_version=context.workflow_version,
        run_id=context.run_id,
        step=context.step,
        data_digests=sorted(
            {
                digest
                for name, value in context.inputs.items()
                if name != "model"
                for digest in _digests(value)
            }
        ),
    )
    return model_pb2.PublishModelRequest(
        model=context.config["model_name"],
        artifact_uri=model.uri,
        artifact_digest=model.digest,
        metrics=_numbers(context.inputs.get("metrics") or {}),
        lineage=lineage,
        idempotency_key=f"{context.run_id}/{context.step}",
    )


def _digests(value: Any) -> Iterator[str]:
    """Return the digests of the artifacts in an input; those in foreign storage have none."""
    if isinstance(value, Artifact) and value.digest:
        yield value.digest
    elif isinstance(value, list):
        for each in value:
            yield from _digests(each)


def _numbers(metrics: Any) -> dict[str, float]:
    if not isinstance(metrics, Mapping):
        raise EngineError(f"metrics must be a map of numbers, not {metrics!r}")
    wrong = [
        name
        for name, value in metrics.items()
        if isinstance(value, bool) or not isinstance(value, int | float)
    ]
    if wrong:
        raise EngineError(f"metrics {wrong} are no numbers")
    return {name: float(value) for name, value in metrics.items()}


def _outputs(context: StepContext, version: model_pb2.ModelVersion) -> dict[str, Any]:
    known = {
        "version": version.version,
        "digest": version.image_digest,
        "reference": version.image_reference,
    }
    return {name: known[name] for name in context.outputs if name in known}
