"""Make the object of an upload: nobody sees it before its bytes are known to be right."""

from __future__ import annotations

from giftless.base.bodies import VerifiedBody
from giftless.base.whole_object import WholeObject
from giftless.interfaces import IBody, IReadableStore, Payload
from giftless.lfs.objects import MAX_SIZE, Extras
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.resumable.bodies import Joined
from giftless.storage.remote.resumable.staged import Staged
from giftless.storage.remote.versions import is_same
from giftless.storage.remote.writing import put_at_once


async def make_object(
    staged: Staged, store: IReadableStore, payload: Payload, extras: Extras, verified: bool
) -> None:
    """Make the object of all that has come.

    :param store: reads back what is staged.
    :param payload: what the bytes must be.
    :param verified: whether somebody has seen all of them go by since the upload was claimed.
    :raises WrongBody: if they are not those.
    :raises StoreError: if the store does not do it, or what it had is gone.
    """
    if staged.found.plan.count == 1:
        await _store_pieces(staged, payload, extras)
    else:
        await _copy_whole(staged, store, payload, extras, verified)


async def _store_pieces(staged: Staged, payload: Payload, extras: Extras) -> None:
    """Store the object anew: it is small."""
    pieces = Joined(staged.container, staged.staging, staged.found.row)
    try:
        body = _verified(staged, pieces, payload)
        await put_at_once(staged.container, staged.key, payload, body, extras)
    finally:
        pieces.close()


async def _copy_whole(
    staged: Staged, store: IReadableStore, payload: Payload, extras: Extras, verified: bool
) -> None:
    """Let the store make one object of the parts, and copy it when it is known to be right.

    Another daemon, which does not know of this one, may replace that object at any time: so
    only the version is copied that was looked at.
    """
    container, whole = staged.container, staged.staging.whole
    own_tag = "" if staged.found.whole else await _complete(staged, extras)
    version = await container.version(whole)
    if version is None or version.size != staged.found.plan.size:
        raise StoreError("what was uploaded is gone, or has been changed by somebody else")
    staged.found.whole = True
    # Without a digest there is nothing to compare.
    if payload.sha256 is not None and not (verified and is_same(own_tag, version.tag)):
        await _read_back(staged, store, payload)
    if not await container.copy(whole, staged.key, tag=version.tag):
        raise StoreError("what was uploaded has been replaced while it was looked at")


async def _complete(staged: Staged, extras: Extras) -> str:
    """Make one object of the parts, where an upload lies.

    :returns: its tag if it is made of the very parts that this process has sent; otherwise,
        or if the store does not say, nothing.
    """
    container, whole, found = staged.container, staged.staging.whole, staged.found
    upload = found.upload
    assert upload is not None, "all bytes have come"
    parts = await container.find_parts(whole, upload)
    if parts is None or found.plan.missing({n: part.size for n, part in parts.items()}):
        # Another daemon may have done it.
        return ""
    wanted = {part.number: parts[part.number] for part in found.plan}
    tag = await container.complete_upload(whole, upload, wanted, extras, True)
    return tag if tag and staged.has_sent(wanted) else ""


async def _read_back(staged: Staged, store: IReadableStore, payload: Payload) -> None:
    whole = WholeObject(store, staged.staging.whole, staged.container.client.clock)
    body = _verified(staged, whole, payload)
    try:
        while await body.read():
            pass
    except OSError as error:
        raise StoreError(f"what was uploaded could not be read back: {error}") from error
    finally:
        whole.close()


def _verified(staged: Staged, body: IBody, payload: Payload) -> VerifiedBody:
    return VerifiedBody(body, payload.sha256, payload.length, MAX_SIZE, staged.context.blocking)
