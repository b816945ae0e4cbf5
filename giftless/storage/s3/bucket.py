"""One bucket: its requests, signed, and what it can be asked."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import Answer
from giftless.errors import ConfigError
from giftless.interfaces import ObjectFacts, Payload
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.container import CHECK_TIMEOUT, PROBE, Layout
from giftless.storage.remote.credentials import Refreshing
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
from giftless.storage.s3 import answers
from giftless.storage.s3.signing import (
    EMPTY,
    MAX_EXPIRES,
    UNSIGNED,
    Credentials,
    Signer,
    encode_path,
)

#: The largest object that one PUT takes, in bytes: 5 GiB.
MAX_PUT: Final = 5 * 1024**3

#: The metadata that holds an object's ``x-*`` members.  S3 takes 2 KB of
#: metadata in all, names included.
EXTRAS_HEADER: Final = "x-amz-meta-giftless-extras"
MAX_EXTRAS: Final = 1900

#: What ``--check`` says is missing.
_PERMISSIONS: Final = UploadPermissions(
    listing="s3:ListBucketMultipartUploads",
    reading="s3:ListMultipartUploadParts",
    aborting="s3:AbortMultipartUpload",
    creating="s3:PutObject",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bucket is and what it can do.

    :ivar url: the bucket's URL for the daemon: scheme, host and, with path
        addressing, the bucket's name; no slash at its end.
    :ivar public_url: the same for clients.
    :ivar region: what signatures are made for.
    :ivar conditional_writes: whether it knows ``If-None-Match`` on uploads.
    :ivar checksum: whether it knows ``x-amz-checksum-sha256``.
    """

    url: str
    public_url: str
    region: str
    conditional_writes: bool
    checksum: bool


class Bucket(XmlBucket):
    """A bucket.

    :param place: where it is.
    :param layout: where objects lie in it.
    :param credentials: what signs.
    :param client: asks it.
    :param clock: tells the time.
    """

    max_put = MAX_PUT
    vendor = "S3"
    extras_header = EXTRAS_HEADER
    max_extras = MAX_EXTRAS

    def __init__(
        self,
        place: Place,
        layout: Layout,
        credentials: Refreshing[Credentials],
        client: StoreClient,
        clock: IReactorTime,
    ) -> None:
        super().__init__(layout, client, clock)
        self._place = place
        self._credentials = credentials

    # -- existence

    async def facts(self, key: ObjectKey, thorough: bool) -> ObjectFacts | None:
        """See :meth:`giftless.storage.remote.container.Container.facts`."""
        headers = {"x-amz-checksum-mode": "ENABLED"} if thorough else {}
        answer = await self._ask("HEAD", key, headers)
        if answer.status == 404:
            await self._confirm_absence(key, answer)
            return None
        length = answer.headers.get("content-length", "")
        if answer.status != 200 or not length.isdecimal():
            raise answers.describe(answer)
        return ObjectFacts(
            int(length),
            answers.sha256_of(answer),
            decode_extras(answer.headers.get(EXTRAS_HEADER, "")),
        )

    # -- for clients

    async def sign_upload(self, key: ObjectKey, size: int, lifetime: int, extras: Extras) -> Action:
        """See :meth:`giftless.storage.remote.container.Container.sign_upload`."""
        headers = self._upload_headers(key.oid, extras)
        if self._place.conditional_writes:
            headers["If-None-Match"] = "*"
        # Every client sends the length by itself.
        signed = {**headers, "Content-Length": str(size)}
        href, expires = await self._presign(
            "PUT", self._place.public_url, key, {}, signed, lifetime
        )
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
        href, expires = await self._presign(
            "GET", self._place.public_url, key, parameters, {}, lifetime
        )
        return Action(href, None, expires)

    async def _sign_part(
        self, key: ObjectKey, parameters: Mapping[str, str], size: int, lifetime: int
    ) -> Action:
        # Other headers, Content-MD5 above all, may be sent without being signed.
        href, expires = await self._presign(
            "PUT",
            self._place.public_url,
            key,
            parameters,
            {"Content-Length": str(size)},
            lifetime,
        )
        return Action(href, None, expires)

    async def _presign(
        self,
        method: str,
        bucket: str,
        key: ObjectKey,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime: int,
    ) -> tuple[str, int]:
        credentials = await self._credentials.get()
        now = self._clock.seconds()
        expires = min(lifetime, MAX_EXPIRES)
        if credentials.expiry is not None:
            expires = max(1, min(expires, int(credentials.expiry - now)))
        signer = Signer(credentials.value, self._place.region)
        url = self._url(bucket, key)
        return signer.presign(method, url, parameters, headers, now, expires), expires

    # -- for the daemon

    async def put_request(self, key: ObjectKey, payload: Payload, extras: Extras) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.put_request`."""
        # What is known of the bytes the store checks once more.
        headers = self._upload_headers(payload.sha256, extras)
        return await self._authorize("PUT", key, headers, {}, payload.sha256 or UNSIGNED)

    async def _request(
        self,
        method: str,
        key: ObjectKey | None,
        headers: Mapping[str, str],
        parameters: Mapping[str, str],
        body: bytes | None,
    ) -> Request:
        if body is None:
            return await self._authorize(method, key, headers, parameters, UNSIGNED)
        digest = sha256(body).hexdigest() if body else EMPTY
        request = await self._authorize(method, key, headers, parameters, digest)
        return replace(request, body=body or None)

    async def _authorize(
        self,
        method: str,
        key: ObjectKey | None,
        headers: Mapping[str, str],
        parameters: Mapping[str, str],
        payload: str,
    ) -> Request:
        credentials = await self._credentials.get()
        signer = Signer(credentials.value, self._place.region)
        bucket = self._place.url
        url = bucket_root(bucket) if key is None else self._url(bucket, key)
        url, signed = signer.authorize(
            method, url, parameters, headers, payload, self._clock.seconds()
        )
        return Request(method, url, signed)

    def problem(self, answer: Answer) -> StoreError:
        """See :meth:`giftless.storage.remote.container.Container.problem`."""
        return answers.describe(answer)

    def _is_from_store(self, answer: Answer) -> bool:
        return answers.is_from_s3(answer)

    def _completion_headers(self, replace: bool) -> dict[str, str]:
        return {"If-None-Match": "*"} if self._place.conditional_writes and not replace else {}

    def _upload_headers(self, sha256: str | None, extras: Extras) -> dict[str, str]:
        headers = self._creation_headers(extras)
        if self._place.checksum and sha256 is not None:
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return headers

    def _url(self, bucket: str, key: ObjectKey) -> str:
        return f"{bucket}/{encode_path(self._layout.name(key))}"

    # -- beforehand

    async def check(self) -> None:
        """See :meth:`giftless.storage.remote.container.Container.check`.

        It asks for an object that is absent, tries to upload bytes that are
        not what their checksum says, and begins an upload in parts that it
        aborts; nothing is left behind.
        """
        try:
            await self._credentials.get()
        except StoreError as error:
            raise ConfigError("access_key_id", error.problem) from error
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
            raise self._blame(answer, "read objects: it needs s3:GetObject and s3:ListBucket")

    async def _check_writing(self) -> None:
        wrong = b"not what the checksum says"
        headers = self._upload_headers(PROBE.oid, {})
        if not self._place.checksum:
            headers["Content-MD5"] = base64.b64encode(bytes(16)).decode()
        if self._place.conditional_writes:
            headers["If-None-Match"] = "*"
        signed = {**headers, "Content-Length": str(len(wrong))}

        async def prepare() -> Request:
            href, _ = await self._presign("PUT", self._place.url, PROBE, {}, signed, 60)
            return Request("PUT", href, headers, wrong)

        answer = await self._client.ask(prepare, CHECK_TIMEOUT)
        if answer.status < 300 and self._place.checksum:
            raise ConfigError(
                "checksum",
                "the store takes bytes that are not what their SHA-256 says;"
                " with checksum: false it is not relied upon",
            )
        if answer.status == 501 and self._place.conditional_writes:
            raise ConfigError(
                "conditional_writes", "the store does not know If-None-Match; set it to false"
            )
        if error_code(answer) in answers.WRONG_BYTES or answer.status in (200, 412):
            return
        if answer.status == 400 and b"x-amz-checksum" in answer.body.lower():
            raise ConfigError(
                "checksum", f"{answers.describe(answer).problem}; with false it is not asked to"
            )
        raise self._blame(answer, "write objects: it needs s3:PutObject")

    def _blame(self, answer: Answer, may_not: str) -> ConfigError:
        """Say which option an answer is about."""
        code = error_code(answer)
        region = answers.region_of(answer)
        if region and region != self._place.region:
            return ConfigError(
                "region", f"found {self._place.region!r}, but the bucket is in {region!r}"
            )
        if code in answers.MEANINGS:
            option, problem = answers.MEANINGS[code]
            return ConfigError(option, f"{problem} (at {self._place.url})")
        if answer.status == 403:
            return ConfigError("", f"the credential may not {may_not} (at {self._place.url})")
        if not answers.is_from_s3(answer):
            return ConfigError(
                "endpoint_url",
                f"what answers at {self._place.url} (status {answer.status}) is not S3",
            )
        return ConfigError("", answers.describe(answer).problem)
