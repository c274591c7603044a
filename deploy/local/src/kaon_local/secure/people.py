"""Who there is in a closed system on this machine: two tenants, with a person for each role."""

from dataclasses import dataclass

from kaon_service.roles import Kind, Role

AUDIENCE = "kaon"
CLIENT_ID = "kaon"
TENANTS = ("blue", "green")
# Of the platform's administrator, and of what serves all tenants.
PLATFORM = "platform"
_ROLES = (Role.VIEWER, Role.OPERATOR, Role.AUTHOR, Role.PUBLISHER, Role.TENANT_ADMIN)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Somebody with a token."""

    tenant: str
    # Empty for a runner and a consumer.
    role: str = ""
    kind: Kind = Kind.PERSON
    # Of a runner.
    pool: str = ""

    @property
    def name(self) -> str:
        """Its name, such as blue-viewer."""
        if self.role == Role.PLATFORM_ADMIN:
            return self.role
        return f"{self.tenant}-{self.role or self.kind}"

    @property
    def variable(self) -> str:
        """The variable with its token, such as KAON_TOKEN_BLUE_VIEWER."""
        return f"KAON_TOKEN_{self.name.upper().replace('-', '_')}"


ADMINISTRATOR = Holder(tenant=PLATFORM, role=Role.PLATFORM_ADMIN)
# Whoever the environment file makes you, unless you say something else.
USUAL = Holder(tenant=TENANTS[0], role=Role.AUTHOR)
# They can log in at the issuer, and have tokens beside that.
PEOPLE = tuple(Holder(tenant=tenant, role=role) for tenant in TENANTS for role in _ROLES)
CONSUMERS = tuple(Holder(tenant=tenant, kind=Kind.CONSUMER) for tenant in TENANTS)


def runner(pool: str) -> Holder:
    """Return the runners of a pool."""
    return Holder(tenant=PLATFORM, kind=Kind.RUNNER, pool=pool)
