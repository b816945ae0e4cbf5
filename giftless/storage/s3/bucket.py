"""An S3 bucket: how its requests are signed, and what it can check."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import Answer
from giftless.errors import ConfigError
from giftless.interfaces import Payload, WallClock
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.container import CHECK_TIMEOUT, PROBE, Layout
from giftless.storage.remote.credentials import Refreshing
from giftless.storage.remote.urls import bucket_root
from giftless.storage.remote.xml_answers import error_code
from giftless.storage.remote.xml_bucket import Permissions, XmlPlace
from giftless.storage.remote.xml_copies import XmlCopiesBucket
from giftless.storage.s3 import answers
from giftless.storage.s3.signing import (
    EMPTY,
    MAX_EXPIRES,
    UNSIGNED,
    Credentials,
    Signer,
)

#: The largest object that one PUT takes, in bytes: 5 GiB.
MAX_PUT: Final = 5 * 1024**3


@dataclass(frozen=True, slots=True)
class Place(XmlPlace):
    """Where a bucket is and what it can do.

    :ivar region: what signatures are made for.
    :ivar conditional_writes: whether it knows ``If-None-Match`` on uploads.
    :ivar checksum: whether it knows ``x-amz-checksum-sha256``.
    """

    region: str
    conditional_writes: bool
    checksum: bool


class Bucket(XmlCopiesBucket):
    """A bucket.

    :param credentials: what signs.
    """

    max_put = MAX_PUT
    vendor = "S3"
    permissions = Permissions(
        read="s3:GetObject and s3:ListBucket",
        write="s3:PutObject",
        delete="s3:DeleteObject",
        list_uploads="s3:ListBucketMultipartUploads",
        list_parts="s3:ListMultipartUploadParts",
        abort_upload="s3:AbortMultipartUpload",
        create_upload="s3:PutObject",
    )
    meanings = answers.MEANINGS
    # S3 takes 2 KB of metadata in all, names included.
    extras_header = "x-amz-meta-giftless-extras"
    max_extras = 1900
    prefix = "x-amz-"
    # "You can copy objects up to 5 GB in size in a single atomic action" (CopyObject).
    max_copy = MAX_PUT
    digest_headers: Mapping[str, str] = {"x-amz-checksum-mode": "ENABLED"}
    _place: Place

    def __init__(
        self,
        place: Place,
        layout: Layout,
        credentials: Refreshing[Credentials],
        client: StoreClient,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        super().__init__(place, layout, client, clock)
        self._wall_clock = wall_clock
        self._credentials = credentials

    def _sha256_of(self, answer: Answer) -> str | None:
        return answers.sha256_of(answer)

    def _digests_of(self, answer: Answer) -> Mapping[str, str]:
        return answers.digests_of(answer)

    # -- for clients

    async def sign_upload(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool
    ) -> Action:
        """See :meth:`giftless.storage.remote.container.Container.sign_upload`."""
        headers = self._upload_headers(key.oid, extras)
        if self._place.conditional_writes and not replace:
            headers["If-None-Match"] = "*"
        # Every client sends the length by itself.
        signed = {**headers, "Content-Length": str(size)}
        href, expires = await self._presign(
            "PUT", self._place.public_url, key, {}, signed, lifetime
        )
        return Action(href, headers, expires)

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
        now = self._wall_clock()
        expires = min(lifetime, MAX_EXPIRES)
        if credentials.expiry is not None:
            expires = max(1, min(expires, int(credentials.expiry - now)))
        signer = Signer(credentials.value, self._place.region)
        url = self._url(bucket, key)
        return signer.presign(method, url, parameters, headers, now, expires), expires

    # -- for the daemon

    async def put_request(
        self, key: ObjectKey, payload: Payload, extras: Extras, create: bool = False
    ) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.put_request`."""
        # What is known of the bytes the store checks once more.
        headers = self._upload_headers(payload.sha256, extras)
        if create:
            headers.update(self._completion_headers(False))
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
            method, url, parameters, headers, payload, self._wall_clock()
        )
        return Request(method, url, signed)

    def problem(self, answer: Answer) -> StoreError:
        """See :meth:`giftless.storage.remote.container.Container.problem`."""
        return answers.describe(answer)

    def _is_from_store(self, answer: Answer) -> bool:
        return answers.is_from_s3(answer)

    def _completion_headers(self, replace: bool) -> Mapping[str, str]:
        return {"If-None-Match": "*"} if self._place.conditional_writes and not replace else {}

    def _part_headers(self, size: int) -> Mapping[str, str]:
        return {"Content-Length": str(size)}

    def _upload_headers(self, sha256: str | None, extras: Extras) -> dict[str, str]:
        headers = self._creation_headers(extras)
        if self._place.checksum and sha256 is not None:
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return headers

    # -- beforehand

    async def _check_credentials(self) -> None:
        try:
            await self._credentials.get()
        except StoreError as error:
            raise ConfigError("access_key_id", error.problem) from error

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

        answer = await self.client.ask(prepare, CHECK_TIMEOUT)
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
        raise self._blame(answer, f"write objects: it needs {self.permissions.write}")

    def _blame(self, answer: Answer, may_not: str) -> ConfigError:
        region = answers.region_of(answer)
        if region and region != self._place.region:
            return ConfigError(
                "region", f"found {self._place.region!r}, but the bucket is in {region!r}"
            )
        return super()._blame(answer, may_not)
