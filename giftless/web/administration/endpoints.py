"""The administration's API over HTTP: below each repository, and below ``/-/api/``.

Below a repository it is for whoever has the permission ``admin`` there; below ``/-/api/``
it is about all of them, for whoever has that permission on
:data:`~giftless.lfs.objects.OPERATION`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from giftless.auth.prefixes import Prefixes
from giftless.errors import BadRequest, Forbidden, PayloadTooLarge
from giftless.interfaces import IAuthenticator
from giftless.lfs.objects import OPERATION, OWN_PAGES, Permission, Repo
from giftless.usecases.authorization import Gate
from giftless.usecases.locks import By
from giftless.web.administration.api import AdministrationAPI, Asked
from giftless.web.administration.names import API, MAX_BODY, NAMES
from giftless.web.call import Call, IdentifiedCall, RepoCall
from giftless.web.links import Links
from giftless.web.origin import is_foreign
from giftless.web.proxies import ServerURL
from giftless.web.route import Level, Route

#: What the paths of the endpoints below a repository begin with.
FOLDER: Final = "admin"

#: What those below the root of the server begin with.
OWN_FOLDER: Final = f"{OWN_PAGES}/{API}"

#: The parameters that endpoints have.
_PARAMETERS: Final = ("repo", "by", "order", "cursor", "limit")


class AdministrationEndpoints:
    """Leads requests to the API.

    :param api: answers.
    :param authenticator: identifies who sends a request.
    :param gate: decides who may send one.
    :param server_url: what the server is called outside.
    :param public: whether operators are answered here.
    :param prefixes: below which paths nobody else is shown a credential.
    """

    def __init__(
        self,
        api: AdministrationAPI,
        authenticator: IAuthenticator,
        gate: Gate,
        server_url: ServerURL,
        public: bool,
        prefixes: Prefixes,
    ) -> None:
        self._api = api
        self._authenticator = authenticator
        self._gate = gate
        self._server_url = server_url
        self._public = public
        self._prefixes = prefixes

    @property
    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        routes = []
        for name, methods in NAMES.items():
            for method in methods:
                handler = partial(self._for_owner, name)
                routes.append(Route(f"{FOLDER}/{name}", (method,), handler))
                if self._public:
                    handler = partial(self._for_operator, name)
                    path = f"{OWN_FOLDER}/{name}"
                    routes.append(Route(path, (method,), handler, Level.SERVER))
        return routes

    async def _for_owner(self, name: str, named: RepoCall) -> None:
        call = await named.identify(self._authenticator)
        self._gate.require(call.identity, Permission.ADMIN, call.repo)
        await self._answer(name, call, call.repo, named.named)

    async def _for_operator(self, name: str, call: Call) -> None:
        named = RepoCall(call.request, call.address, OPERATION, Links("", [OWN_PAGES]), True)
        identified = await named.identify(self._authenticator)
        self._gate.require(identified.identity, Permission.ADMIN, OPERATION)
        # As for the operators' pages: cors.origins is not about them.
        if is_foreign(call, self._server_url):
            raise Forbidden("a page of another site has sent this request")
        await self._answer(name, identified, None)

    async def _answer(
        self, name: str, call: IdentifiedCall, scope: Repo | None, named: Repo | None = None
    ) -> None:
        request, identity = call.request, call.identity

        async def permit(repo: Repo) -> Repo:
            if named is None:
                return repo
            return await self._permit(call, named, repo)

        asked = Asked(
            query=_query(call),
            kind=call.header("content-type") or "",
            body=await _body(call),
            scope=scope,
            by=By(identity.name, identity.principal, call.address, request.request_id),
            permit=permit,
            named=named,
        )
        reply = await self._api.answer(request.method.decode(), name, asked)
        for header, value in reply.headers.items():
            request.setHeader(header, value)
        request.respond_json(reply.status, reply.body)

    async def _permit(self, call: IdentifiedCall, named: Repo, repo: Repo) -> Repo:
        """Ask whether the sender has the permission on another repository as well.

        :param named: the repository of the URL.
        :raises Forbidden: if not, or if the credential is not for the other one: it is shown
            to nobody to whom the URL does not lead.
        """
        of = self._prefixes.of
        if (here := of(named.segments)) != (there := of(repo.segments)):
            raise Forbidden(
                f"{repo} is {f'below {there}' if there else f'not below {here}'}, where other"
                " accounts decide, which are not shown your credential; ask an operator"
            )
        request = call.request
        sender, noted = request.identity, request.repo
        other = RepoCall(request, call.address, repo, call.links, call.short)
        identified = await other.identify(self._authenticator)
        # The log names the repository of the URL.
        request.identity, request.repo = sender, noted
        self._gate.require(identified.identity, Permission.ADMIN, identified.repo)
        return identified.repo


def _query(call: Call) -> Mapping[str, str]:
    return {name: value for name in _PARAMETERS if (value := call.argument(name)) is not None}


async def _body(call: Call) -> bytes:
    """Read the body of a request that has one.

    :raises PayloadTooLarge: if it is larger than any that is taken.
    """
    if call.request.method != b"POST":
        return b""
    too_large = PayloadTooLarge(f"the body of this request may have at most {MAX_BODY} bytes")
    if (call.request.length or 0) > MAX_BODY:
        raise too_large
    if call.header("content-encoding") not in (None, "identity"):
        raise BadRequest("send the body as it is, without content-encoding")
    body = await call.read_small_body()
    if len(body) > MAX_BODY:
        raise too_large
    return body
