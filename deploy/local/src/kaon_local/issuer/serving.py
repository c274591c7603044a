"""An issuer in a thread of this process, for tests."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from kaon_local.issuer.grants import Grants, Person
from kaon_local.issuer.pages import issuer
from kaon_local.ports import HOST


@contextmanager
def serving(
    people: Sequence[Person], *, audience: str = "kaon", token_seconds: int = 600
) -> Iterator[Grants]:
    """Serve an issuer at a free port; its memory makes tokens that it has signed, and tells its address."""
    listening = socket.create_server((HOST, 0))
    grants = Grants(
        url=f"http://{HOST}:{listening.getsockname()[1]}",
        audience=audience,
        token_seconds=token_seconds,
        interval=0,
    )
    server = uvicorn.Server(
        uvicorn.Config(issuer(grants, people), log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run, args=([listening],), name="issuer", daemon=True)
    thread.start()
    try:
        # The socket listens: who calls before the server accepts waits for it.
        yield grants
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
