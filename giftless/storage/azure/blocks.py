"""Blobs made of blocks: parts are Azure's uncommitted blocks.

As in the reference of Azure's Blob service, "Put Block", "Get Block List" and
"Put Block List".  Blocks belong to their blob and not to an upload, so there
is nothing to begin, and everybody who uploads an object adds to the same
blocks.  What a block is of is told by its id.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from giftless.base.concurrency import for_each
from giftless.base.http_client import Answer
from giftless.interfaces import PartUpload
from giftless.lfs.multipart import Part, PartLimits
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.azure import answers
from giftless.storage.azure.blobs import ABSENT, BlobContainer
from giftless.storage.azure.headers import DISCARDED_HEADER, kept_headers
from giftless.storage.azure.signing import Grant
from giftless.storage.remote.client import MAX_ANSWER, Request, StoreError
from giftless.storage.remote.container import FoundPart, Parts
from giftless.storage.remote.versions import tag_of

#: The most that a block list is read of, in bytes: a blob has up to 100,000
#: uncommitted blocks.
MAX_LIST: Final = 16 * 1024**2

#: How long the making of a blob may take, in seconds, when tried again
#: included.  Azure itself gives up after one minute.
COMMIT_TIMEOUT: Final = 150.0

#: What Azure says if a blob is there that should not be, or if blocks are not
#: there (any more).
_EXISTS: Final = frozenset({"BlobAlreadyExists", "ConditionNotMet"})
_GONE: Final = frozenset({"InvalidBlockList"})

#: How large a block may be, in bytes.
MAX_PART: Final = 4000 * 1024**2

#: The numbers of uploads that stand apart.
_APART: Final = range(MAX_PART + 1, 2**32)

_BLOCK: Final = re.compile(rb"<Name>([^<]*)</Name>\s*<Size>(\d+)</Size>")
_OUR_ID: Final = re.compile(rb"giftless([0-9a-f]{8})([0-9a-f]{5})")


def block_id(group: int, number: int) -> str:
    """Return the id of a part's block, all of the same length, as Azure demands.

    It has nothing that must be percent-encoded.

    :param group: which blocks belong together: the size of the plan's parts, in bytes, or
        the number of an upload that stands apart.
    """
    return base64.b64encode(b"giftless%08x%05x" % (group, number)).decode()


def read_block_id(text: bytes) -> tuple[int, int] | None:
    """Return the group and the part's number that :func:`block_id` was given.

    :returns: ``None`` if the id is another tool's.
    """
    try:
        found = _OUR_ID.fullmatch(base64.b64decode(text, validate=True))
    except binascii.Error:
        return None
    return found and (int(found[1], 16), int(found[2], 16))


class BlockContainer(BlobContainer):
    """A container of block blobs, that are uploaded in one piece or in parts."""

    part_limits = PartLimits(1, MAX_PART, 50_000)

    async def find_uploads(self, key: ObjectKey) -> Sequence[str]:
        """See :meth:`giftless.storage.remote.container.Container.find_uploads`: the only one."""
        return [""]

    async def create_upload(self, key: ObjectKey, extras: Extras, apart: bool = False) -> str:
        """See :meth:`giftless.storage.remote.container.Container.create_upload`: it is there.

        One that stands apart has blocks of its own, told by a number that is no part size.
        """
        return f"{secrets.choice(_APART):x}" if apart else ""

    async def find_parts(self, key: ObjectKey, upload: PartUpload) -> Parts | None:
        """See :meth:`giftless.storage.remote.container.Container.find_parts`."""
        answer = await self._list(key, MAX_LIST)
        if answers.error_code(answer) == ABSENT:
            return {}
        if answer.status != 200:
            raise answers.describe(answer)
        if not answer.whole:
            raise StoreError("the blob has too many uncommitted blocks")
        found = await for_each(_read_block, _BLOCK.finditer(answer.body), self._clock)
        group = _group(upload)
        return {number: part for of_group, number, part in found if of_group == group}

    async def _list(self, key: ObjectKey, limit: int) -> Answer:
        async def prepare() -> Request:
            query = "comp=blocklist&blocklisttype=uncommitted"
            return await self._request("GET", key, Grant("r"), {}, query)

        return await self.client.ask(prepare, limit=limit)

    # -- parts

    async def sign_parts(
        self, key: ObjectKey, upload: PartUpload, parts: Sequence[Part], lifetime: int
    ) -> Sequence[Action]:
        """See :meth:`giftless.storage.remote.container.Container.sign_parts`.

        One signature serves all blocks of a blob.  Azure wants the permission
        to write for them; there is none that is for blocks alone.  Which
        version of the service is spoken stands in the signature, so there are
        no headers to send.
        """
        url, expires = await self._sign(self._place.public_url, key, Grant("w"), lifetime)

        def action(part: Part) -> Action:
            return Action(f"{url}&{_block_query(upload, part)}", None, expires)

        return await for_each(action, parts, self._clock)

    async def part_request(self, key: ObjectKey, upload: PartUpload, part: Part) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.part_request`."""
        return await self._request("PUT", key, Grant("w"), {}, _block_query(upload, part))

    # -- the end

    async def complete_upload(
        self, key: ObjectKey, upload: PartUpload, parts: Parts, extras: Extras, replace: bool
    ) -> str | None:
        """See :meth:`giftless.storage.remote.container.Container.complete_upload`.

        Only uncommitted blocks are taken: once they have become a blob, no
        second request finds them.
        """
        group = _group(upload)
        ids = await for_each(lambda number: block_id(group, number), sorted(parts), self._clock)
        answer = await self._write(key, ids, kept_headers(extras), replace)
        if answer.status != 201 and answers.error_code(answer) not in _EXISTS | _GONE:
            raise answers.describe(answer)
        return tag_of(answer) if answer.status == 201 else None

    async def abort_upload(self, key: ObjectKey, upload: PartUpload) -> None:
        """See :meth:`giftless.storage.remote.container.Container.abort_upload`.

        Azure discards blocks after a week, or when their blob is written.  So
        an empty one is written, if there is none, and removed, if it is still
        that one.  Were the daemon to end in between, whoever next asks for the
        object would remove it (:meth:`facts`).
        """
        answer = await self._list(key, MAX_ANSWER)
        if answers.error_code(answer) == ABSENT:
            return
        answer = await self._write(key, [], {DISCARDED_HEADER: "true"}, False)
        if answer.status == 201:
            await self._discard(key, answer)
        elif answers.error_code(answer) in _EXISTS:
            # An object, which stays; or an empty blob of an earlier attempt.
            await self.facts(key, False)
        else:
            raise answers.describe(answer)

    async def _write(
        self, key: ObjectKey, ids: Iterable[str], headers: Mapping[str, str], replace: bool
    ) -> Answer:
        """Make a blob of blocks; all its other blocks are discarded."""
        blocks = "".join(f"<Uncommitted>{name}</Uncommitted>" for name in ids)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()
        headers = {"content-type": "application/xml", **headers}
        if not replace:
            headers["if-none-match"] = "*"

        async def prepare() -> Request:
            return await self._request("PUT", key, Grant("cw"), headers, "comp=blocklist", body)

        return await self.client.ask(prepare, COMMIT_TIMEOUT)


def _block_query(upload: PartUpload, part: Part) -> str:
    return f"comp=block&blockid={block_id(_group(upload), part.number)}"


def _group(upload: PartUpload) -> int:
    """Return what the ids of an upload's blocks begin with."""
    return int(upload.id, 16) if upload.id else upload.plan.part_size


def _read_block(match: re.Match[bytes]) -> tuple[int, int, FoundPart]:
    """Return the group and the number that a listed block is of: zeros if another tool's."""
    group, number = read_block_id(match[1]) or (0, 0)
    return group, number, FoundPart(int(match[2]))
