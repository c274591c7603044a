"""A real PostgreSQL with a data directory of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import trustme

from kaon_local.errors import LocalError, MissingTool, NotReady, StartFailed
from kaon_local.ports import HOST, free_port
from kaon_local.process import Command
from kaon_local.secure.files import write_private
from kaon_local.server import Server

_DEBIAN = Path("/usr/lib/postgresql")
_INITDB_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class PostgresConfig:
    """One PostgreSQL server with one empty database. The port is chosen once, so a restarted server is where it was."""

    # Directory for data and the log; kept over restarts. The server's user must be able to reach it.
    state: Path
    port: int = field(default_factory=free_port)
    database: str = "kaon"
    # PostgreSQL refuses to run as root: when we are root, the server runs as this user.
    user: str = "postgres"
    # False trades safety of data for speed, where a test does not look at it.
    durable: bool = True
    # Whether it takes nothing but TLS.
    tls: bool = False


@contextmanager
def temporary_postgres(*, durable: bool = True, tls: bool = False) -> Iterator["Postgres"]:
    """Run a server whose data is deleted at the end; it may be stopped and started meanwhile.

    Args:
        durable: see `PostgresConfig`.
        tls: see `PostgresConfig`.
    """
    state = Path(tempfile.mkdtemp(prefix="kaon-postgres-"))
    # The server runs as another user when we are root.
    state.chmod(0o711)
    server = Postgres(PostgresConfig(state=state, durable=durable, tls=tls))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(state, ignore_errors=True)


class Postgres(Server):
    """Healthy when a query over TCP is answered and the database exists. Everybody on this machine may log in."""

    def __init__(
        self, config: PostgresConfig, *, name: str = "postgres", log: Path | None = None
    ) -> None:
        super().__init__(name=name, state=config.state, log=log)
        self.config = config

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return self.url_of(self.config.user)

    def url_of(self, user: str) -> str:
        """For SQLAlchemy, as another role."""
        plain = f"postgresql+psycopg://{user}@{HOST}:{self.config.port}/{self.config.database}"
        return f"{plain}?sslmode=verify-full&sslrootcert={self.ca}" if self.config.tls else plain

    @property
    def ca(self) -> Path:
        """The authority of its certificate."""
        return self.state / "ca.pem"

    def endpoints(self) -> dict[str, str]:
        return {"KAON_POSTGRES": self.url}

    def create_database(self, name: str, like: str = "template1") -> str:
        """Create a database and return its SQLAlchemy URL.

        Args:
            name: of the new database.
            like: a database that nobody is connected to, of which it is a copy; without one the new database is empty.
        """
        statement = psycopg.sql.SQL("create database {} template {}")
        with self._connect() as connection:
            connection.execute(
                statement.format(psycopg.sql.Identifier(name), psycopg.sql.Identifier(like))
            )
        return self.url.replace(f"/{self.config.database}", f"/{name}", 1)

    def _prepare(self) -> None:
        data = self.state / "data"
        if not (data / "PG_VERSION").exists():
            self._initdb(data)
        if self.config.tls and not self.ca.exists():
            self._make_certificate(data)

    def _make_certificate(self, data: Path) -> None:
        authority = trustme.CA()
        server = authority.issue_cert(HOST)
        key = data / "server.key"
        write_private(key, server.private_key_pem.bytes().decode())
        server.cert_chain_pems[0].write_to_path(data / "server.crt")
        if (user := self._other_user()) is not None:
            shutil.chown(key, user)
        hba = data / "pg_hba.conf"
        hba.write_text("hostssl all all 127.0.0.1/32 trust\n")
        authority.cert_pem.write_to_path(self.ca)

    def _initdb(self, data: Path) -> None:
        data.mkdir()
        user = self._other_user()
        if user is not None:
            _check_reachable(self.state, user)
            shutil.chown(data, user)
        argv = [
            str(_program("initdb")),
            "--pgdata",
            str(data),
            "--username",
            self.config.user,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
        ]
        argv += ["--locale", "C.UTF-8", "--no-sync"]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=_INITDB_SECONDS,
            check=False,
            user=user,
            cwd=data,
        )
        if done.returncode != 0:
            shutil.rmtree(data)
            raise StartFailed(
                f"PostgreSQL's data directory could not be made: {done.stdout}{done.stderr}"
            )

    def _command(self) -> Command:
        data = self.state / "data"
        settings = {
            "listen_addresses": HOST,
            "port": str(self.config.port),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        if self.config.tls:
            settings |= {"ssl": "on"}
        if not self.config.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return Command(
            argv=(str(_program("postgres")), "-D", str(data), *options),
            cwd=data,
            user=self._other_user(),
            # SIGINT is its fast shutdown; SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
        )

    def _probe(self) -> None:
        try:
            with self._connect() as connection:
                query = "select 1 from pg_database where datname = %s"
                exists = connection.execute(query, (self.config.database,)).fetchone()
        except psycopg.OperationalError as error:
            raise NotReady(
                f"PostgreSQL does not answer at {HOST}:{self.config.port}: {error}"
            ) from error
        if exists is None:
            self.create_database(self.config.database)

    def _connect(self) -> psycopg.Connection:
        where = f"host={HOST} port={self.config.port} user={self.config.user} dbname=postgres connect_timeout=2"
        if self.config.tls:
            where += f" sslmode=verify-full sslrootcert={self.ca}"
        return psycopg.connect(where, autocommit=True)

    def _other_user(self) -> str | None:
        return self.config.user if os.geteuid() == 0 else None


def _program(name: str) -> Path:
    """One of PostgreSQL's programs, newest version first: Debian keeps the server's out of the search path."""
    versions = sorted(_DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = next(
        (path / name for path in versions if (path / name).exists()), None
    ) or shutil.which(name)
    if found is None:
        raise MissingTool(
            f"PostgreSQL's {name} is not installed; `make system` installs or lists what this machine lacks"
        )
    return Path(found)


def _check_reachable(path: Path, user: str) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError as error:
        raise MissingTool(
            f"this machine has no user {user}; the package postgresql makes it"
        ) from error
    others_may_pass = 0o001
    closed = [
        str(folder)
        for folder in (path, *path.parents)
        if not folder.stat().st_mode & others_may_pass
    ]
    if closed:
        raise LocalError(
            f"PostgreSQL runs as {user}, who cannot enter {closed[0]}: choose another state directory or chmod o+x it"
        )
