"""One publication: from an artifact to an announced version. Every stage may be repeated; the last one takes effect once."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from kaon_artifacts import Artifact, ArtifactMissing, ArtifactStore
from kaon_artifacts.artifact import DIRECTORY
from kaon_publisher import images
from kaon_publisher.errors import ModelRejected
from kaon_publisher.images import Base, Image
from kaon_publisher.model import Probe, read_probe
from kaon_publisher.pushing import Target
from kaon_wire import canonical
from kaonapi.model.v1 import model_pb2

log = structlog.get_logger(__name__)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Names become parts of paths and of image references.
_NAME = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*")


class Checker(Protocol):
    """Runs images."""

    def base(self, image: str) -> Base:
        """Return the image on which models are served."""

    def check(self, image: Image, probe: Probe) -> str:
        """Run an image and send it the probe; return how it was checked. Raises ModelRejected."""


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """The dependencies of publications."""

    artifacts: ArtifactStore
    # None: there is no Docker engine; the text gives the reason.
    checker: Checker | None
    unchecked_because: str
    serving_base: str
    target: Target
    # The serving program.
    app: bytes
    # Called with an image (tenant, model, digest) before its push.
    before_push: Callable[[str, str, str], None]
    # Held during a push: no image is deleted meanwhile.
    pushing: threading.Lock

    def prepare(
        self,
        tenant: str,
        request: model_pb2.PublishModelRequest,
        foreign: Collection[str] = (),
    ) -> Iterator[model_pb2.PublishModelResponse]:
        """Yield the stages before the record; the last response has the version to record.

        Args:
            tenant: Whose model it is.
            request: What to publish.
            foreign: Digests in its lineage that the tenant does not have: they stay in the record, and keep nothing.

        Raises:
            ModelRejected: The model does not meet its requirements.
            KaonError: A dependency does not answer.
        """
        yield _stage(model_pb2.STAGE_ASSEMBLING, f"assembling {request.model}")
        with tempfile.TemporaryDirectory(prefix="kaon-model-") as scratch:
            artifact = self._artifact(request.artifact_digest)
            directory = self.artifacts.fetch(artifact, Path(scratch) / "model")
            probe = read_probe(directory)
            image = images.assemble(
                model=directory,
                app=self.app,
                base=self._base(),
                labels=_labels(request),
                scratch=Path(scratch),
            )
            yield _stage(model_pb2.STAGE_CHECKING, f"checking {image.digest}")
            verification, details = self._verify(image, probe)
            yield _stage(model_pb2.STAGE_PUSHING, details)
            with self.pushing:
                self.before_push(tenant, request.model, image.digest)
                reference = self.target.push(image, repository(tenant, request.model))
        version = model_pb2.ModelVersion(
            model=request.model,
            tenant=tenant,
            image_digest=image.digest,
            image_reference=reference,
            artifact_digest=request.artifact_digest,
            artifact_uri=artifact.uri,
            metrics=request.metrics,
            lineage=request.lineage,
            verification=verification,
            verification_details=details,
            stage=model_pb2.STAGE_RECORDED,
        )
        self.pin(version, foreign)
        yield model_pb2.PublishModelResponse(
            stage=model_pb2.STAGE_RECORDED, message=reference, version=version
        )

    def pin(self, version: model_pb2.ModelVersion, foreign: Collection[str] = ()) -> None:
        """Pin the artifacts in a version's record (the model and its data), which must outlive the run, but for foreign ones.

        Raises:
            StoreUnavailable: The storage does not answer.
        """
        for digest in named_artifacts(version):
            if digest in foreign:
                continue
            try:
                self.artifacts.pin(self.artifacts.by_digest(digest))
            except ArtifactMissing:
                # It is in foreign storage.
                log.warning(
                    "model artifact missing in the store", model=version.model, digest=digest
                )

    def _artifact(self, digest: str) -> Artifact:
        """Return where a model is kept, which follows from its digest: the address in a request is the caller's word.

        Raises:
            ModelRejected: It is no digest.
        """
        if not _DIGEST.fullmatch(digest):
            raise ModelRejected(f"artifact_digest {digest[:80]!r} is no digest of an artifact")
        return replace(self.artifacts.by_digest(digest, "model"), media_type=DIRECTORY)

    def _base(self) -> Base:
        return self.checker.base(self.serving_base) if self.checker is not None else Base()

    def _verify(self, image: Image, probe: Probe) -> tuple[model_pb2.Verification.ValueType, str]:
        if self.checker is None:
            return (
                model_pb2.VERIFICATION_NOT_RUN,
                f"assembled without a base and not run: {self.unchecked_because}",
            )
        return model_pb2.VERIFICATION_RUN_IN_CONTAINER, self.checker.check(image, probe)


def named_artifacts(named: model_pb2.ModelVersion | model_pb2.PublishModelRequest) -> list[str]:
    """Return the digests of the artifacts in a record, or in a request for one."""
    found = {named.artifact_digest, *named.lineage.data_digests}
    return sorted(digest for digest in found if _DIGEST.fullmatch(digest))


def repository(tenant: str, model: str) -> str:
    """Return the name of a model's images, without the registry."""
    return f"kaon/{tenant}/{model}"


def payload_digest(request: model_pb2.PublishModelRequest) -> str:
    """Return the digest of a request without its key."""
    bare = model_pb2.PublishModelRequest()
    bare.CopyFrom(request)
    bare.idempotency_key = ""
    return canonical.digest_message(bare)


def check_request(request: model_pb2.PublishModelRequest) -> None:
    """Check that a request is complete and well-formed.

    Raises:
        ModelRejected: Fields are missing or malformed; the error names them.
    """
    needed: Mapping[str, str] = {
        "model": request.model,
        "artifact_uri": request.artifact_uri,
        "artifact_digest": request.artifact_digest,
        "idempotency_key": request.idempotency_key,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise ModelRejected(f"the request lacks {', '.join(missing)}")
    check_name("model", request.model)


def check_name(what: str, name: str) -> None:
    """Check the name of a model or a tenant.

    Raises:
        ModelRejected: The name is malformed.
    """
    if len(name) > 100 or not _NAME.fullmatch(name):
        raise ModelRejected(
            f"{what} {name[:100]!r} is no name: use up to 100 lower-case letters, digits, and hyphens between them"
        )


def _labels(request: model_pb2.PublishModelRequest) -> dict[str, str]:
    return {"kaon.model": request.model, "kaon.artifact": request.artifact_digest}


def _stage(stage: model_pb2.Stage.ValueType, message: str) -> model_pb2.PublishModelResponse:
    return model_pb2.PublishModelResponse(stage=stage, message=message)
