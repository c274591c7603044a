"""`python -m kaon_local`: fetch what is needed, run the demo, or keep a whole system running for development."""

import argparse
import os
import subprocess
import sys

from kaon_wire.loading import loading

with loading():
    from kaon_local import compose, demo, fetch_all
    from kaon_local.docker_engine import DockerConfig, DockerEngine, engine_answers
    from kaon_local.errors import LocalError, MissingTool
    from kaon_local.images import build_all, public_bases
    from kaon_local.paths import ROOT
    from kaon_local.secure import containers
    from kaon_local.system import can_have_docker, docker_state

# People find a system that they left running at the addresses that the clients use by default.
API_PORT, PUBLISHER_PORT, CONSOLE_PORT, VIEW_PORT, ISSUER_PORT = 7070, 7071, 7072, 7075, 7076


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m kaon_local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetch = commands.add_parser(
        "fetch", help="fetch jars and data by package name, and make base images, into .kaon/cache"
    )
    fetch.add_argument(
        "--object-store",
        action="store_true",
        help="build the S3 server too, which tests and its image need",
    )
    engine = commands.add_parser(
        "with-engine", help="run a command with a Docker engine beside it, where there can be one"
    )
    engine.add_argument(
        "argv", nargs=argparse.REMAINDER, metavar="COMMAND", help="the command and its arguments"
    )
    images = commands.add_parser(
        "images", help="build the images of docker-compose.yml, and write .env"
    )
    images.add_argument("names", nargs="*", metavar="IMAGE", help="only these; without any, all")
    images.add_argument(
        "--tag", default=os.environ.get("KAON_TAG") or "dev", help="tag of the images"
    )
    demo = commands.add_parser(
        "demo", help="run the recommendations workflow on a whole system, and stop everything"
    )
    dev = commands.add_parser("dev", help="start a whole system and keep it running until Ctrl-C")
    commands.add_parser(
        "up-secure",
        help="start the closed system in containers, with a token for everybody in .kaon/compose/secure.env",
    )
    commands.add_parser("down-secure", help="stop the closed system in containers; its data stays")
    link = commands.add_parser(
        "link", help="print another link to the console of the system that dev keeps running"
    )
    for command in (dev, link):
        command.add_argument(
            "--secure",
            action="store_true",
            help="the closed system: with authentication, TLS, an OIDC issuer and two tenants",
        )
    for command in (demo, dev):
        command.add_argument(
            "--runners",
            type=int,
            default=int(os.environ.get("RUNNERS", "2")),
            help="how many step-runners",
        )
        command.add_argument(
            "--no-docker",
            action="store_true",
            help="without a Docker engine, even where there can be one",
        )
    demo.add_argument(
        "-p",
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the workflow",
    )
    arguments = parser.parse_args()
    try:
        return _run(arguments)
    except LocalError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    docker = False if getattr(arguments, "no_docker", False) else None
    match arguments.command:
        case "fetch":
            return fetch_all.fetch_all(object_store=arguments.object_store)
        case "with-engine":
            return with_engine(arguments.argv)
        case "images":
            return images(arguments.names, arguments.tag)
        case "up-secure":
            return containers.up()
        case "down-secure":
            return containers.down()
        case "link":
            return demo.link(CONSOLE_PORT, secure=arguments.secure)
        case "demo":
            return demo.run(
                runners=arguments.runners,
                docker=docker,
                params=arguments.param,
                console_port=CONSOLE_PORT,
            )
        case _:
            return demo.develop(
                runners=arguments.runners,
                docker=docker,
                api_port=API_PORT,
                publisher_port=PUBLISHER_PORT,
                console_port=CONSOLE_PORT,
                view_port=VIEW_PORT,
                issuer_port=ISSUER_PORT if arguments.secure else 0,
            )


def images(names: list[str], tag: str) -> int:
    """Builds images, and writes the settings that compose needs; returns the exit code."""
    import docker

    url = DockerConfig(state=docker_state()).url
    if not engine_answers(url):
        raise MissingTool(f"no Docker engine answers at {url}: start it first")
    print(f"building on {'public' if public_bases() else 'locally made'} base images", flush=True)
    client = docker.DockerClient(base_url=url, timeout=300)
    for built in build_all(client, tag=tag, only=names):
        print(
            f"{built.name:<32} {built.size_bytes / 1e6:6.0f} MB  {built.seconds:5.1f} s", flush=True
        )
    client.close()
    if written := compose.write_settings(ROOT / ".env"):
        print(f".env has new settings: {', '.join(written)}")
    return 0


def with_engine(argv: list[str]) -> int:
    """Runs a command to its end and returns its exit code; the engine is stopped afterwards when it is ours."""
    if not can_have_docker():
        print(
            "no Docker engine answers here, and none can be started: tests that need one are skipped",
            flush=True,
        )
        return subprocess.run(argv, check=False).returncode
    engine = DockerEngine(DockerConfig(state=docker_state()))
    engine.start()
    try:
        return subprocess.run(argv, check=False).returncode
    finally:
        if engine.ours:
            engine.stop()


if __name__ == "__main__":
    sys.exit(main())
