"""One container of blobs: its requests, signed, and what it can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import Answer
from giftless.errors import ConfigError
from giftless.interfaces import ObjectFacts, Payload, WallClock
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.azure import answers
from giftless.storage.azure.credentials import SigningKey
from giftless.storage.azure.headers import (
    DAMAGE_HEADER,
    DISCARDED_HEADER,
    EXTRAS_HEADER,
    upload_headers,
)
from giftless.storage.azure.layout import BlobLayout, Place
from giftless.storage.azure.signing import VERSION, Grant, sign_access
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.container import CHECK_TIMEOUT, PROBE, Container, Layout
from giftless.storage.remote.credentials import Refreshing
from giftless.storage.remote.listing import MAX_LIST, EntryPage, wrong_cursor
from giftless.storage.remote.metadata import (
    content_type,
    decode_extras,
    decode_reason,
    disposition,
    encode_reason,
)
from giftless.storage.remote.urls import encode_path, shown_url

#: The largest object that one Put Blob takes, in bytes: 5,000 MiB.
MAX_PUT: Final = 5000 * 1024**2

#: For how long the daemon signs its own requests, in seconds.
OWN_LIFETIME: Final = 900

#: What Azure says of a blob that is absent while its container is there.
ABSENT: Final = "BlobNotFound"


class BlobContainer(Container):
    """A container of block blobs, each of which is uploaded in one piece.

    :class:`~giftless.storage.azure.blocks.BlockContainer` makes blobs of blocks, too.

    :param place: where it is.
    :param layout: where objects lie in it.
    :param keys: what signs.
    :param client: asks it.
    :param clock: runs timers.
    :param wall_clock: dates signatures.
    """

    max_put = MAX_PUT
    _place: Place

    def __init__(
        self,
        place: Place,
        layout: Layout,
        keys: Refreshing[SigningKey],
        client: StoreClient,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        super().__init__(place, BlobLayout(layout.prefix), client, clock)
        self._wall_clock = wall_clock
        self._keys = keys

    # -- existence

    async def facts(self, key: ObjectKey, thorough: bool) -> ObjectFacts | None:
        """See :meth:`giftless.storage.remote.container.Container.facts`.

        Azure keeps no SHA-256, so ``thorough`` makes no difference.
        """
        found = await self._find(key)
        return None if found is None else self._facts_of(found)

    async def _find(self, key: ObjectKey) -> Answer | None:
        """Return the answer to HEAD, of which :meth:`_facts_of` makes facts; see :meth:`facts`."""
        answer = await self._look(key)
        if answer.status == 404 and answers.error_code(answer) == ABSENT:
            return None
        length = answer.headers.get("content-length", "")
        if answer.status != 200 or not length.isdecimal():
            raise answers.describe(answer)
        copied = answers.copy_status(answer)
        if (length == "0" and DISCARDED_HEADER in answer.headers) or copied in answers.FAILED:
            await self._discard(key, answer)
            return None
        return answer if copied == "success" else None

    def _facts_of(self, found: Answer) -> ObjectFacts:
        extras = decode_extras(found.headers.get(EXTRAS_HEADER, ""))
        damage = decode_reason(found.headers.get(DAMAGE_HEADER))
        return ObjectFacts(int(found.headers["content-length"]), None, extras, damage)

    async def _look(self, key: ObjectKey, timeout: float | None = None) -> Answer:
        async def prepare() -> Request:
            return await self._request("HEAD", key, Grant("r"), {})

        return await self.client.ask(prepare, timeout)

    # -- for clients

    async def sign_upload(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool
    ) -> Action:
        """See :meth:`giftless.storage.remote.container.Container.sign_upload`.

        Who may create and not write cannot replace what is there.
        """
        grant = Grant("cw" if replace else "c")
        href, expires = await self._sign(self._place.public_url, key, grant, lifetime)
        return Action(href, upload_headers(extras), expires)

    async def sign_download(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """See :meth:`giftless.storage.remote.container.Container.sign_download`."""
        grant = Grant("r")
        if (wanted := disposition(extras)) is not None:
            grant = Grant("r", wanted, content_type(extras))
        href, expires = await self._sign(self._place.public_url, key, grant, lifetime)
        return Action(href, None, expires)

    # -- for the daemon

    async def put_request(
        self, key: ObjectKey, payload: Payload, extras: Extras, create: bool = False
    ) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.put_request`.

        The daemon has read the bytes and may replace what is there.
        """
        headers = upload_headers(extras)
        if create:
            headers["if-none-match"] = "*"
        return await self._request("PUT", key, Grant("cw"), headers)

    async def get_request(self, key: ObjectKey, start: int, end: int) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.get_request`."""
        headers = {"x-ms-version": VERSION, "x-ms-range": f"bytes={start}-{end - 1}"}
        return await self._request("GET", key, Grant("r"), headers)

    async def mark(self, key: ObjectKey, reason: str) -> None:
        """See :meth:`giftless.storage.remote.container.Container.mark`: "Set Blob Metadata"."""
        found = await self._look(key)
        if found.status == 404 and answers.error_code(found) == ABSENT:
            return
        if found.status != 200:
            raise answers.describe(found)
        kept = {name: text for name, text in found.headers.items() if name == EXTRAS_HEADER}
        headers = {
            **kept,
            DAMAGE_HEADER: encode_reason(reason),
            # Another object is another matter.
            "If-Match": found.headers.get("etag", ""),
        }

        async def prepare() -> Request:
            return await self._request("PUT", key, Grant("w"), headers, "comp=metadata")

        answer = await self.client.ask(prepare)
        if answer.status not in (200, 404, 412):
            raise answers.describe(answer)

    async def delete(self, key: ObjectKey) -> None:
        """See :meth:`giftless.storage.remote.container.Container.delete`."""
        answer = await self._remove(key, {})
        if answer.status != 202 and answers.error_code(answer) != ABSENT:
            raise answers.describe(answer)

    async def _remove(
        self, key: ObjectKey, headers: Mapping[str, str], timeout: float | None = None
    ) -> Answer:
        async def prepare() -> Request:
            return await self._request("DELETE", key, Grant("d"), headers)

        return await self.client.ask(prepare, timeout)

    async def _discard(self, key: ObjectKey, found: Answer) -> None:
        """Remove a blob that is no object, unless it has become one.

        :param found: what Azure said of it.
        """
        answer = await self._remove(key, {"If-Match": found.headers.get("etag", "")})
        if answer.status not in (202, 404, 412):
            raise answers.describe(answer)

    async def list_entries(
        self, prefix: str, nested: bool, marker: str | None, limit: int, after: str = ""
    ) -> EntryPage:
        """See :meth:`giftless.storage.remote.container.Container.list_entries`.

        By "List Blobs".  Blobs that an abort or a copy has left behind are left out.
        """
        asked = {
            "restype": "container",
            "comp": "list",
            "include": "metadata,copy",
            "prefix": prefix,
            "maxresults": str(limit),
        }
        if not nested:
            asked["delimiter"] = "/"
        if marker is not None:
            asked["marker"] = marker
        query = urlencode({name: value for name, value in asked.items() if value}, quote_via=quote)

        async def prepare() -> Request:
            return await self._request("GET", None, Grant("l"), {}, query)

        answer = await self.client.ask(prepare, limit=MAX_LIST)
        code = answers.error_code(answer)
        if answer.status == 400 and marker is not None and code in answers.WRONG_MARKER:
            raise wrong_cursor()
        if answer.status != 200:
            raise answers.describe(answer)
        return answers.read_list(answer)

    def is_absent(self, answer: Answer) -> bool:
        """See :meth:`giftless.storage.remote.container.Container.is_absent`."""
        return answers.error_code(answer) == ABSENT

    def problem(self, answer: Answer) -> StoreError:
        """See :meth:`giftless.storage.remote.container.Container.problem`."""
        return answers.describe(answer)

    async def _request(
        self,
        method: str,
        key: ObjectKey | None,
        grant: Grant,
        headers: Mapping[str, str],
        query: str = "",
        body: bytes | None = None,
    ) -> Request:
        """Make a request of the daemon's own.

        :param key: the object; ``None`` for the container.
        :param query: what stands behind the signature in the URL: which
            operation it is, if not the one on the whole blob.
        """
        url, _ = await self._sign(self._place.url, key, grant, OWN_LIFETIME)
        if query:
            url += f"&{query}"
        return Request(method, url, {"x-ms-version": VERSION, **headers}, body)

    async def _sign(
        self, container_url: str, key: ObjectKey | None, grant: Grant, lifetime: int
    ) -> tuple[str, int]:
        """Sign access to an object, or to the container.

        :returns: the URL, and for how many seconds it is good.
        """
        url, path = container_url, self._place.container
        if key is not None:
            name = self.layout.name(key)
            url, path = f"{url}/{encode_path(name)}", f"{path}/{name}"
        signing = await self._keys.get()
        now = self._wall_clock()
        if signing.expiry is not None:
            lifetime = max(1, min(lifetime, int(signing.expiry - now)))
        query = sign_access(
            signing.value,
            self._place.account,
            path,
            grant,
            now + lifetime,
            container_url.startswith("https:"),
        )
        return f"{url}?{query}", lifetime

    # -- beforehand

    async def check(self) -> None:
        """See :meth:`giftless.storage.remote.container.Container.check`.

        It asks for an object that is absent, tries to upload it on a
        condition that is never met, and to delete it; nothing is left behind.
        """
        try:
            await self._keys.get()
        except StoreError as error:
            raise ConfigError(self._place.credential, error.problem) from error
        try:
            answer = await self._look(PROBE, CHECK_TIMEOUT)
            if answer.status != 200 and answers.error_code(answer) != ABSENT:
                raise self._blame(answer, "read")
            answer = await self._try_upload()
            if answer.status != 412 and answers.error_code(answer) != ABSENT:
                raise self._blame(answer, "create")
            answer = await self._remove(PROBE, {}, CHECK_TIMEOUT)
            if answer.status != 202 and answers.error_code(answer) != ABSENT:
                raise self._blame(answer, "delete")
        except StoreError as error:
            raise ConfigError(
                "endpoint_url",
                f"nothing can be had from {shown_url(self._place.url)}: {error.problem}",
            ) from error

    async def _try_upload(self) -> Answer:
        async def prepare() -> Request:
            headers = {**upload_headers({}), "If-Match": '"0x0"'}
            return await self._request("PUT", PROBE, Grant("cw"), headers)

        return await self.client.ask(prepare, CHECK_TIMEOUT)

    def _blame(self, answer: Answer, verb: str) -> ConfigError:
        """Say which option an answer is about."""
        code = answers.error_code(answer)
        where = f"(at {shown_url(self._place.url)})"
        if not code:
            return ConfigError(
                "endpoint_url",
                f"what answers at {shown_url(self._place.url)} (status {answer.status}) is no"
                " Azure Blob service",
            )
        if code in answers.MEANINGS:
            option, problem = answers.MEANINGS[code]
            if option == "credential":
                option = self._place.credential
            return ConfigError(option, f"{problem} {where}")
        if answer.status == 403:
            return ConfigError(
                self._place.credential,
                f"the credential may not {verb} blobs; an identity needs the role"
                f" 'Storage Blob Data Contributor' {where}",
            )
        return ConfigError("", f"{answers.describe(answer).problem} {where}")
