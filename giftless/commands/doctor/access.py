"""Is the credential taken, and what does it permit?"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from giftless.base.http_client import Answer
from giftless.client.asking import without_user
from giftless.client.credentials import Credential
from giftless.client.errors import ServerError
from giftless.commands.doctor import probe
from giftless.commands.doctor.reaching import Add
from giftless.commands.doctor.session import Session, told
from giftless.commands.findings import failed, ok, skipped, warning
from giftless.commands.units import span
from giftless.lfs.objects import Operation
from giftless.lfs.replies import Answered

#: A JSON Web Token.
_JWT: Final = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)

#: Answers to a batch of who may not do that.
_REFUSED: Final = frozenset({401, 403, 404})

_ASK: Final = "give this user, or this token, the right to the repository"


async def log_in(session: Session, answer: Answer, add: Add) -> bool:
    """Look whether the server lets the user read, with a credential if it wants one.

    :param answer: that to a batch without a credential of git's helpers.
    :returns: whether it does.
    """
    if answer.status == 200:
        own = await _own_header(session)
        add(ok("credential", f"{own} is taken" if own else "reading needs no credential"))
        return True
    return await _present(session, answer, Operation.DOWNLOAD, add)


async def _present(session: Session, answer: Answer, operation: Operation, add: Add) -> bool:
    """Present a credential after a refusal, and report what comes of it.

    :returns: whether the server has taken it.
    """
    if own := await _own_header(session):
        if answer.status not in _REFUSED:
            add(_unexpected(answer))
        else:
            await _report_refusal(session, answer, own, await _secret(session), "header", add)
        return False
    if answer.status not in _REFUSED:
        add(_unexpected(answer))
        return False
    endpoint = await session.endpoint(operation)
    credential = await session.credentials.fill(endpoint.url)
    if credential is None:
        add(_none(endpoint.url, answer))
        return False
    content = await session.batch_of(operation, probe.WANTED)
    try:
        outgoing = await session.request(operation, "POST", "/objects/batch", content, credential)
        again = await session.follow(outgoing)
    except ServerError as error:
        add(failed("credential", f"there is no answer to a credential: {error.problem}"))
        return False
    if again.status == 200:
        session.credential = credential
        add(ok("credential", f"{_name(credential)} is taken"))
        return True
    if again.status not in _REFUSED:
        add(_unexpected(again))
        return False
    await _report_refusal(
        session, again, _name(credential), credential.password, credential.source, add
    )
    return False


async def _report_refusal(
    session: Session, answer: Answer, name: str, secret: str, source: str, add: Add
) -> None:
    """Say why a credential was refused, as far as that can be told."""
    token = _look_at_token(secret, session.wall_clock())
    hint = ""
    if not token and _JWT.fullmatch(secret) and "_jwt" not in name and source != "header":
        hint = " (a giftless takes a token as the password of the user _jwt)"
    host = await _host(session)
    if answer.status == 401:
        add(
            failed(
                "credential",
                f"the server refuses {name} ({told(answer)}){f'; {token}' if token else ''}",
                user=f"{'get a new token' if token else 'get one that is good'}{hint}, and"
                f" {_forget(source, host)}",
                operator="make a new token (giftless token), or look into the log for the reason",
            )
        )
    else:
        add(
            failed(
                "credential",
                f"{name} may not read this repository, or it does not exist ({told(answer)})",
                user="look whether the path in lfs.url is right; otherwise"
                f" {_forget(source, host)}",
                operator=_ASK,
            )
        )


async def ask_to_write(session: Session, add: Add) -> Answered | None:
    """Look whether the user may upload, by a batch for the test object.

    :returns: what the server says of that object; ``None`` if it takes none.
    """
    if session.read_only:
        add(skipped("write", "nothing is sent to the server, as --read-only asks for"))
        return None
    content = await session.batch_of(Operation.UPLOAD, probe.WANTED)
    try:
        answer = await session.call(Operation.UPLOAD, "POST", "/objects/batch", content)
        anonymous = session.credential is None and not await _own_header(session)
        if answer.status in _REFUSED and anonymous:
            presented = await _log_in_to_write(session, add)
            anonymous = presented is None
            answer = presented or answer
        if answer.status != 200:
            session.writable = False
            if answer.status == 401 and not anonymous:
                add(skipped("write", "whether you may write is known when the credential is good"))
            else:
                _report_read_only(answer, anonymous, add)
            return None
        (answered,) = session.reply(answer, probe.WANTED).objects
    except ServerError as error:
        add(failed("write", f"an upload cannot be prepared: {error.problem}"))
        return None
    if answered.code:
        session.writable = False
        add(
            failed(
                "write",
                f"the server takes no object of 1 MB: {answered.code}: {answered.message}",
                operator="make room, or raise the limit that it names",
            )
        )
        return None
    session.writable = True
    add(ok("write", "you may upload to this repository"))
    return answered


async def _log_in_to_write(session: Session, add: Add) -> Answer | None:
    """Ask again with a credential, where reading needs none.

    :returns: ``None`` if git has none.
    """
    endpoint = await session.endpoint(Operation.UPLOAD)
    credential = await session.credentials.fill(endpoint.url)
    if credential is None:
        return None
    content = await session.batch_of(Operation.UPLOAD, probe.WANTED)
    outgoing = await session.request(
        Operation.UPLOAD, "POST", "/objects/batch", content, credential
    )
    again = await session.follow(outgoing)
    if again.status == 401:
        await _report_refusal(
            session, again, _name(credential), credential.password, credential.source, add
        )
    elif again.status == 200:
        add(ok("credential", f"{_name(credential)} is taken"))
    if again.status != 401:
        session.credential = credential
    return again


def _report_read_only(answer: Answer, anonymous: bool, add: Add) -> None:
    if anonymous:
        add(
            skipped(
                "write",
                f"everybody may read here, but not write, and git has no credential for it"
                f" ({told(answer)})",
                user="get a credential from the server's operator if you want to push",
            )
        )
        return
    add(
        warning(
            "write",
            f"you may read, but not write: pushes are refused ({told(answer)})",
            user="use a credential that permits writing, if you want to push",
            operator=f"{_ASK}: this one permits reading only",
        )
    )


def _none(url: str, answer: Answer) -> Any:
    scheme, host = urlsplit(url).scheme, urlsplit(without_user(url)).netloc
    if answer.status != 401:
        return failed(
            "credential",
            f"the server shows nothing there to strangers ({told(answer)}), and git has no"
            " credential for it",
            user=f"look whether the path in lfs.url is right, or store a credential:"
            f" {_store(scheme, host)}",
            operator="tell the user the URL, and give a credential",
        )
    return failed(
        "credential",
        f"the server wants a credential ({told(answer)}), and git has none for {host}: neither"
        " the URL nor ~/.netrc nor a credential helper",
        user=f"ask the operator for one, and store it: {_store(scheme, host)}",
        operator="give the user a password or a token (giftless htpasswd, giftless token)",
    )


def _unexpected(answer: Answer) -> Any:
    return failed(
        "credential",
        f"a batch is answered with {told(answer)}",
        user="try again later" if answer.status == 429 else "",
        operator="look into the server's log",
    )


def _store(scheme: str, host: str) -> str:
    return (
        f"git config --global credential.helper store, then git credential approve with"
        f" protocol={scheme}, host={host}, username=… and password=…, a line each"
    )


def _forget(source: str, host: str) -> str:
    """Say how the present one is replaced."""
    if source == ".netrc":
        return f"write it into ~/.netrc at {host}"
    if source == "the URL":
        return "take the user and the password out of the URL, and let a credential helper ask"
    if source == "header":
        return "replace it: git config --get-regexp 'http.*extraheader' shows where it is set"
    scheme, _, rest = host.partition("://")
    return (
        "let git forget this one:"
        rf" printf 'protocol={scheme}\nhost={rest}\n\n' | git credential reject"
    )


async def _host(session: Session) -> str:
    base, _ = await session.base(Operation.DOWNLOAD)
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}"


def _name(credential: Credential) -> str:
    return f"the credential of {credential.user or 'nobody'} from {credential.source}"


async def _authorization(session: Session) -> str:
    """Return the ``Authorization`` that goes with every request; empty if there is none."""
    outgoing = await session.request(Operation.DOWNLOAD, "POST", "/objects/batch")
    headers: Mapping[str, str] = {name.lower(): v for name, v in outgoing.headers.items()}
    return headers.get("authorization", "")


async def _own_header(session: Session) -> str:
    """Name what is sent as ``Authorization`` whatever the server wants; empty if nothing is."""
    if not await _authorization(session):
        return ""
    endpoint = await session.endpoint(Operation.DOWNLOAD)
    return "the credential in http.extraheader" if endpoint.ssh is None else "what SSH has told"


async def _secret(session: Session) -> str:
    scheme, _, value = (await _authorization(session)).partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except ValueError:
        return ""


def _look_at_token(secret: str, now: float) -> str:
    """Say what is wrong with a JSON Web Token that can be seen; empty if that is nothing."""
    match = _JWT.fullmatch(secret)
    if match is None:
        return ""
    try:
        payload = base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4))
        claims = msgspec.json.decode(payload, type=_Claims)
        if claims.exp is not None and claims.exp <= now:
            return f"the token expired on {_date(claims.exp)}, {span(now - claims.exp)} ago"
        if claims.nbf is not None and claims.nbf > now:
            return f"the token is not good before {_date(claims.nbf)}"
    except (ValueError, OverflowError, OSError):
        pass
    return ""


class _Claims(msgspec.Struct):
    """What a token says of its time, in seconds since the epoch."""

    exp: float | None = None
    nbf: float | None = None


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
