"""Do file locks work: list, take one, release it?"""

from __future__ import annotations

import secrets
from typing import Any, Final
from urllib.parse import quote

import msgspec

from giftless.base.http_client import Answer
from giftless.client.errors import ServerError
from giftless.commands.doctor.reaching import Add
from giftless.commands.doctor.session import Session, told
from giftless.commands.findings import failed, ok, skipped, warning
from giftless.lfs.objects import Operation

#: Answers of servers that have no locks.
_NONE: Final = frozenset({404, 405, 410, 501})

#: Below which path a lock is taken; no file need be there.
_FOLDER: Final = "giftless-doctor"


async def look_at_locks(session: Session, add: Add) -> None:
    """List locks, and take one of a path that no file has, if the user may write."""
    try:
        listed = await session.call(Operation.DOWNLOAD, "GET", "/locks?limit=1")
        if listed.status in _NONE:
            add(skipped("locks", "this server has no file locks"))
            return
        if listed.status != 200 or not isinstance(_json(listed).get("locks"), list):
            add(
                warning(
                    "locks",
                    f"locks cannot be listed: {told(listed)}",
                    operator="look into the server's log",
                )
            )
            return
        if session.read_only or not session.writable:
            add(ok("locks", "locks can be listed; whether they can be taken was not tried"))
            return
        await _take(session, add)
    except ServerError as error:
        add(warning("locks", f"there is no answer about locks: {error.problem}"))


async def _take(session: Session, add: Add) -> None:
    """Take a lock and release it."""
    path = f"{_FOLDER}/{secrets.token_hex(8)}"
    content: dict[str, Any] = {"path": path}
    taken = await session.call(Operation.UPLOAD, "POST", "/locks", content)
    lock = _json(taken).get("lock")
    number = lock.get("id") if isinstance(lock, dict) else None
    if not 200 <= taken.status < 300 or not isinstance(number, str):
        if taken.status in (401, 403) and session.credential is None:
            add(skipped("locks", f"strangers may list locks, and take none ({told(taken)})"))
        elif taken.status in _NONE:
            add(skipped("locks", "this server has no file locks"))
        else:
            add(
                warning(
                    "locks",
                    f"no lock can be taken: {told(taken)}",
                    operator="look into the server's log, and at what this user may do",
                )
            )
        return
    unlock = f"/locks/{quote(number, safe='')}/unlock"
    released = await session.call(Operation.UPLOAD, "POST", unlock, {"force": False})
    if 200 <= released.status < 300:
        add(ok("locks", "a lock was taken and released"))
    else:
        add(
            failed(
                "locks",
                f"a lock of {path} was taken, and cannot be released: {told(released)}",
                user=f"release it: git lfs unlock --force --id={number}",
                operator="look into the server's log; let the proxy pass on POST requests",
            )
        )


def _json(answer: Answer) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
