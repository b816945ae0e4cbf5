"""Does a megabyte go up and come down, in pieces too, and does the proxy let more through?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from giftless.base.http_client import Answer
from giftless.client.asking import Outgoing
from giftless.client.errors import ServerError
from giftless.commands.doctor import probe
from giftless.commands.doctor.reaching import Add
from giftless.commands.doctor.session import (
    TRANSFER_TIMEOUT,
    Session,
    is_giftless,
    told,
    words_of,
)
from giftless.commands.findings import Finding, failed, ok, skipped, warning
from giftless.lfs.batch import MEDIA_TYPE
from giftless.lfs.objects import Operation
from giftless.lfs.replies import Answered

#: How large a body is that every proxy should let through, in bytes: twice nginx's limit.
LARGE: Final = 2 * 1024 * 1024

_OCTETS: Final = {"Content-Type": "application/octet-stream"}

_NO_LIMIT: Final = (
    "lift the limit of the proxy: client_max_body_size 0; in nginx, LimitRequestBody 0 in Apache"
)

#: Statuses of a proxy, or of something else on the way.
_TOO_LARGE: Final = 413


async def send_up(session: Session, answered: Answered, add: Add) -> bool:
    """Upload the test object, unless it is there.

    :param answered: what the server says of it.
    :returns: whether it is there now.
    """
    if "upload" not in answered.actions:
        add(ok("upload", "the test object of 1 MB is there, from an earlier run"))
        return True
    try:
        answer = await _put(session, answered, probe.CONTENT)
        if 200 <= answer.status < 300 and "verify" in answered.actions:
            answer = await _verify(session, answered)
    except ServerError as error:
        add(_broken("upload", "an upload of 1 MB breaks off", error, answered, "upload"))
        return False
    if 200 <= answer.status < 300:
        add(ok("upload", "1 MB goes up"))
        return True
    if answer.status == _TOO_LARGE and words_of(answer) is None:
        add(_too_large(answer, "1 MB"))
    else:
        add(
            failed(
                "upload",
                f"an upload of 1 MB to {_host(answered, 'upload')} is answered with {told(answer)}",
                operator="look into the log of the server and of the proxy, by that status",
            )
        )
    return False


async def look_for_probe(session: Session, add: Add) -> None:
    """Ask for the test object, which is there, as the one to try downloads with."""
    try:
        (answered,) = (await session.batch(Operation.DOWNLOAD, probe.WANTED)).objects
    except ServerError as error:
        add(failed("download", f"a download cannot be prepared: {error.problem}"))
        return
    if "download" in answered.actions:
        session.present = answered
    else:
        add(
            failed(
                "download",
                f"the server has taken an object and does not give it back: {answered.message}",
                operator="look into the server's log; run giftless fsck",
            )
        )


async def bring_down(session: Session, add: Add) -> None:
    """Download the test object, or some other one, and a piece of it."""
    answered = session.present
    if answered is None:
        add(skipped("download", "the server has no object of this clone to try it with"))
        return
    limit = min(answered.size, probe.SIZE)
    try:
        request = await session.action(answered, "download", "GET", {})
        whole = await session.follow(request, limit, TRANSFER_TIMEOUT)
    except ServerError as error:
        add(_broken("download", "a download breaks off", error, answered, "download"))
        return
    if finding := _judge_download(answered, whole, limit):
        add(finding)
        return
    add(ok("download", f"{limit:,} bytes come down as they should"))
    await _bring_down_piece(session, answered, whole.body, request, add)


async def _bring_down_piece(
    session: Session, answered: Answered, known: bytes, request: Outgoing, add: Add
) -> None:
    """Ask for the second half of what was downloaded."""
    if len(known) < 2:
        add(skipped("range", "the object is too small for that"))
        return
    start, end = len(known) // 2, len(known) - 1
    headers = {**request.headers, "Range": f"bytes={start}-{end}"}
    try:
        answer = await session.follow(
            replace(request, headers=headers), len(known), TRANSFER_TIMEOUT
        )
    except ServerError as error:
        add(_broken("range", "a download in pieces breaks off", error, answered, "download"))
        return
    if answer.status == 206 and answer.body == known[start:]:
        add(ok("range", "a download that breaks off can go on"))
    elif answer.status == 206:
        add(
            failed(
                "range",
                "a piece of an object comes with other bytes than the whole: resumed downloads are"
                " broken",
                operator="look for a cache or a proxy that changes answers",
            )
        )
    elif session.giftless:
        add(
            warning(
                "range",
                f"a request for a piece is answered with {answer.status}: what breaks off begins"
                " again",
                operator="let the proxy pass on the header Range (no proxy_set_header Range, no"
                " cache without slices)",
            )
        )
    else:
        add(skipped("range", "this server sends whole objects only: what breaks off begins again"))


def _judge_download(answered: Answered, whole: Answer, limit: int) -> Finding | None:
    if whole.status != 200:
        return failed(
            "download",
            f"a download from {_host(answered, 'download')} is answered with {told(whole)}",
            operator="look into the log of the server and of the proxy, by that status",
        )
    all_of_it = whole.whole and limit == answered.size
    digest = hashlib.sha256(whole.body).hexdigest()
    if len(whole.body) != limit or (all_of_it and digest != answered.oid):
        return failed(
            "download",
            f"{len(whole.body):,} bytes come down that are not the object's: something on the way"
            " changes them, or the server's copy is damaged",
            operator="run giftless fsck; look for a proxy that compresses or scans",
        )
    return None


async def send_much(session: Session, add: Add) -> None:
    """Send a body of 2 MiB that nothing keeps, to see whether it gets through.

    To a giftless it goes where uploads go, and is not what it claims to be, so that it is
    refused when it has arrived.  To others goes a batch with that much white space.
    """
    try:
        oid = hashlib.sha256(os.urandom(32)).hexdigest()
        reply = await session.batch(Operation.UPLOAD, {oid: LARGE})
        (answered,) = reply.objects
        action = answered.actions.get("upload")
        if action is not None and is_giftless(action):
            answer = await _put(session, answered, bytes(LARGE))
            # A giftless says in words that these bytes are not what they claim to be.
            fine = answer.status < 500 and words_of(answer) is not None
            fine |= 200 <= answer.status < 300
        elif session.giftless:
            add(ok("body-limit", "large bodies go straight to the store"))
            return
        else:
            answer = await _pad(session)
            fine = answer.status == 200 or words_of(answer) is not None
    except ServerError as error:
        add(
            failed(
                "body-limit",
                f"a body of 2 MiB does not get through: {error.problem}",
                operator=f"{_NO_LIMIT}; raise its time-outs as well",
            )
        )
        return
    if answer.status == _TOO_LARGE and not fine:
        add(_too_large(answer, "2 MiB"))
    elif fine:
        add(ok("body-limit", "a body of 2 MiB gets through"))
    else:
        add(
            failed(
                "body-limit",
                f"a body of 2 MiB is answered with {told(answer)}",
                operator="look into the log of the proxy",
            )
        )


async def _pad(session: Session) -> Answer:
    content = await session.batch_of(Operation.DOWNLOAD, probe.WANTED)
    outgoing = await session.request(
        Operation.DOWNLOAD, "POST", "/objects/batch", content, session.credential
    )
    assert outgoing.body is not None, "a batch has a body"
    return await session.follow(
        replace(outgoing, body=outgoing.body.ljust(LARGE)), timeout=TRANSFER_TIMEOUT
    )


async def _put(session: Session, answered: Answered, data: bytes) -> Answer:
    outgoing = await session.action(answered, "upload", "PUT", _OCTETS)
    header = {k.lower(): v.lower() for k, v in answered.actions["upload"].header.items()}
    if header.get("transfer-encoding") == "chunked":
        return await session.send(outgoing, Chunked(data), timeout=TRANSFER_TIMEOUT)
    return await session.follow(replace(outgoing, body=data), timeout=TRANSFER_TIMEOUT)


async def _verify(session: Session, answered: Answered) -> Answer:
    headers: Mapping[str, str] = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
    outgoing = await session.action(answered, "verify", "POST", headers)
    body = msgspec.json.encode({"oid": answered.oid, "size": answered.size})
    return await session.follow(replace(outgoing, body=body))


def _too_large(answer: Answer, size: str) -> Finding:
    return failed(
        "body-limit",
        f"a proxy refuses a body of {size} ({told(answer)}): larger files cannot be pushed",
        operator=_NO_LIMIT,
    )


def _broken(check: str, what: str, error: ServerError, answered: Answered, action: str) -> Finding:
    return failed(
        check,
        f"{what}, to {_host(answered, action)}: {error.problem}",
        user="try again; look at http.proxy",
        operator="look into the log of the proxy, and at its time-outs and limits",
    )


def _host(answered: Answered, action: str) -> str:
    parts = urlsplit(answered.actions[action].href)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@implementer(IBodyProducer)
class Chunked:
    """A body that does not say how long it is."""

    length: Any = UNKNOWN_LENGTH

    def __init__(self, data: bytes) -> None:
        self._data = data

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See :class:`twisted.web.iweb.IBodyProducer`."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """See :class:`twisted.web.iweb.IBodyProducer`: all of it is on its way."""

    def resumeProducing(self) -> None:
        """See :class:`twisted.web.iweb.IBodyProducer`."""

    def stopProducing(self) -> None:
        """See :class:`twisted.web.iweb.IBodyProducer`."""
