"""A client of one LFS server: batches, transfers and verification."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from twisted.internet.defer import DeferredLock

from giftless.base.http_client import Answer
from giftless.client.asking import MAX_ANSWER, Asker, Outgoing, same_origin, without_user
from giftless.client.credentials import Credential, Credentials
from giftless.client.endpoints import Endpoint, authenticate
from giftless.client.errors import ServerError
from giftless.errors import LFSError
from giftless.interfaces import IBlocking, IBody
from giftless.lfs.batch import HASH_ALGORITHM, MEDIA_TYPE
from giftless.lfs.objects import Operation
from giftless.lfs.replies import Answered, GivenAction, Replied, parse_reply
from giftless.storage.remote.streaming import Download

#: How many objects are asked for at once: all servers take as many.
BATCH: Final = 100

#: An action that expires within so many seconds is as good as expired.
SLACK: Final = 5.0

#: Headers of actions that the HTTP client sets itself.
_FRAMING: Final = frozenset({"host", "content-length", "connection", "transfer-encoding"})

_JSON: Final = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}


class LFSServerClient:
    """Speaks to the LFS server of one repository.

    :param endpoint: where it is.
    :param asker: sends requests.
    :param credentials: says who the user is.
    :param blocking: runs SSH.
    :param ask: whether SSH may ask the user at the terminal.
    :param directory: the repository whose configuration counts for SSH.
    :param wall_clock: tells the time of day.
    :ivar credential: what the server has taken last; ``None`` if it has asked for nothing.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        asker: Asker,
        credentials: Credentials,
        blocking: IBlocking,
        ask: bool = False,
        directory: str | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.endpoint = endpoint
        self.credential: Credential | None = None
        self._asker = asker
        self._credentials = credentials
        self._blocking = blocking
        self._ask = ask
        self._directory = directory
        self._wall_clock = wall_clock
        #: Held while somebody is asked who the user is: once, not by every request.
        self._finding = DeferredLock()
        self._refused = ""
        #: What SSH has told: a base URL and headers, by operation.
        self._told: dict[str, tuple[str, Mapping[str, str]]] = {}

    # -- objects

    async def batch(
        self,
        operation: Operation,
        wanted: Mapping[Any, int],
        ref: str | None = None,
        transfers: Sequence[str] = ("basic",),
    ) -> Replied:
        """Ask what to do with objects.

        :param wanted: oids (text) and sizes in bytes; more than :data:`BATCH` are asked for in
            several requests, one after the other.
        :param ref: the full name of the ref that it is for.
        :param transfers: the ways of transfer that are offered.
        :returns: an answer for each object, in their order.
        :raises ServerError: if there is no reply, or one that makes no sense.
        """
        found: list[Answered] = []
        transfer = "basic"
        items = list(wanted.items())
        for start in range(0, len(items), BATCH):
            some = {str(oid): size for oid, size in items[start : start + BATCH]}
            request: dict[str, Any] = {
                "operation": operation.value,
                "transfers": list(transfers),
                "objects": [{"oid": oid, "size": size} for oid, size in some.items()],
                "hash_algo": HASH_ALGORITHM,
            }
            if ref is not None:
                request["ref"] = {"name": ref}
            answer = await self.call("POST", "/objects/batch", request, operation)
            try:
                reply = parse_reply(self._body(answer), some, self._wall_clock())
            except LFSError as error:
                raise ServerError(f"{self.endpoint.name}: {error.message}", answer.status) from None
            if reply.transfer not in transfers:
                raise ServerError(
                    f"{self.endpoint.name} transfers only by {reply.transfer[:80]!r}, which was"
                    " not offered"
                )
            found += reply.objects
            transfer = reply.transfer
        return Replied(transfer, found)

    def is_fresh(self, action: GivenAction) -> bool:
        """Whether an action can still be used."""
        return action.expires_at is None or action.expires_at > self._wall_clock() + SLACK

    async def download(
        self, answered: Answered, headers: Mapping[str, str] | None = None
    ) -> tuple[Answer, Download]:
        """Begin to download an object.

        :param answered: has a ``download`` action.
        :param headers: more of them, such as ``Range``.
        :returns: the answer's head, and the bytes; close them.
        :raises ServerError: if there are none; another comes out of the bytes.
        """
        outgoing = await self._action(answered, "download", "GET", headers or {})
        try:
            return await self._asker.fetch(outgoing)
        except ServerError as error:
            if error.status != 401 or not self._may_log_in(answered, outgoing):
                raise
        return await self._asker.fetch(await self._logged_in(outgoing))

    async def upload(self, answered: Answered, body: Callable[[], IBody], size: int) -> None:
        """Upload an object.

        :param answered: has an ``upload`` action.
        :param body: opens the bytes; called for each attempt.
        :param size: how many there are.
        :raises ServerError: if the server does not take them.
        :raises Exception: what reading them raises.
        """
        outgoing = await self._action(
            answered, "upload", "PUT", {"Content-Type": "application/octet-stream"}
        )
        answer = await self._asker.send(outgoing, body, size)
        if answer.status == 401 and self._may_log_in(answered, outgoing):
            outgoing = await self._logged_in(outgoing)
            answer = await self._asker.send(outgoing, body, size)
        if not 200 <= answer.status < 300:
            raise self._asker.refusal(outgoing, answer)

    async def verify(self, answered: Answered) -> None:
        """Let the server verify an upload, if it wants to.

        :param answered: what it has said of the object.
        :raises ServerError: if it does not find it.
        """
        if "verify" not in answered.actions:
            return
        outgoing = await self._action(answered, "verify", "POST", _JSON)
        content = msgspec.json.encode({"oid": answered.oid, "size": answered.size})
        outgoing = replace(outgoing, body=content)
        answer = await self._asker.ask(outgoing)
        if answer.status == 401 and self._may_log_in(answered, outgoing):
            answer = await self._asker.ask(await self._logged_in(outgoing))
        if not 200 <= answer.status < 300:
            raise self._asker.refusal(outgoing, answer)

    # -- what all have in common

    async def call(self, method: str, path: str, content: object, operation: Operation) -> Answer:
        """Send a request to the API, with the user's credential if the server wants one.

        :param path: below the endpoint's URL.
        :param content: becomes JSON; ``None`` for no body.
        :param operation: what it is for: SSH is asked by it.
        :returns: an answer with a status of 2xx.
        :raises ServerError: for any other.
        """
        base, told = await self._base(operation)
        body = None if content is None else msgspec.json.encode(content)
        url = f"{without_user(base)}{path}"
        headers = {**_JSON, **await self._credentials.headers(url), **told}
        outgoing = Outgoing(method, url, headers, body)
        if self.credential is not None and "authorization" not in _lower(headers):
            outgoing = _with(outgoing, self.credential)
        answer = await self._asker.ask(outgoing)
        if answer.status == 401 and told:
            # What SSH has told has expired.
            self._told.pop(operation.value, None)
            base, told = await self._base(operation)
            outgoing = replace(outgoing, headers={**outgoing.headers, **told})
            answer = await self._asker.ask(outgoing)
        elif answer.status == 401 and "authorization" not in _lower(headers):
            outgoing = await self._logged_in(outgoing)
            answer = await self._asker.ask(outgoing)
            await self._judge(answer)
        if not 200 <= answer.status < 300:
            raise self._asker.refusal(outgoing, answer)
        return answer

    async def _base(self, operation: Operation) -> tuple[str, Mapping[str, str]]:
        """Return the base URL of the API, and what SSH wants to see in requests."""
        remote = self.endpoint.ssh
        if remote is None:
            return self.endpoint.url, {}
        if operation.value not in self._told:
            url, headers = await self._blocking.run(
                authenticate, remote, operation.value, self._ask, self._directory
            )
            self._told[operation.value] = url or self.endpoint.url, headers
        return self._told[operation.value]

    async def _action(
        self, answered: Answered, name: str, method: str, headers: Mapping[str, str]
    ) -> Outgoing:
        action = answered.actions[name]
        given = _lower(action.header)
        # What the server says comes first, and must not be said twice.
        own = {key: value for key, value in headers.items() if key.lower() not in given}
        if not answered.authenticated and "authorization" not in given:
            extra = await self._credentials.headers(action.href)
            own |= {key: value for key, value in extra.items() if key.lower() not in given}
        kept = {k: v for k, v in action.header.items() if k.lower() not in _FRAMING}
        return Outgoing(method, action.href.partition("#")[0], {**own, **kept})

    def _may_log_in(self, answered: Answered, outgoing: Outgoing) -> bool:
        """Whether a 401 to an action means that the user's credential is wanted.

        Only where the endpoint itself is: a server must not collect credentials for others.
        """
        return (
            not answered.authenticated
            and "authorization" not in _lower(outgoing.headers)
            and same_origin(outgoing.url, self.endpoint.url)
        )

    async def _logged_in(self, outgoing: Outgoing) -> Outgoing:
        """Return a request with the user's credential.

        :raises ServerError: if there is none.
        """
        await self._finding.acquire()
        try:
            sent = _lower(outgoing.headers).get("authorization")
            if self.credential is not None and self.credential.authorization == sent:
                self._refused, self.credential = sent, None
            if self.credential is None:
                found = await self._credentials.fill(self.endpoint.url)
                if found is None or found.authorization == self._refused:
                    raise ServerError(
                        f"{outgoing.name}: 401, and there is no credential for it: neither the"
                        " URL nor ~/.netrc nor git's credential helpers have one that is taken",
                        401,
                    )
                self.credential = found
        finally:
            self._finding.release()
        return _with(outgoing, self.credential)

    async def _judge(self, answer: Answer) -> None:
        """Tell git's helpers whether a new credential is good."""
        credential = self.credential
        if credential is None or answer.status not in (401, *range(200, 300)):
            return
        good = answer.status != 401
        if not good:
            self._refused, self.credential = credential.authorization, None
        await self._credentials.tell(self.endpoint.url, credential, good)

    def _body(self, answer: Answer) -> bytes:
        if not answer.whole:
            raise ServerError(
                f"{self.endpoint.name}: the reply has more than {MAX_ANSWER:,} bytes",
                answer.status,
            )
        return answer.body

    def _json(self, answer: Answer) -> Mapping[str, Any]:
        try:
            reply = msgspec.json.decode(self._body(answer))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise ServerError(f"{self.endpoint.name}: the reply is no JSON object", answer.status)
        return reply


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _with(outgoing: Outgoing, credential: Credential) -> Outgoing:
    headers = {k: v for k, v in outgoing.headers.items() if k.lower() != "authorization"}
    return replace(outgoing, headers={**headers, "Authorization": credential.authorization})
