"""Each check of who may call, switched off in the running services: the calls that must be refused notice every one."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import grpc
import jwt
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default

import kaonapi.access.v1.access_service_pb2
import kaonapi.model.v1.model_pb2
import kaonapi.run.v1.run_service_pb2
import kaonapi.workflow.v1.workflow_service_pb2  # noqa: F401
from access.closed_system import ClosedSystem
from access.faults import wrong_answers
from kaon_coordinator.access.token_sources import StoreTenants
from kaon_service.access import admission, oidc, service_keys, static_tokens
from kaon_service.access.admission import Admission
from kaon_service.access.chain import Chain
from kaon_service.access.credentials import Unauthenticated
from kaon_service.access.off import without_authentication
from kaon_service.interceptors import CallInterceptor
from kaon_service.principal import Principal

# A method of each shape; the workflow service is the only one that takes a stream.
METHODS = {
    "unary_unary": "kaonapi.run.v1.RunService.CancelRun",
    "unary_stream": "kaonapi.run.v1.RunService.WatchRun",
    "stream_unary": "kaonapi.workflow.v1.WorkflowService.UploadBundle",
    "only platform administrators": "kaonapi.access.v1.AccessService.PutTenant",
}
PUBLISH = "kaonapi.model.v1.ModelService.PublishModel"
Patch = pytest.MonkeyPatch


def _options(module: Any, **changed: Any) -> Callable[[Patch], None]:
    """Make a check of PyJWT not take place in a module."""

    def apply(patch: Patch) -> None:
        def decode(*args: Any, **kwargs: Any) -> Any:
            options = {**kwargs.pop("options", {}), **changed}
            return jwt.decode(*args, **kwargs, options=options)

        patch.setattr(module, "jwt", _Jwt(decode))

    return apply


class _Jwt:
    """PyJWT with another `decode`."""

    def __init__(self, decode: Any) -> None:
        self.decode = decode

    def __getattr__(self, name: str) -> Any:
        return getattr(jwt, name)


def _unguarded(shape: str) -> Callable[[Patch], None]:
    """Make the interceptor pass on the handlers of one shape as they are."""

    def apply(patch: Patch) -> None:
        real = CallInterceptor.intercept_service

        async def intercept(self: CallInterceptor, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)
            if handler is not None and getattr(handler, shape) is not None:
                return handler
            return await real(self, continuation, details)

        patch.setattr(CallInterceptor, "intercept_service", intercept)

    return apply


def _believes_names(patch: Patch) -> None:
    """Take callers without credentials for who they say they are."""
    real = Chain.__call__

    async def call(self: Chain, credentials: Any) -> Principal:
        try:
            return await real(self, credentials)
        except Unauthenticated:
            return await without_authentication(credentials)

    patch.setattr(Chain, "__call__", call)


async def _enabled(_self: StoreTenants, _name: str) -> bool:
    return True


def _any_tenant(caller: Principal, tenant: str) -> Principal:
    return replace(caller, tenant=tenant or caller.tenant)


class _SameDigests:
    """Finds every digest equal."""

    def compare_digest(self, _one: str, _other: str) -> bool:
        """Say yes."""
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(hmac, name)


def _any_issuer(patch: Patch) -> None:
    """Take every issuer for the one that is known, and do not look at the name again."""
    real = oidc.OidcTokens._rules_for

    def rules_for(self: oidc.OidcTokens, _issuer: str) -> Any:
        return real(self, next(iter(self._rules().issuers)))

    patch.setattr(oidc.OidcTokens, "_rules_for", rules_for)
    _options(oidc, verify_iss=False)(patch)


MUTANTS: Mapping[str, Callable[[Patch], None]] = {
    **{f"no guard before {shape}": _unguarded(shape) for shape in list(METHODS)[:3]},
    "names are believed": _believes_names,
    "roles": lambda patch: patch.setattr(admission, "_check_role", lambda *_: None),
    "other tenants": lambda patch: patch.setattr(admission, "_in_tenant", _any_tenant),
    "known tenants": lambda patch: patch.setattr(StoreTenants, "is_enabled", _enabled),
    "the secret of a token": lambda patch: patch.setattr(static_tokens, "hmac", _SameDigests()),
    "the end of a token": lambda patch: patch.setattr(
        static_tokens.StaticTokens, "_ended", lambda *_: ""
    ),
    "the algorithm of a JWT": _options(oidc, verify_signature=False),
    "the audience of a JWT": _options(oidc, verify_aud=False),
    "the issuer of a JWT": _any_issuer,
    "the end of a JWT": _options(oidc, verify_exp=False),
    "the beginning of a JWT": _options(oidc, verify_nbf=False),
    "the key of a service": _options(service_keys, verify_signature=False),
    "the end of a service's token": _options(service_keys, verify_exp=False),
}


def _wrong(closed: ClosedSystem, service: str, *names: str) -> list[str]:
    methods: list[MethodDescriptor] = [Default().FindMethodByName(name) for name in names]
    with grpc.insecure_channel(closed.addresses[service]) as channel:
        return wrong_answers(closed, channel, methods)


def test_without_mutants_everything_is_refused(closed: ClosedSystem) -> None:
    assert _wrong(closed, "coordinator", *METHODS.values()) == []
    assert _wrong(closed, "publisher", PUBLISH) == []


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mutant_is_noticed(
    closed: ClosedSystem, mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANTS[mutant](monkeypatch)
    assert _wrong(closed, "coordinator", *METHODS.values())


def test_a_lease_that_is_not_checked_is_noticed(
    closed: ClosedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Admission, "_under_lease", lambda _self, caller, _shown: caller)
    assert _wrong(closed, "publisher", PUBLISH)
