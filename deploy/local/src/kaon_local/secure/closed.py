"""A closed system: what its services and its people are told."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kaon_local.secure import tokens
from kaon_local.secure.files import Files
from kaon_local.secure.people import (
    ADMINISTRATOR,
    CLIENT_ID,
    CONSUMERS,
    PEOPLE,
    USUAL,
    runner,
)

_ADDRESSES = ("KAON_SERVER", "KAON_PUBLISHER")


@dataclass(frozen=True, kw_only=True)
class Closed:
    """Files and tokens of one closed system."""

    files: Files
    # By their variables.
    tokens: Mapping[str, str]
    # Of the runners' pool.
    pool: str
    # What people source into their shells.
    environment_file: Path

    @property
    def runners(self) -> dict[str, str]:
        """What the runners are told."""
        return self.files.clients | {"KAON_TOKEN": self.tokens[runner(self.pool).variable]}

    def write_environment(self, endpoints: Mapping[str, str]) -> None:
        """Write the file for shells.

        Args:
            endpoints: Addresses of components, by their variables; those that clients need are written.
        """
        tokens.write_environment(
            self.environment_file,
            {name: endpoints[name] for name in _ADDRESSES if name in endpoints}
            | self.files.clients
            | {
                "KAON_OIDC_ISSUER": self.files.issuer_url,
                "KAON_OIDC_CLIENT_ID": CLIENT_ID,
                # Whoever sources the file is this one; each of the others is a variable away.
                "KAON_TOKEN": self.tokens[USUAL.variable],
            }
            | dict(self.tokens),
        )


def close(
    directory: Path, *, database: str, environment_file: Path, issuer_port: int, pool: str
) -> Closed:
    """Make what a closed system needs, as far as it is not there from an earlier start.

    Args:
        directory: Where certificates and keys lie.
        database: URL of the coordinators' database, which gets tenants and tokens.
        environment_file: What people source into their shells.
        issuer_port: Where the issuer listens.
        pool: The runners' pool.
    """
    files = Files(directory=directory.absolute(), issuer_port=issuer_port)
    files.make()
    holders = (ADMINISTRATOR, *PEOPLE, *CONSUMERS, runner(pool))
    known = tokens.read_environment(environment_file)
    made = Closed(
        files=files,
        tokens=tokens.ensure(database, holders, known),
        pool=pool,
        environment_file=environment_file,
    )
    # A start that fails has made the tokens all the same.
    made.write_environment(known)
    return made
