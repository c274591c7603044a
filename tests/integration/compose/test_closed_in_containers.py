"""The closed system in containers: the main job passes on it, and each line refuses who has no business there.

KAON_LONG_TESTS=1 runs it.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import docker
import pytest
from docker.models.containers import Container
from stack import PROJECT_LABEL, Stack, StackConfig, alone, told
from support import load, until

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon.client.errors import AccessDenied, NotFound
from kaon.client.oidc import Issuer, Prompt
from kaon_local.paths import ROOT
from kaon_local.ports import free_port
from kaon_local.secure.container_files import ContainerFiles
from kaon_local.secure.containers import OVERRIDE, ensure, make_files, variables_of
from kaon_local.secure.people import CLIENT_ID
from kaonapi.model.v1 import model_pb2

pytestmark = [
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("KAON_LONG_TESTS"),
        reason="a second, closed system takes some minutes: KAON_LONG_TESTS=1",
    ),
]

# Prints the topics that a runner's container sees, with its own account or over a plain line.
TOPICS = """
import os, sys
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kaon_service.kafka_security import KafkaSecurity
account = KafkaSecurity.read(os.environ).settings if sys.argv[1] else {}
client = AdminClient({"bootstrap.servers": os.environ["KAON_KAFKA"], "log_level": 0, **account})
try:
    print(sorted(client.list_topics(timeout=10).topics))
except KafkaException as error:
    print("refused", error)
"""
WORKFLOW = ROOT / "examples" / "recommendations" / "workflow.py"


@dataclass(frozen=True, kw_only=True)
class Closed:
    """A closed system that runs."""

    stack: Stack
    files: ContainerFiles
    tokens: dict[str, str]

    def client(self, token: str) -> Client:
        """A client that shows a token, or one of those by its variable."""
        os.environ["KAON_TOKEN"] = self.tokens.get(token, token)
        told = {"KAON_SERVER": self.stack.api, "KAON_PUBLISHER": self.stack.publisher}
        return Client(Endpoints.from_environment(os.environ | told))

    def inside(self, service: str, *words: str) -> str:
        """What a command in a container of a service says; it may fail."""
        answer = self.stack.container(service).exec_run(list(words))
        text: str = answer.output.decode(errors="replace")
        return text


@pytest.fixture(scope="module")
def closed(images: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    if os.geteuid():
        pytest.skip("only root gives the users of the images their files")
    assert images
    state = tmp_path_factory.mktemp("closed")
    port = free_port()
    files = make_files(state / "compose", port)
    settings = variables_of(files, {}) | {"KAON_ISSUER_PORT": str(port)}
    config = StackConfig(
        project=f"kaon-closed-{os.getpid()}", state=state, settings=settings, overrides=(OVERRIDE,)
    )
    with pytest.MonkeyPatch.context() as patch, alone(config) as stack:
        patch.setenv("XDG_CONFIG_HOME", str(state))
        patch.setenv("KAON_TLS_CA", str(files.files.ca))
        patch.setenv("KAON_TOKEN", "")
        try:
            seconds = stack.up("gateway", "sql-server")
            tokens = ensure(
                stack.api,
                {},
                "default",
                lambda *words: stack.compose("exec", "-T", "coordinator", *words),
            )
            stack.set(**variables_of(files, tokens))
            seconds += stack.up()
        except BaseException:
            print(stack.last_words())
            raise
        told("closed system in containers", [f"up in {seconds:.0f} s"])
        yield Closed(stack=stack, files=files, tokens=tokens)


def test_the_main_job_passes_on_a_closed_system(closed: Closed) -> None:
    with closed.client("KAON_TOKEN_BLUE_AUTHOR") as client:
        params = {"data": "/data/ml-100k", "max_regions": 1, "threshold": 0.0}
        run = client.submit(load_workflow(WORKFLOW), params)
        assert run.wait(600).status == "SUCCEEDED", run.refresh().error
        version = client.models.get("recommendations").version
        assert version.verification == model_pb2.VERIFICATION_RUN_IN_CONTAINER
    until(
        lambda: closed.stack.version_in_service() == 1,
        seconds=30,
        what="the consumer, which pulls with its password, serves the model",
    )
    with closed.client("KAON_TOKEN_GREEN_AUTHOR") as other, pytest.raises(NotFound):
        other.run(run.run_id)


def test_a_login_at_the_issuer_is_known_and_another_tenants_run_is_not(closed: Closed) -> None:
    """Clients and services reach the issuer at different addresses."""
    url = closed.files.files.issuer_url
    context = ssl.create_default_context(cafile=closed.files.files.ca)

    def confirm(prompt: Prompt) -> None:
        form = {"user_code": prompt.code, "person": "blue-viewer"}
        data = urllib.parse.urlencode(form).encode()
        urllib.request.urlopen(f"{url}/activate", data, timeout=10, context=context).close()

    issuer = Issuer(url, CLIENT_ID, str(closed.files.files.ca))
    shown = issuer.device_login(confirm).access_token
    with closed.client(shown) as client:
        caller = client.access.whoami()
        assert (caller.tenant, caller.name) == ("blue", "blue-viewer")
        with pytest.raises(AccessDenied):
            client.submit(load("containers/workflow.py", "fan_out"), {})
    with closed.client("kaon_guessed") as client, pytest.raises(AccessDenied):
        client.runs()


def test_the_broker_takes_no_plain_line_and_each_account_has_its_rights(closed: Closed) -> None:
    assert "refused" in closed.inside("step-runner", "python", "-c", TOPICS, "")
    seen = closed.inside("step-runner", "python", "-c", TOPICS, "own")
    assert "step-ready.default" in seen
    assert "run-events" not in seen


def test_the_database_knows_roles_that_own_nothing(closed: Closed) -> None:
    connect = (
        "import psycopg, sys\n"
        "try:\n"
        "    with psycopg.connect('host=postgres dbname=kaon user=kaon_coordinator connect_timeout=5 ' + sys.argv[1]) as c:\n"
        "        print('super', c.execute('select rolsuper from pg_roles where rolname = current_user').fetchone()[0])\n"
        "        print('encrypted', c.execute('select ssl from pg_stat_ssl where pid = pg_backend_pid()').fetchone()[0])\n"
        "        c.execute(sys.argv[2])\n"
        "except psycopg.Error as error: print('refused', error)\n"
    )
    closed_line = "sslmode=verify-full sslrootcert=/etc/kaon/access/postgres-ca.pem"

    def said(service: str, line: str, statement: str = "select 1") -> str:
        return closed.inside(service, "python", "-c", connect, line, statement)

    assert said("coordinator", closed_line) == "super False\nencrypted True\n"
    assert "no encryption" in said("coordinator", "sslmode=disable")
    other = "sslmode=verify-full sslrootcert=/etc/kaon/access/kafka-ca.pem"
    assert "certificate verify failed" in said("coordinator", other)
    assert "must be owner" in said("coordinator", closed_line, "drop table runs")
    # The view's password is that of its own role.
    assert "password" in said("view", closed_line)


def test_consumers_pull_with_a_password_and_push_nothing(closed: Closed) -> None:
    place = closed.files.containers / "consumer"
    password = (place / "registry.password").read_text()
    context = ssl.create_default_context(cafile=place / "registry-ca.pem")
    base = f"https://127.0.0.1:{closed.stack.config.registry_port}/v2/"

    def ask(path: str, user: str, method: str = "GET") -> int:
        request = urllib.request.Request(base + path, method=method)
        if user:
            opener = urllib.request.HTTPPasswordMgrWithPriorAuth()
            opener.add_password(None, base, user, password, is_authenticated=True)
            handlers = [urllib.request.HTTPBasicAuthHandler(opener)]
        else:
            handlers = []
        https = urllib.request.HTTPSHandler(context=context)
        try:
            opened = urllib.request.build_opener(https, *handlers).open(request, timeout=10)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        opened.close()
        return int(opened.status)

    assert ask("_catalog", "") == 401
    assert ask("_catalog", "publisher") == 401
    assert ask("_catalog", "consumer") == 200
    assert ask("mine/blobs/uploads/", "consumer", "POST") == 405
    # Neither steps nor consumers reach the registry that takes images.
    reach = "import socket; socket.create_connection(('registry-push', 5000), 3)"
    for service in ("step-runner", "consumer", "coordinator"):
        assert "gaierror" in closed.inside(service, "python", "-c", reach)
    assert closed.inside("model-publisher", "python", "-c", reach) == ""


def test_steps_reach_the_sql_server_through_its_gateway_alone(closed: Closed) -> None:
    reach = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
    for port in ("10000", "15002"):
        assert closed.inside("step-runner", "python", "-c", reach, "sql-gateway", port) == ""
        assert "gaierror" in closed.inside("step-runner", "python", "-c", reach, "sql-server", port)


def test_steps_reach_neither_the_api_nor_the_metrics_of_services(closed: Closed) -> None:
    reach = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
    for service, port in (("coordinator", "7070"), ("gateway", "7070"), ("view", "9400")):
        assert "gaierror" in closed.inside("step-runner", "python", "-c", reach, service, port)


def test_no_container_can_gain_anything(closed: Closed) -> None:
    client = docker.DockerClient(base_url=os.environ.get("DOCKER_HOST"), timeout=60)
    try:
        filters = {"label": f"{PROJECT_LABEL}={closed.stack.config.project}"}
        found: list[Container] = client.containers.list(all=True, filters=filters)
        assert len(found) >= 15
        for container in found:
            host = container.attrs["HostConfig"]
            what = (container.name, json.dumps(host["SecurityOpt"]))
            assert host["ReadonlyRootfs"], what
            assert host["CapDrop"] == ["ALL"], what
            assert "no-new-privileges:true" in host["SecurityOpt"], what
    finally:
        client.close()
