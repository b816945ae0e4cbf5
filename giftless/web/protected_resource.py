"""Tell clients where to log in: OAuth 2.0 Protected Resource Metadata (:rfc:`9728`).

The document says which issuers' tokens are taken.  There is one of each URL: its ``resource``
is the URL that it is about, as section 3.3 wants.  Nothing else in them differs, but below a
path that has authenticators of its own: a refusal leads to the document of that path, or else
to that of the whole server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from giftless.auth.prefixes import Prefixes
from giftless.errors import BadRequest, CredentialNeeded, NotFound, Unauthorized
from giftless.interfaces import ILogIn
from giftless.web.call import Call
from giftless.web.proxies import ServerURL
from giftless.web.request import LFSRequest
from giftless.web.route import Level, Route

#: Where the document is: between the host and the path of what it is about.
_WELL_KNOWN: Final = ".well-known/oauth-protected-resource"

#: The longest path that a document is about, in characters.
_MAX_PATH: Final = 1024

#: What stays as it is in a path (RFC 3986 section 3.3), with what is encoded already.
_IN_PATH: Final = "/:@!$&'()*+,;=~%"


class ProtectedResource:
    """The endpoints that say where to log in.

    :param log_ins: those who take tokens of an issuer, by the path below which they do;
        empty where they do below no other path.
    :param server_url: the root of all URLs that are handed out.
    :param name: what the server is called (``resource_name``).
    :param prefixes: these paths.
    """

    def __init__(
        self,
        log_ins: Mapping[str, Sequence[ILogIn]],
        server_url: ServerURL,
        name: str,
        prefixes: Prefixes,
    ) -> None:
        self._server_url = server_url
        self._prefixes = prefixes
        self._facts = {place: _facts(each, name) for place, each in log_ins.items()}

    @property
    def routes(self) -> Sequence[Route]:
        """The routes."""
        return (
            Route(_WELL_KNOWN, ("GET",), self._tell, Level.SERVER),
            Route(f"{_WELL_KNOWN}/{{path:rest}}", ("GET",), self._tell, Level.SERVER),
        )

    def challenge(self, request: LFSRequest, error: Unauthorized) -> str | None:
        """Return what ``WWW-Authenticate`` says to a client that is to log in.

        :returns: ``None`` if it does so nowhere, or the request does not say what the server
            is called.
        """
        place = self._prefixes.of_url(request.path)
        if place not in self._facts:
            return None
        with contextlib.suppress(BadRequest):
            scheme, host, path = _parts(self._server_url.for_client(request))
            if place:
                path = f"{path}/{place}"
            value = f'Bearer resource_metadata="{scheme}://{host}/{_WELL_KNOWN}{path}"'
            # RFC 6750 section 3.1: no error if nothing was shown.
            shown = not isinstance(error, CredentialNeeded)
            return f'{value}, error="invalid_token"' if shown else value
        return None

    async def _tell(self, call: Call, path: str = "") -> None:
        """``GET /.well-known/oauth-protected-resource[/PATH]``."""
        scheme, host, root = _parts(self._server_url.for_client(call.request))
        if len(path) > _MAX_PATH:
            raise BadRequest(f"the path is longer than {_MAX_PATH} characters")
        # As the client has written it, because it compares that.
        written = call.request.path.partition(_WELL_KNOWN.encode())[2]
        facts = self._facts.get(self._prefixes.of_url(written.removeprefix(root.encode())))
        if facts is None:
            raise NotFound("nobody logs in by OpenID Connect for this path")
        resource = f"{scheme}://{host}{quote(written, _IN_PATH)}"
        body = msgspec.json.encode({"resource": resource, **facts})
        headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
        call.request.respond_whole(200, headers, body)


def _facts(log_ins: Sequence[ILogIn], name: str) -> Mapping[str, object]:
    """Return what a document says of those who take tokens."""
    issuers = dict.fromkeys(each.issuer for each in log_ins)
    scopes = dict.fromkeys(scope for each in log_ins for scope in each.scopes)
    return {
        "authorization_servers": list(issuers),
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": name,
    }


def _parts(url: str) -> tuple[str, str, str]:
    """Return the scheme, the host with its port, and the path of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc, parts.path.rstrip("/")
