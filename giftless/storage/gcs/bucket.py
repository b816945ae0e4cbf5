"""One bucket: its requests by the XML API, and what it can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import Answer
from giftless.errors import ConfigError
from giftless.interfaces import ObjectFacts, Payload
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.gcs import answers
from giftless.storage.gcs.authority import Authority
from giftless.storage.gcs.signing import Draft, encode_path
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.container import CHECK_TIMEOUT, PROBE, Layout
from giftless.storage.remote.metadata import (
    content_type,
    decode_extras,
    disposition,
)
from giftless.storage.remote.xml_answers import error_code
from giftless.storage.remote.xml_bucket import (
    UploadPermissions,
    XmlBucket,
    bucket_root,
)

#: The largest object that there can be, and that one PUT takes, in bytes: 5 TiB.
MAX_PUT: Final = 5 * 1024**4

#: The metadata that holds an object's ``x-*`` members.  The store takes 8 KiB of
#: it; requests have to pass through proxies too.
EXTRAS_HEADER: Final = "x-goog-meta-giftless-extras"
MAX_EXTRAS: Final = 4000

#: The upload succeeds only if the object has this generation; 0: if it is absent.
GENERATION_HEADER: Final = "x-goog-if-generation-match"

#: What ``--check`` says is missing.
_PERMISSIONS: Final = UploadPermissions(
    listing="storage.multipartUploads.list",
    reading="storage.multipartUploads.listParts",
    aborting="storage.multipartUploads.abort",
    creating="storage.multipartUploads.create",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bucket is.

    :ivar url: the bucket's URL for the daemon, its name in the path; no slash
        at its end.
    :ivar public_url: the same for clients.
    :ivar signs: whether clients are given signed URLs.
    """

    url: str
    public_url: str
    signs: bool


class Bucket(XmlBucket):
    """A bucket.

    :param place: where it is.
    :param layout: where objects lie in it.
    :param authority: authorises requests.
    :param client: asks it.
    :param clock: tells the time.
    """

    max_put = MAX_PUT
    vendor = "Cloud Storage"
    extras_header = EXTRAS_HEADER
    max_extras = MAX_EXTRAS

    def __init__(
        self,
        place: Place,
        layout: Layout,
        authority: Authority,
        client: StoreClient,
        clock: IReactorTime,
    ) -> None:
        super().__init__(layout, client, clock)
        self._place = place
        self._authority = authority

    # -- existence

    async def facts(self, key: ObjectKey, thorough: bool) -> ObjectFacts | None:
        """See :meth:`giftless.storage.remote.container.Container.facts`.

        The store keeps no SHA-256.
        """
        answer = await self._ask("HEAD", key, {})
        if answer.status == 404:
            await self._confirm_absence(key, answer)
            return None
        headers = answer.headers
        length = headers.get("x-goog-stored-content-length", headers.get("content-length", ""))
        if answer.status != 200 or not length.isdecimal():
            raise answers.describe(answer)
        return ObjectFacts(int(length), None, decode_extras(headers.get(EXTRAS_HEADER, "")))

    # -- for clients

    async def sign_upload(self, key: ObjectKey, size: int, lifetime: int, extras: Extras) -> Action:
        """See :meth:`giftless.storage.remote.container.Container.sign_upload`."""
        headers = {
            **self._creation_headers(extras),
            GENERATION_HEADER: "0",
            "x-goog-content-length-range": f"{size},{size}",
        }
        draft = Draft("PUT", self._url(self._place.public_url, key), {}, headers)
        href, expires = await self._authority.presign(draft, lifetime)
        return Action(href, headers, expires)

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
        draft = Draft("GET", self._url(self._place.public_url, key), parameters)
        href, expires = await self._authority.presign(draft, lifetime)
        return Action(href, None, expires)

    async def _sign_part(
        self, key: ObjectKey, parameters: Mapping[str, str], size: int, lifetime: int
    ) -> Action:
        # Content-MD5 may be sent without being signed.
        draft = Draft("PUT", self._url(self._place.public_url, key), parameters)
        href, expires = await self._authority.presign(draft, lifetime)
        return Action(href, None, expires)

    # -- for the daemon

    async def put_request(self, key: ObjectKey, payload: Payload, extras: Extras) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.put_request`."""
        return await self._request("PUT", key, self._creation_headers(extras), {}, None)

    async def _request(
        self,
        method: str,
        key: ObjectKey | None,
        headers: Mapping[str, str],
        parameters: Mapping[str, str],
        body: bytes | None,
    ) -> Request:
        bucket = self._place.url
        url = bucket_root(bucket) if key is None else self._url(bucket, key)
        request = await self._authority.authorize(Draft(method, url, parameters, headers))
        return replace(request, body=body or None)

    def problem(self, answer: Answer) -> StoreError:
        """See :meth:`giftless.storage.remote.container.Container.problem`."""
        return answers.describe(answer)

    def _is_from_store(self, answer: Answer) -> bool:
        return answers.is_from_gcs(answer)

    def _completion_headers(self, replace: bool) -> dict[str, str]:
        # Cloud Storage knows no conditions for what is made of parts.
        return {}

    def _url(self, bucket: str, key: ObjectKey) -> str:
        return f"{bucket}/{encode_path(self._layout.name(key))}"

    # -- beforehand

    async def check(self) -> None:
        """See :meth:`giftless.storage.remote.container.Container.check`.

        It asks for an object that is absent, tries to upload a version of it
        that would have to be there already, and begins an upload in parts that
        it aborts; nothing is left behind.
        """
        await self._authority.check(self._place.signs)
        try:
            await self._check_reading()
            await self._check_writing()
            await self._check_uploads(_PERMISSIONS)
        except StoreError as error:
            raise ConfigError(
                "endpoint_url", f"nothing can be had from {self._place.url}: {error.problem}"
            ) from error

    async def _check_reading(self) -> None:
        answer = await self._ask("GET", PROBE, {"range": "bytes=0-0"}, timeout=CHECK_TIMEOUT)
        if error_code(answer) != "NoSuchKey":
            raise self._blame(
                answer, "read objects: it needs storage.objects.get and storage.objects.list"
            )

    async def _check_writing(self) -> None:
        headers = {**self._creation_headers({}), GENERATION_HEADER: "1"}

        async def prepare() -> Request:
            if not self._place.signs:
                return await self._request("PUT", PROBE, headers, {}, b"x")
            draft = Draft("PUT", self._url(self._place.url, PROBE), {}, headers)
            href, _ = await self._authority.presign(draft, 60)
            return Request("PUT", href, headers, b"x")

        answer = await self._client.ask(prepare, CHECK_TIMEOUT)
        if answer.status < 300:
            raise ConfigError(
                "endpoint_url",
                f"the store at {self._place.url} does not know {GENERATION_HEADER}:"
                " signed uploads could replace objects",
            )
        if answer.status != 412:
            raise self._blame(answer, "write objects: it needs storage.objects.create")

    def _blame(self, answer: Answer, may_not: str) -> ConfigError:
        """Say which option an answer is about."""
        code = error_code(answer)
        if code in answers.MEANINGS:
            option, problem = answers.MEANINGS[code]
            return ConfigError(
                option or self._authority.option, f"{problem} (at {self._place.url})"
            )
        if answer.status == 403:
            return ConfigError("", f"the credential may not {may_not} (at {self._place.url})")
        if not answers.is_from_gcs(answer):
            return ConfigError(
                "endpoint_url",
                f"what answers at {self._place.url} (status {answer.status}) is not Cloud Storage",
            )
        return ConfigError("", answers.describe(answer).problem)
