"""A bucket with the XML API that S3 and Cloud Storage share.

As in Amazon S3's API reference and Cloud Storage's ("XML API overview").
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import Answer
from giftless.errors import ConfigError
from giftless.interfaces import ObjectFacts
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.remote.client import MAX_ANSWER, Request, StoreClient, StoreError
from giftless.storage.remote.container import (
    CHECK_TIMEOUT,
    PROBE,
    Container,
    Layout,
    Place,
)
from giftless.storage.remote.credentials import Expiring, Refreshing
from giftless.storage.remote.listing import MAX_LIST, Entry, EntryPage, wrong_cursor
from giftless.storage.remote.metadata import (
    content_type,
    decode_extras,
    decode_reason,
    disposition,
    encode_extras,
)
from giftless.storage.remote.urls import shown_url
from giftless.storage.remote.xml_answers import document, error_code, flag, instant, number, text

#: How long the bucket's existence is believed, in seconds, and from when on it
#: is looked for again in the background.
BUCKET_BELIEVED: Final = 300.0
BUCKET_RENEWED: Final = 60.0


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a vendor calls the permissions that a bucket must give.

    :ivar read: to read objects, and to be told which are absent.
    :ivar write: to upload objects.
    :ivar delete: to delete them, and what is staged of those that come bit by bit.
    :ivar list_uploads: to list the uploads in parts of a bucket.
    :ivar list_parts: to list the parts of one.
    :ivar abort_upload: to abort one.
    :ivar create_upload: to begin and complete one.
    """

    read: str
    write: str
    delete: str
    list_uploads: str
    list_parts: str
    abort_upload: str
    create_upload: str


@dataclass(frozen=True, slots=True)
class XmlPlace(Place):
    """Where a bucket is.

    :ivar bucket: its name.
    """

    bucket: str


class XmlBucket(Container):
    """A bucket, of which a vendor says how requests are made and authorised.

    :param place: where it is.
    :param layout: where objects lie in it.
    :param client: asks it.
    :param clock: tells the time.
    :cvar vendor: what the store is called in messages.
    :cvar permissions: what ``--check`` says is missing.
    :cvar meanings: what the code of an error says about the configuration: the
        option (empty: the credential's), and what is wrong with it.
    :cvar extras_header: the metadata that holds an object's ``x-*`` members.
    :cvar max_extras: the most characters that it may have.
    :cvar prefix: what the names of the vendor's own headers begin with.
    :cvar max_copy: how large an object may be that is copied at once, in bytes.
    :cvar digest_headers: what asks for an object's checksum, beside its size.
    """

    vendor: str
    permissions: Permissions
    meanings: Mapping[str, tuple[str, str]]
    extras_header: str
    max_extras: int
    prefix: str
    max_copy: int
    lists_after = True
    _place: XmlPlace
    digest_headers: Mapping[str, str] = {}

    def __init__(
        self, place: Place, layout: Layout, client: StoreClient, clock: IReactorTime
    ) -> None:
        super().__init__(place, layout, client, clock)
        self._existence = Refreshing(
            self._look_for_bucket, clock, clock.seconds, f"{self.vendor} bucket"
        )

    # -- what a vendor brings

    @abstractmethod
    async def _request(
        self,
        method: str,
        key: ObjectKey | None,
        headers: Mapping[str, str],
        parameters: Mapping[str, str],
        body: bytes | None,
    ) -> Request:
        """Make a request of the daemon's own.

        :param key: the object; ``None`` for the bucket.
        :param parameters: the query, not encoded.
        :param body: ``None`` if it is sent by somebody else.
        """

    @abstractmethod
    async def _presign(
        self,
        method: str,
        bucket: str,
        key: ObjectKey,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime: int,
    ) -> tuple[str, int]:
        """Sign a request that somebody else sends.

        :param bucket: the bucket's URL.
        :param parameters: the query, not encoded.
        :param headers: what must be sent with it.
        :param lifetime: the most seconds that it should be good for.
        :returns: the URL, and for how many seconds it is good.
        """

    @abstractmethod
    def _is_from_store(self, answer: Answer) -> bool:
        """Whether an answer bears the marks of the store itself, not of a server between."""

    @abstractmethod
    async def _check_credentials(self) -> None:
        """Try whether there are credentials.

        :raises ConfigError: naming the option that is wrong.
        """

    @abstractmethod
    async def _check_writing(self) -> None:
        """Try an upload that the store must refuse, so that nothing is left behind.

        :raises ConfigError: naming the option that is wrong.
        """

    @abstractmethod
    async def _check_uploads(self) -> None:
        """Try what uploads in parts need.

        :raises ConfigError: naming the option that is wrong.
        """

    @property
    def _credential_option(self) -> str:
        """The option that an error about the credential names."""
        return ""

    def _length_of(self, answer: Answer) -> str:
        """Return what an answer to HEAD says of the object's size."""
        return answer.headers.get("content-length", "")

    def _sha256_of(self, answer: Answer) -> str | None:
        """Return the object's SHA-256 in hexadecimal, if an answer to HEAD tells it."""
        return None

    # -- existence

    async def facts(self, key: ObjectKey, thorough: bool) -> ObjectFacts | None:
        """See :meth:`giftless.storage.remote.container.Container.facts`."""
        found = await self._look(key, thorough)
        return None if found is None else self._facts_of(found)

    async def _look(self, key: ObjectKey, thorough: bool) -> Answer | None:
        """Return the answer to HEAD, of which :meth:`_facts_of` makes facts; see :meth:`facts`."""
        answer = await self._ask("HEAD", key, self.digest_headers if thorough else None)
        if answer.status == 404:
            await self._confirm_absence(key, answer)
            return None
        if answer.status != 200 or not self._length_of(answer).isdecimal():
            raise self.problem(answer)
        return answer

    def _facts_of(self, found: Answer) -> ObjectFacts:
        extras = decode_extras(found.headers.get(self.extras_header, ""))
        damage = decode_reason(found.headers.get(self._damage_header))
        return ObjectFacts(int(self._length_of(found)), self._sha256_of(found), extras, damage)

    @property
    def _damage_header(self) -> str:
        return f"{self.prefix}meta-giftless-damaged"

    async def _confirm_absence(self, key: ObjectKey, answer: Answer) -> None:
        """Make sure that a 404 means the object, and comes from the store.

        An answer to HEAD has no body that says so.

        :raises StoreError: if it does not.
        """
        await self._existence.get()
        if not self._is_from_store(answer):
            await self._find_absent(key)

    async def _look_for_bucket(self) -> Expiring[None]:
        await self._find_absent(PROBE)
        now = self._clock.seconds()
        return Expiring(None, now + BUCKET_BELIEVED, now + BUCKET_RENEWED)

    def is_absent(self, answer: Answer) -> bool:
        """See :meth:`giftless.storage.remote.container.Container.is_absent`."""
        return error_code(answer) == "NoSuchKey"

    async def _find_absent(self, key: ObjectKey) -> None:
        answer = await self._ask("GET", key, {"range": "bytes=0-0"})
        if error_code(answer) != "NoSuchKey":
            raise self.problem(answer)

    # -- what is kept beside an object

    def _creation_headers(self, extras: Extras) -> dict[str, str]:
        """Return the headers that an upload begins with."""
        headers = {"Content-Type": content_type(extras)}
        if (wanted := disposition(extras)) is not None:
            headers["Content-Disposition"] = wanted
        if kept := encode_extras(extras, self.max_extras):
            headers[self.extras_header] = kept
        return headers

    # -- for clients

    async def sign_download(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """See :meth:`giftless.storage.remote.container.Container.sign_download`."""
        parameters = {}
        if (wanted := disposition(extras)) is not None:
            parameters = {
                "response-content-disposition": wanted,
                "response-content-type": content_type(extras),
            }
        href, expires = await self._presign(
            "GET", self._place.public_url, key, parameters, {}, lifetime
        )
        return Action(href, None, expires)

    # -- asking

    async def _ask(
        self,
        method: str,
        key: ObjectKey | None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        timeout: float | None = None,
        limit: int = MAX_ANSWER,
    ) -> Answer:
        async def prepare() -> Request:
            return await self._request(method, key, headers or {}, parameters or {}, b"")

        return await self.client.ask(prepare, timeout, limit)

    async def get_request(self, key: ObjectKey, start: int, end: int) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.get_request`."""
        return await self._request("GET", key, {"range": f"bytes={start}-{end - 1}"}, {}, b"")

    async def delete(self, key: ObjectKey) -> None:
        """See :meth:`giftless.storage.remote.container.Container.delete`."""
        answer = await self._ask("DELETE", key)
        if not _is_deleted(answer):
            raise self.problem(answer)

    async def list_entries(
        self, prefix: str, nested: bool, marker: str | None, limit: int, after: str = ""
    ) -> EntryPage:
        """See :meth:`giftless.storage.remote.container.Container.list_entries`.

        By "ListObjectsV2".  What lies deeper than one delimiter is skipped by
        the store itself.
        """
        asked = {
            "list-type": "2",
            "prefix": prefix,
            "max-keys": str(limit),
            # Names may have characters that XML cannot have.
            "encoding-type": "url",
        }
        if not nested:
            asked["delimiter"] = "/"
        if marker is not None:
            asked["continuation-token"] = marker
        elif after:
            asked["start-after"] = after
        answer = await self._ask("GET", None, {}, asked, limit=MAX_LIST)
        if answer.status == 400 and marker is not None and error_code(answer) == "InvalidArgument":
            raise wrong_cursor()
        if answer.status != 200:
            raise self.problem(answer)
        listed = document(answer, "ListBucketResult")
        # A store that does not know this parameter does not repeat it.
        decode = unquote_plus if text(listed, "EncodingType") == "url" else str
        entries = [
            Entry(decode(text(found, "Key")), number(found, "Size"), instant(found, "LastModified"))
            for found in listed.iterfind("{*}Contents")
        ]
        if not flag(listed, "IsTruncated"):
            return EntryPage(entries, None)
        following = text(listed, "NextContinuationToken")
        if not following:
            raise StoreError("the store does not say where its list goes on")
        return EntryPage(entries, following)

    # -- beforehand

    async def check(self) -> None:
        """See :meth:`giftless.storage.remote.container.Container.check`.

        It asks for an object that is absent, tries an upload that must be
        refused, deletes the absent object, and begins an upload in parts that it
        aborts; nothing is left behind.
        """
        await self._check_credentials()
        try:
            await self._check_reading()
            await self._check_writing()
            await self._check_deleting()
            await self._check_uploads()
        except StoreError as error:
            raise ConfigError(
                "endpoint_url",
                f"nothing can be had from {shown_url(self._place.url)}: {error.problem}",
            ) from error

    async def _check_reading(self) -> None:
        answer = await self._ask("GET", PROBE, {"range": "bytes=0-0"}, timeout=CHECK_TIMEOUT)
        if error_code(answer) != "NoSuchKey":
            raise self._blame(answer, f"read objects: it needs {self.permissions.read}")

    async def _check_deleting(self) -> None:
        answer = await self._ask("DELETE", PROBE, timeout=CHECK_TIMEOUT)
        if not _is_deleted(answer):
            needs = self.permissions.delete
            raise self._blame(answer, f"delete objects, as resumable uploads do: it needs {needs}")

    def _blame(self, answer: Answer, may_not: str) -> ConfigError:
        """Say which option an answer to a question of ``--check`` is about."""
        url = shown_url(self._place.url)
        where = f"(at {url})"
        code = error_code(answer)
        if code in self.meanings:
            option, problem = self.meanings[code]
            return ConfigError(option or self._credential_option, f"{problem} {where}")
        if answer.status == 403:
            return ConfigError("", f"the credential may not {may_not} {where}")
        if not self._is_from_store(answer):
            return ConfigError(
                "endpoint_url",
                f"what answers at {url} (status {answer.status}) is not {self.vendor}",
            )
        return ConfigError("", self.problem(answer).problem)


def _is_deleted(answer: Answer) -> bool:
    """Whether an answer to DELETE says that the object is not there (any more)."""
    return answer.status in (200, 204) or error_code(answer) == "NoSuchKey"
