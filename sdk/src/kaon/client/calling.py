"""Calls a service: adds the principal, converts errors, and retries while no service answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

from kaon.client.bearer import Bearer
from kaon.client.channel import Endpoints
from kaon.client.errors import COORDINATOR, NotAuthenticated, translated
from kaon.client.reading import responses
from kaon.client.retrying import Patience
from kaon.client.stopping import STOPPER
from kaon_wire.errors import Unavailable

T = TypeVar("T")


class Caller:
    """Calls one service.

    Args:
        address: the service's, for errors.
        endpoints: who calls.
        patience: how long a call is tried again while nobody answers.
        complete: returns a request with what people have left out.
        setting: what gives the address, for errors.
    """

    def __init__(
        self,
        address: str,
        endpoints: Endpoints,
        patience: Patience,
        complete: Callable[[Any], Any] = lambda request: request,
        setting: str = COORDINATOR,
    ) -> None:
        self._complete = complete
        self._setting = setting
        self.address = address
        self._endpoints = endpoints
        # The publisher accepts whom the coordinator accepts.
        self._bearer = Bearer(endpoints.server)
        self._patience = patience

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries now.

        Raises:
            KaonError: The login has expired, cannot be read, or would go over a line that nothing encrypts.
        """
        token = self._bearer()
        if token:
            self._endpoints.security.check_token(self.address)
        shown = (("authorization", f"Bearer {token}"),) if token else ()
        return (*self._endpoints.metadata, *shown)

    def call(self, method: Callable[..., T], request: Any) -> T:
        """Call an idempotent method, with retries."""
        request = self._complete(request)
        return self._send(lambda: method(request, metadata=self.metadata))

    def whole(self, method: Callable[..., T], request: Any, *, anew: Collection[str] = ()) -> T:
        """Call a method that answers in pages, and return all pages as one response.

        Args:
            method: An idempotent one.
            request: For the first page; changed.
            anew: Fields that every page tells anew: the last page's count.
        """
        pages = self.pages(method, request)
        found: Any = next(pages)
        for page in pages:
            for name in ("next_page_token", *anew):
                found.ClearField(name)
            found.MergeFrom(page)
        whole: T = found
        return whole

    def pages(self, method: Callable[..., T], request: Any) -> Iterator[T]:
        """Call a method that answers in pages, and yield one after the other.

        Args:
            method: An idempotent one.
            request: For the first page; changed.
        """
        while True:
            page: Any = self.call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def once(self, method: Callable[..., T], request: Any) -> T:
        """Call a method that must not be executed twice.

        Raises:
            Unavailable: the answer was lost, and nothing tells here whether it was done.
        """
        request = self._complete(request)
        try:
            with translated(self.address, self._setting):
                return method(request, metadata=self.metadata)
        except Unavailable as error:
            raise Unavailable(
                f"{error}. The service may have executed the call: check the history before you repeat it"
            ) from error

    def upload(self, method: Callable[..., T], pieces: Callable[[], Iterable[Any]]) -> T:
        """Call a method with a stream of requests."""
        return self._send(lambda: method(pieces(), metadata=self.metadata))

    def stream(self, method: Callable[..., Iterator[T]], request: Any) -> Iterator[T]:
        """Yield the messages of a stream until it ends or breaks.

        Raises:
            Stopped: the reader has ended it.
        """
        request = self._complete(request)
        stopper, shown = STOPPER.get(), self.metadata

        def opened() -> Any:
            # A call of gRPC can be cancelled, which the types of stubs do not say.
            call: Any = method(request, metadata=shown)
            if stopper is not None:
                stopper.opened(call.cancel)
            return call

        try:
            with translated(self.address, self._setting):
                yield from responses(opened)
        except Unavailable:
            if stopper is not None:
                stopper.check()
            raise
        except NotAuthenticated as error:
            # A stream outlives the token that it began with.
            if self.metadata == shown:
                raise
            raise Unavailable("the login was renewed; the stream must begin again") from error

    def _send(self, send: Callable[[], T]) -> T:
        def attempt() -> T:
            with translated(self.address, self._setting):
                return send()

        return self._patience.call(attempt)
