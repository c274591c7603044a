"""Encrypted lines, over real gRPC: certificates of both sides, and new ones without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from grpc import StatusCode, aio

from kaon_service import principal
from kaon_service.access.access_settings import AccessSettings
from kaon_service.access.admission import Admission
from kaon_service.access.certificates import Certificates
from kaon_service.access.chain import Chain
from kaon_service.access.guard import Guard
from kaon_service.access.rules_file import AuthRules
from kaon_service.access.tls import server_credentials
from kaon_service.interceptors import CallRules
from kaon_service.principal import Principal
from kaon_service.server import GrpcServer
from kaon_service.statuses import StatusTable
from kaon_wire.channels import ChannelSecurity
from kaon_wire.errors import InvalidValue, Unavailable
from kaonapi.access.v1 import access_service_pb2 as a
from kaonapi.access.v1 import access_service_pb2_grpc

SERVICE = a.DESCRIPTOR.services_by_name["AccessService"].full_name


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the certificates of a test are."""

    directory: Path

    def write(self, name: str, authority: trustme.CA, *names: str) -> tuple[Path, Path]:
        """Write a new certificate and its key."""
        made = authority.issue_cert(*names)
        chain, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        chain.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        return chain, key

    def with_uri(self, name: str, authority: trustme.CA, uri: str) -> tuple[Path, Path]:
        """Write a new certificate of a URI, which trustme does not make, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
        now = datetime.now(UTC)
        signed = (
            x509.CertificateBuilder(
                issuer_name=issuer.subject,
                subject_name=x509.Name([]),
                public_key=key.public_key(),
                serial_number=x509.random_serial_number(),
                not_valid_before=now - timedelta(days=1),
                not_valid_after=now + timedelta(days=1),
            )
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), True)
            .sign(self._key(authority.private_key_pem.bytes()), hashes.SHA256())
        )
        chain, path = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        chain.write_bytes(signed.public_bytes(Encoding.PEM))
        form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key.private_bytes(*form))
        return chain, path

    @staticmethod
    def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def authority(self, name: str, *authorities: trustme.CA) -> Path:
        """Write certificates of authorities."""
        path = self.directory / name
        path.write_bytes(b"".join(each.cert_pem.bytes() for each in authorities))
        return path


class Access(access_service_pb2_grpc.AccessServiceServicer):
    """Tells who calls."""

    async def WhoAmI(self, request: a.WhoAmIRequest, context: object) -> a.WhoAmIResponse:
        """Answer."""
        caller = principal.current()
        return a.WhoAmIResponse(
            caller=a.Caller(name=caller.name, authentication=caller.authentication)
        )


@asynccontextmanager
async def serving(settings: AccessSettings) -> AsyncIterator[str]:
    """A service with these settings; gives its address."""
    ann = Principal(tenant="shop", name="ann", authentication="certificate")
    names = ("dns:ann.example.org", "email:ann@example.org", "uri:spiffe://example.org/ann")
    rules = AuthRules(certificates=dict.fromkeys(names, ann))
    admission = Admission(authenticate=Chain([Certificates(lambda: rules)]), tenants=None)
    guard = Guard(admission=admission, credentials=server_credentials(settings))
    statuses = StatusTable(service="tester", otherwise=StatusCode.UNKNOWN)
    server = GrpcServer([SERVICE], CallRules(statuses=statuses, guard=guard))
    access_service_pb2_grpc.add_AccessServiceServicer_to_server(Access(), server.grpc)
    yield f"localhost:{await server.start('127.0.0.1:0')}"
    await server.stop(0)


async def who(address: str, security: ChannelSecurity) -> a.Caller:
    """Who one is over a new connection."""
    async with security.open_async(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        caller: a.Caller = (await stub.WhoAmI(a.WhoAmIRequest())).caller
        return caller


async def test_both_sides_show_certificates_and_new_ones_count_without_a_restart(
    tmp_path: Path,
) -> None:
    files, first, second = Files(directory=tmp_path), trustme.CA(), trustme.CA()
    certificate, key = files.write("server", first, "localhost")
    trusted = files.authority("clients.pem", first)
    settings = AccessSettings(certificate=certificate, key=key, client_ca=trusted)
    mine = files.write("client", first, "ann.example.org")
    old = ChannelSecurity(
        tls=True, ca=files.authority("old.pem", first), certificate=mine[0], key=mine[1]
    )
    async with serving(settings) as address:
        caller = await who(address, old)
        assert (caller.name, caller.authentication) == ("ann", "certificate")

        stranger = files.write("stranger", second, "ann.example.org")
        for wrong in (
            ChannelSecurity(tls=True, ca=old.ca),
            ChannelSecurity(tls=True, ca=old.ca, certificate=stranger[0], key=stranger[1]),
            ChannelSecurity(),
        ):
            with pytest.raises(aio.AioRpcError) as told:
                await who(address, wrong)
            assert told.value.code() == StatusCode.UNAVAILABLE

        files.write("server", second, "localhost")
        new = ChannelSecurity(
            tls=True, ca=files.authority("new.pem", second), certificate=mine[0], key=mine[1]
        )
        assert (await who(address, new)).name == "ann"
        with pytest.raises(aio.AioRpcError):
            await who(address, old)


@pytest.mark.parametrize("name", ["ann@example.org", "spiffe://example.org/ann"])
async def test_addresses_and_identifiers_are_names_too(tmp_path: Path, name: str) -> None:
    files, authority = Files(directory=tmp_path), trustme.CA()
    certificate, key = files.write("server", authority, "localhost")
    trusted = files.authority("ca.pem", authority)
    write = files.with_uri if ":" in name else files.write
    mine = write("client", authority, name)
    settings = AccessSettings(certificate=certificate, key=key, client_ca=trusted)
    security = ChannelSecurity(tls=True, ca=trusted, certificate=mine[0], key=mine[1])
    async with serving(settings) as address:
        assert (await who(address, security)).name == "ann"


async def test_a_certificate_without_an_entry_is_nobody(tmp_path: Path) -> None:
    files, authority = Files(directory=tmp_path), trustme.CA()
    certificate, key = files.write("server", authority, "localhost")
    trusted = files.authority("ca.pem", authority)
    other = files.write("client", authority, "bob.example.org")
    settings = AccessSettings(certificate=certificate, key=key, client_ca=trusted)
    async with serving(settings) as address:
        with pytest.raises(aio.AioRpcError) as told:
            await who(
                address,
                ChannelSecurity(tls=True, ca=trusted, certificate=other[0], key=other[1]),
            )
    assert told.value.code() == StatusCode.UNAUTHENTICATED


async def test_half_of_a_new_pair_does_not_count_until_the_other_half_is_there(
    tmp_path: Path,
) -> None:
    files, authority = Files(directory=tmp_path), trustme.CA()
    certificate, key = files.write("server", authority, "localhost")
    trusted = ChannelSecurity(tls=True, ca=files.authority("ca.pem", authority))
    async with serving(AccessSettings(certificate=certificate, key=key)) as address:
        new, new_key = files.write("new", authority, "localhost")
        certificate.write_bytes(new.read_bytes())
        with pytest.raises(aio.AioRpcError) as told:
            await who(address, trusted)
        # The handshake succeeds with the old pair: it shows no certificate, so it is nobody.
        assert told.value.code() == StatusCode.UNAUTHENTICATED
        key.write_bytes(new_key.read_bytes())
        with pytest.raises(aio.AioRpcError) as told:
            await who(address, trusted)
        assert told.value.code() == StatusCode.UNAUTHENTICATED


def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    files, authority = Files(directory=tmp_path), trustme.CA()
    certificate, key = files.write("server", authority, "localhost")
    other = files.write("other", authority, "localhost")[1]
    for settings in (
        AccessSettings(certificate=certificate, key=other),
        AccessSettings(certificate=tmp_path / "none", key=key),
        AccessSettings(certificate=certificate, key=key, client_ca=tmp_path / "none"),
    ):
        with pytest.raises(InvalidValue, match="KAON_TLS_CERT"):
            server_credentials(settings)
    with pytest.raises(InvalidValue, match="KAON_TLS: on needs"):
        server_credentials(AccessSettings(tls=True))
    with pytest.raises(InvalidValue, match=r"KAON_TLS_CA: .*none cannot be read"):
        ChannelSecurity(tls=True, ca=tmp_path / "none").open("localhost:1")
    assert server_credentials(AccessSettings()) is None


async def test_an_address_that_is_taken_is_told_with_tls_too(tmp_path: Path) -> None:
    files, authority = Files(directory=tmp_path), trustme.CA()
    certificate, key = files.write("server", authority, "localhost")
    settings = AccessSettings(certificate=certificate, key=key)
    async with serving(settings) as address:
        guard = Guard(
            admission=Admission(authenticate=Chain([]), tenants=None),
            credentials=server_credentials(settings),
        )
        statuses = StatusTable(service="tester", otherwise=StatusCode.UNKNOWN)
        taken = address.replace("localhost", "127.0.0.1")
        with pytest.raises(Unavailable, match="cannot listen on"):
            await GrpcServer([], CallRules(statuses=statuses, guard=guard)).start(taken)


def test_a_client_encrypts_as_soon_as_it_is_told_whom_to_trust() -> None:
    told = ChannelSecurity.from_environment
    assert not told({}).tls
    assert told({"KAON_TLS": "on"}).tls
    assert told({"KAON_TLS_CA": "ca.pem"}).tls
    assert not told({"KAON_TLS_CA": "ca.pem", "KAON_TLS": "off"}).tls
    with pytest.raises(InvalidValue, match="KAON_TLS_KEY"):
        told({"KAON_TLS_CERT": "c.pem"})
    with told({}).open("localhost:1") as channel:
        assert isinstance(channel, grpc.Channel)
