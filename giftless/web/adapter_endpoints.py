"""The endpoints that transfer adapters bring, as routes beside the built-in ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

from zope.interface import implementer

from giftless.errors import ConfigError
from giftless.interfaces import (
    Endpoint,
    IAuthenticator,
    IBlocking,
    IBody,
    ICall,
    Identity,
    IDownload,
    IEndpoints,
    ILinks,
    IObjects,
    IRepoCall,
    ITransferAdapter,
)
from giftless.lfs.objects import Repo
from giftless.usecases.authorization import Gate
from giftless.web.call import Call, IdentifiedCall, RepoCall
from giftless.web.route import Handler, Level, Route, for_actions, never_422
from giftless.web.sending import send_object

#: The statuses whose responses have no body, and no length of one.
_NO_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class AdapterEndpoints:
    """Makes routes of the endpoints that adapters bring.

    :param authenticator: identifies who sends an API call.
    :param storage_authenticator: the same, and takes action tokens as well.
    :param gate: decides which tokens will do.
    :param objects: the use cases that endpoints may call.
    :param blocking: reads downloads from the disk.
    """

    def __init__(
        self,
        authenticator: IAuthenticator,
        storage_authenticator: IAuthenticator,
        gate: Gate,
        objects: IObjects,
        blocking: IBlocking,
    ) -> None:
        self._authenticator = authenticator
        self._storage_authenticator = storage_authenticator
        self._gate = gate
        self._objects = objects
        self._blocking = blocking

    def routes(
        self, adapters: Mapping[str, ITransferAdapter], taken: Iterable[Route]
    ) -> Sequence[Route]:
        """Return the routes of those adapters that bring endpoints.

        :param adapters: each by the dotted path of its name in the configuration.
        :param taken: the routes that there are already.
        :raises ConfigError: if an endpoint is malformed, or if its URL is taken.
        """
        known = list(taken)
        made: list[Route] = []
        for path, adapter in adapters.items():
            if not IEndpoints.providedBy(adapter):
                continue
            routes = [
                self._route(endpoint, path, adapter.name)
                for endpoint in adapter.endpoints(self._objects)
            ]
            for number, route in enumerate(routes):
                # One adapter may answer a URL by several endpoints, by the method.
                own = (r for r in routes[:number] if set(r.methods) & set(route.methods))
                for other in (*known, *own):
                    if route.overlaps(other):
                        raise ConfigError(
                            path,
                            f"{adapter.name!r} has an endpoint {route.template!r}, which has URLs"
                            f" of {other.template!r}; leave one of the transfers out",
                        )
            known += routes
            made += routes
        return made

    def _route(self, endpoint: Endpoint, path: str, adapter: str) -> Route:
        if endpoint.server_level and endpoint.kind is not None:
            raise ConfigError(
                path,
                f"{adapter!r} has an endpoint {endpoint.path!r} of the server that takes action"
                " tokens, but these belong to a repository",
            )
        level = Level.SERVER if endpoint.server_level else Level.REPOSITORY
        try:
            return Route(endpoint.path, endpoint.methods, self._handler(endpoint), level)
        except ValueError as error:
            raise ConfigError(path, f"{adapter!r} has a malformed endpoint: {error}") from None

    def _handler(self, endpoint: Endpoint) -> Handler:
        kinds = () if endpoint.kind is None else (endpoint.kind,)

        async def handle(call: Call, **variables: str) -> None:
            if isinstance(call, RepoCall):
                identified = await (
                    call.identify_action(self._storage_authenticator)
                    if kinds
                    else call.identify(self._authenticator)
                )
                self._gate.require_kind(identified.identity, kinds)
                adapter_call: AdapterCall = AdapterRepoCall(identified, self._blocking)
            else:
                adapter_call = AdapterCall(call, self._blocking)
            await endpoint.handler(adapter_call, **variables)
            if not adapter_call.answered:
                raise RuntimeError(f"the endpoint {endpoint.path!r} has not answered")

        return for_actions(handle) if kinds else never_422(handle)


@implementer(ICall)
class AdapterCall:
    """What the handler of an adapter's endpoint is given.

    :param call: the request.
    :param blocking: reads downloads from the disk.
    :ivar answered: whether the handler has begun to answer.
    """

    def __init__(self, call: Call, blocking: IBlocking) -> None:
        self.address = call.address
        self.method = call.request.method.decode("ascii")
        self.length = call.request.length
        self.body: IBody = call.request.body
        self.answered = False
        self._call = call
        self._blocking = blocking

    def header(self, name: str) -> str | None:
        """See :meth:`giftless.interfaces.ICall.header`."""
        return self._call.header(name.lower())

    def argument(self, name: str) -> str | None:
        """See :meth:`giftless.interfaces.ICall.argument`."""
        return self._call.argument(name)

    async def read_small_body(self) -> bytes:
        """See :meth:`giftless.interfaces.ICall.read_small_body`."""
        return await self._call.read_small_body()

    def respond(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] = {},  # only read
    ) -> None:
        """See :meth:`giftless.interfaces.ICall.respond`."""
        self._call.request.reserve(len(body))
        bodiless = status in _NO_BODY
        self._begin(status, None if bodiless else len(body), headers)
        self._call.request.respond(b"" if bodiless else body)

    async def send(
        self,
        download: IDownload,
        start: int,
        end: int,
        status: int = 200,
        headers: Mapping[str, str] = {},  # only read
    ) -> None:
        """See :meth:`giftless.interfaces.ICall.send`."""
        self._begin(status, end - start, headers)
        request = self._call.request
        if self.method != "HEAD":
            await send_object(request, download, start, end, self._blocking)
        request.finish()

    def _begin(self, status: int, length: int | None, headers: Mapping[str, str]) -> None:
        if self.answered:
            raise RuntimeError("an endpoint answers once")
        self.answered = True
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            status = HTTPStatus.BAD_REQUEST  # as for errors; see never_422
        request = self._call.request
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name, value)
        if length is not None:
            request.setHeader("Content-Length", str(length))


@implementer(IRepoCall)
class AdapterRepoCall(AdapterCall):
    """The same for an endpoint below a repository.

    :param call: the request, and who sends it.
    """

    def __init__(self, call: IdentifiedCall, blocking: IBlocking) -> None:
        super().__init__(call, blocking)
        self.repo: Repo = call.repo
        self.links: ILinks = call.links
        self.identity: Identity = call.identity
