"""A small production system: watches for models, picks them up, and prints recommendations.

    python consumer.py --name shop --once --request '{"user": 42, "n": 5}'
    python consumer.py --name shop --follow --http 8080

It remembers nothing itself: the publisher knows what it has acknowledged, and tells it what came since.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
from answering import InService, listen
from serving import ServingError, serve

from kaon_wire.channels import ChannelSecurity
from kaonapi.model.v1 import model_pb2, model_pb2_grpc

# How long an absent publisher is waited for with --once, and the longest pause between two tries.
PATIENCE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 5.0
# How the publisher is reached: KAON_TLS_CA and the other variables that every client of Kaon reads.
SECURITY = ChannelSecurity.from_environment()


def main() -> int:
    """Entry point. Exit codes: 0 a model was picked up, 1 it could not be, 2 wrong usage."""
    arguments = parse()
    signal.signal(signal.SIGTERM, _interrupt)
    service = InService()
    server = listen(arguments.http, service) if arguments.http else None
    try:
        for announcement in watch(arguments):
            served = serve(announcement.version, arguments.state, arguments.registry)
            service.switch(announcement.version, served)
            show(announcement.version)
            if server is None:
                recommend(served.predict(arguments.request))
            acknowledge(arguments, announcement.cursor)
            if arguments.once:
                return 0
    except ServingError as error:
        print(f"consumer: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if server is not None:
            server.shutdown()
        service.close()
    return 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--publisher", default="127.0.0.1:7071", help="host:port of the model publisher"
    )
    parser.add_argument(
        "--name", default="shop", help="the name under which this system acknowledges"
    )
    parser.add_argument("--model", default="", help="only this model")
    parser.add_argument(
        "--state", type=Path, default=Path("consumer-state"), help="directory for unpacked models"
    )
    parser.add_argument(
        "--request",
        type=_json_object,
        default={"user": 42, "n": 5},
        help="a JSON object to ask the model",
    )
    parser.add_argument(
        "--registry",
        default="",
        help="host:port to fetch images from and serve them in this process; without it the Docker engine runs them",
    )
    parser.add_argument(
        "--http",
        type=int,
        default=0,
        metavar="PORT",
        help="answer predictions over HTTP, and print none",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="end after the first model")
    how.add_argument(
        "--follow",
        dest="once",
        action="store_false",
        help="switch to every newer version (default)",
    )
    return parser.parse_args()


def watch(arguments: argparse.Namespace) -> Iterator[model_pb2.Announcement]:
    """Announcements that this consumer has not acknowledged, then new ones; goes on after the publisher was away."""
    pause, lost_at = 0.2, time.monotonic()
    while True:
        with SECURITY.open(arguments.publisher) as channel:
            request = model_pb2.WatchModelsRequest(
                consumer=arguments.name, model=arguments.model, after_cursor=-1
            )
            stub = model_pb2_grpc.ModelServiceStub(channel)
            try:
                for response in stub.WatchModels(request, metadata=shown(arguments)):
                    pause, lost_at = 0.2, time.monotonic()
                    yield response.announcement
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise ServingError(f"the publisher refuses: {error.details()}") from error
        if arguments.once and time.monotonic() - lost_at > PATIENCE_SECONDS:
            raise ServingError(f"no publisher answers at {arguments.publisher}")
        print(f"waiting for the publisher at {arguments.publisher}", file=sys.stderr)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def acknowledge(arguments: argparse.Namespace, cursor: int) -> None:
    """Tells the publisher that everything up to the cursor has been picked up."""
    with SECURITY.open(arguments.publisher) as channel:
        request = model_pb2.AcknowledgeModelRequest(consumer=arguments.name, cursor=cursor)
        model_pb2_grpc.ModelServiceStub(channel).AcknowledgeModel(
            request, metadata=shown(arguments), wait_for_ready=True, timeout=30
        )


def shown(arguments: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """What calls show of who calls: the token in KAON_TOKEN, which `kaon tokens create NAME --kind consumer` makes."""
    token = os.environ.get("KAON_TOKEN", "").strip()
    if not token:
        return ()
    SECURITY.check_token(arguments.publisher)
    return (("authorization", f"Bearer {token}"),)


def show(version: model_pb2.ModelVersion) -> None:
    """Prints what is in service now."""
    print(
        f"{version.model} version {version.version} ({version.image_digest[:19]}...) is in service",
        flush=True,
    )


def recommend(answer: dict[str, Any]) -> None:
    """Prints what the model recommends."""
    items = answer.get("items")
    if not isinstance(items, list):
        print(json.dumps(answer, indent=2))
        return
    print(
        f"Recommendations for user {answer.get('user')} (region {answer.get('region')}, {answer.get('model')} model):"
    )
    for number, item in enumerate(items, 1):
        print(f"  {number}. {item['title']:<50} {item['score']:.2f}")


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
