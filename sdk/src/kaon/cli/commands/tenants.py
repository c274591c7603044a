"""Commands about tenants."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import options, output
from kaonapi.access.v1 import access_service_pb2 as a

app = typer.Typer(help="Make and list tenants.", no_args_is_help=True)


@app.command("put")
def put(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the tenant.", show_default=False)
    ],
    enabled: Annotated[
        bool | None,
        typer.Option(
            "--enable/--disable",
            help="Whether anybody can call as this tenant. A new tenant is enabled.",
            show_default=False,
        ),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            "--highest-priority",
            metavar="N",
            help="The highest priority of its runs; 0 for a new tenant.",
            show_default=False,
        ),
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            metavar="TOPIC",
            help="A topic of Kafka that its schedules may read; repeat for more. Those of before are replaced; '' removes all.",
        ),
    ] = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Make a tenant, or change one: what is not given stays as it is. That takes a platform administrator.

    \b
    kaon tenants put search
    kaon tenants put search --highest-priority 10 --topic arrivals
    kaon tenants put search --disable
    """
    with options.client(server=server) as client:
        before = client.access.tenant(name)
        wanted = before or a.Tenant(name=name, enabled=True)
        if enabled is not None:
            wanted.enabled = enabled
        if priority is not None:
            wanted.highest_priority = priority
        if topic is not None:
            wanted.ClearField("topics")
            wanted.topics.extend(filter(None, topic))
        found = client.access.put_tenant(wanted)
    if json:
        output.print_json(found)
    else:
        state = "" if found.enabled else "; it is disabled: nobody can call as this tenant"
        output.say(f"{'Made' if before is None else 'Changed'} tenant {found.name}{state}.")


@app.command("list")
def list_tenants(server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """List the tenants; whoever is no platform administrator sees their own.

    \b
    kaon tenants list
    """
    with options.client(server=server) as client:
        found = list(client.access.tenants())
    if json:
        for tenant in found:
            output.print_json(tenant)
        return
    output.print_table(
        ("TENANT", "STATUS", "HIGHEST PRIORITY", "MADE BY", "TOPICS"),
        (
            (
                tenant.name,
                "enabled" if tenant.enabled else "disabled",
                str(tenant.highest_priority),
                tenant.created_by,
                " ".join(tenant.topics),
            )
            for tenant in found
        ),
        nothing="There are no tenants. Make one: kaon tenants put NAME",
    )
