"""The replies of ``git-lfs-transfer``.

A reply is a line with a status, as HTTP has them, lines with arguments, and a flush.
Behind the arguments there may be a delim and more lines: an error has its words there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from giftless.errors import LFSError
from giftless.lfs.batch import HASH_ALGORITHM, BatchReply, ObjectReply
from giftless.lfs.locks import Lock, PathLocked
from giftless.lfs.ssh.pkt_lines import DELIM, FLUSH, text_packet, text_packets

#: How many characters of the reason stand where an object is refused.
_REASON: Final = 500


def render_welcome(locking: bool) -> bytes:
    """Render what the server says first.

    :param locking: whether it has locks.
    """
    return text_packets(["version=1", *(["locking"] if locking else [])]) + FLUSH


def render_done(status: int = 200) -> bytes:
    """Render the reply to what has succeeded and has no more to say."""
    return text_packet(f"status {status}") + FLUSH


def render_error(error: LFSError) -> bytes:
    """Render the reply to what is refused or has failed.

    git-lfs crashes on a refused lock without words, and on one that somebody else has
    without the lock itself.
    """
    arguments = _arguments(error.lock) if isinstance(error, PathLocked) else []
    head = text_packets([f"status {error.code}", *arguments])
    return head + DELIM + text_packet(error.message) + FLUSH


def render_batch(reply: BatchReply) -> bytes:
    """Render the reply to a batch: a line for each action of each object.

    The protocol has no errors of single objects.  ``noop`` would say that the server has an
    object which it refuses to take, or that one which is missing need not be fetched:
    git-lfs would succeed without it.  So a refused object has an oid that nobody has
    asked for, and the reason in it: git-lfs shows that, fails, and goes on with the
    others.
    """
    head = text_packets(["status 200", f"hash-algo={HASH_ALGORITHM}"])
    lines = (line for item in reply.objects for line in _batch_lines(item))
    return head + DELIM + text_packets(lines) + FLUSH


def _batch_lines(item: ObjectReply) -> Iterator[str]:
    if item.error is not None:
        reason = "_".join(item.error.message.split())[:_REASON]
        yield f"{item.oid}:_{reason} {item.size} noop"
        return
    if not item.actions:
        yield f"{item.oid} {item.size} noop"
        return
    for name in item.actions:
        yield f"{item.oid} {item.size} {name}"


def render_object_head(size: int) -> bytes:
    """Render what stands in front of the bytes of an object.

    :param size: how many they are; a flush ends them.
    """
    return text_packets(["status 200", f"size={size}"]) + DELIM


def render_lock(status: int, lock: Lock) -> bytes:
    """Render the reply to a lock that was made (201) or removed (200)."""
    return text_packets([f"status {status}", *_arguments(lock)]) + FLUSH


def render_locks(locks: Iterable[tuple[Lock, bool]], next_cursor: str | None) -> bytes:
    """Render a page of a list of locks.

    :param locks: each, and whether it is the client's own.
    :param next_cursor: where the next page begins; ``None`` if this is the last.
    """
    more = [] if next_cursor is None else [f"next-cursor={next_cursor}"]
    lines = (line for lock, ours in locks for line in _lock_lines(lock, ours))
    return text_packets(["status 200", *more]) + DELIM + text_packets(lines) + FLUSH


def _lock_lines(lock: Lock, ours: bool) -> Iterator[str]:
    yield f"lock {lock.id}"
    yield f"path {lock.id} {lock.path}"
    yield f"locked-at {lock.id} {lock.time}"
    yield f"ownername {lock.id} {lock.owner}"
    yield f"owner {lock.id} {'ours' if ours else 'theirs'}"


def _arguments(lock: Lock) -> list[str]:
    return [
        f"id={lock.id}",
        f"path={lock.path}",
        f"locked-at={lock.time}",
        f"ownername={lock.owner}",
    ]
