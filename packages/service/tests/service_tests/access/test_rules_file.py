"""The file of issuers and certificates: what it says, and how mistakes in it are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_service.access.certificates import Certificates
from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.rules_file import AuthRules, IssuerRules, read_rules
from kaon_service.principal import Principal
from kaon_service.roles import Kind, Role, included
from kaon_wire.errors import InvalidValue

WHOLE = """
[[issuer]]
issuer = "https://id.example.org"
audience = ["kaon", "kaon-cli"]
ca = "/etc/kaon/ca.pem"
client_id = "kaon-cli"

[issuer.claims]
tenant = "org"
name = "email"
roles = "realm_access.roles"

[issuer.roles]
staff = "author"
"data science" = ["author", "publisher"]

[[certificate]]
name = "uri:spiffe://example.org/shop"
kind = "consumer"
tenant = "shop"
principal = "shop"

[[certificate]]
name = "dns:runner.example.org"
kind = "runner"
pool = "gpu"
principal = "gpu runners"

[[certificate]]
name = "email:ann@example.org"
tenant = "shop"
principal = "ann"
roles = ["operator"]
"""
ISSUER = '[[issuer]]\nissuer = "https://id.example.org"\naudience = "kaon"\n'


def read(tmp_path: Path, text: str) -> AuthRules:
    """The rules of a file with this text."""
    path = tmp_path / "auth.toml"
    path.write_text(text)
    return read_rules(path)


def test_what_the_file_says(tmp_path: Path) -> None:
    rules = read(tmp_path, WHOLE)
    assert rules.issuers == {
        "https://id.example.org": IssuerRules(
            issuer="https://id.example.org",
            audiences=("kaon", "kaon-cli"),
            ca=Path("/etc/kaon/ca.pem"),
            client_id="kaon-cli",
            tenant_claim="org",
            name_claim="email",
            roles_claim="realm_access.roles",
            roles={"staff": ("author",), "data science": ("author", "publisher")},
        )
    }
    consumer = rules.certificates["uri:spiffe://example.org/shop"]
    assert (consumer.kind, consumer.tenant, consumer.roles) == (
        Kind.CONSUMER,
        "shop",
        frozenset(),
    )
    assert rules.certificates["dns:runner.example.org"].pool == "gpu"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("issuer = 1", r"issuer: write \[\[issuer\]\]"),
        ("[[issuer]]", "issuer 1.issuer: write a text"),
        ('[[issuer]]\nissuer = "http://id.example.org"', "does not begin with https://"),
        ('[[issuer]]\nissuer = "https://id.example.org"', "issuer 1.audience: name whom"),
        (ISSUER, "issuer 1: name the tenant"),
        (ISSUER + 'tenant = "a"\n[issuer.claims]\ntenant = "b"', "issuer 1: name the tenant"),
        (ISSUER + 'tenant = "A b"', "'A b' is no name of a tenant"),
        (ISSUER + 'tenant = "a"\nalgorithm = "none"', "issuer 1.algorithm: there is no such"),
        (ISSUER + 'tenant = "a"\n[issuer.roles]\nx = "a b"', "issuer 1.roles.x: 'a b' is no"),
        ((ISSUER + 'tenant = "a"\n') * 2, "issuer 'https://id.example.org' is there twice"),
        ('[[certificate]]\nname = "CN=ann"\nprincipal = "ann"', "begins with none of uri:"),
        ('[[certificate]]\nname = "dns:a"\nprincipal = "a"', "'' is no name of a tenant"),
        (
            '[[certificate]]\nname = "dns:a"\nprincipal = "a"\nkind = "service"',
            "'service' is not person, runner or consumer",
        ),
        ('[[certificate]]\nname = "dns:a"\nprincipal = "a"\nkind = "runner"', "needs its pool"),
        ("certificates = []", "certificates: there is no such setting"),
        ("a = ", "KAON_AUTH_FILE: .*auth.toml: "),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        read(tmp_path, text)


async def caller(tmp_path: Path, *names: str, **metadata: str) -> Principal | None:
    """Who shows a certificate with these names."""
    rules = read(tmp_path, WHOLE)
    shown = Credentials(metadata=metadata, certificate_names=names)
    return await Certificates(lambda: rules).authenticate(shown)


async def test_a_certificate_is_known_by_one_of_its_names(tmp_path: Path) -> None:
    found = await caller(tmp_path, "dns:elsewhere", "email:ann@example.org")
    assert found == Principal(
        tenant="shop",
        name="ann",
        roles=included([Role.OPERATOR]),
        authentication="certificate",
    )


@pytest.mark.parametrize(
    "names",
    [
        ("dns:ann@example.org",),
        ("email:ANN@example.org",),
        ("dns:sub.runner.example.org",),
        ("dns:runner.example.org", "email:ann@example.org"),
    ],
)
async def test_other_names_and_several_principals_are_refused(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    with pytest.raises(Unauthenticated):
        await caller(tmp_path, *names)


async def test_a_token_beside_a_certificate_counts_alone(tmp_path: Path) -> None:
    for shown in ("Bearer wrong", "Basic YTpi"):
        assert await caller(tmp_path, "email:ann@example.org", authorization=shown) is None
    assert await caller(tmp_path) is None
