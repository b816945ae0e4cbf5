"""A Cloud Storage bucket: how its requests are authorised, and what it can check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import Answer
from giftless.errors import ConfigError
from giftless.interfaces import ObjectFacts, Payload
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.gcs import answers
from giftless.storage.gcs.authority import Authority
from giftless.storage.gcs.rewriting import rewrite
from giftless.storage.gcs.signing import Draft
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.container import CHECK_TIMEOUT, PROBE, Layout
from giftless.storage.remote.urls import bucket_root, shown_url
from giftless.storage.remote.xml_bucket import Permissions, XmlPlace
from giftless.storage.remote.xml_copies import Origin, XmlCopiesBucket

#: The largest object that there can be, and that one PUT takes, in bytes: 5 TiB.
MAX_PUT: Final = 5 * 1024**4

#: The upload succeeds only if the object has this generation; 0: if it is absent.
GENERATION_HEADER: Final = "x-goog-if-generation-match"


@dataclass(frozen=True, slots=True)
class Place(XmlPlace):
    """Where a bucket is.

    :ivar signs: whether clients are given signed URLs.
    :ivar json_url: the URL of its objects in the JSON API.
    """

    signs: bool
    json_url: str


class Bucket(XmlCopiesBucket):
    """A bucket.

    :param authority: authorises requests.
    """

    max_put = MAX_PUT
    vendor = "Cloud Storage"
    permissions = Permissions(
        read="storage.objects.get and storage.objects.list",
        write="storage.objects.create",
        delete="storage.objects.delete",
        list_uploads="storage.multipartUploads.list",
        list_parts="storage.multipartUploads.listParts",
        abort_upload="storage.multipartUploads.abort",
        create_upload="storage.multipartUploads.create",
    )
    meanings = answers.MEANINGS
    # The store takes 8 KiB of metadata; requests have to pass through proxies too.
    extras_header = "x-goog-meta-giftless-extras"
    max_extras = 4000
    prefix = "x-goog-"
    max_copy = MAX_PUT
    _place: Place

    def __init__(
        self,
        place: Place,
        layout: Layout,
        authority: Authority,
        client: StoreClient,
        clock: IReactorTime,
    ) -> None:
        super().__init__(place, layout, client, clock)
        self._authority = authority

    def _length_of(self, answer: Answer) -> str:
        stored = answer.headers.get("x-goog-stored-content-length")
        return super()._length_of(answer) if stored is None else stored

    def _digests_of(self, answer: Answer) -> Mapping[str, str]:
        return answers.digests_of(answer)

    async def _transfer(
        self, source: Origin, target: ObjectKey, found: Answer, facts: ObjectFacts
    ) -> bool:
        assert isinstance(source.bucket, Bucket), "reaches() has said yes"
        # HMAC keys are good for the XML API only, which copies by one request.
        if not self._authority.has_token:
            return await super()._transfer(source, target, found, facts)
        here, there = (
            quote(bucket.layout.name(key), safe="")
            for bucket, key in ((source.bucket, source.key), (self, target))
        )
        bucket = quote(self._place.bucket, safe="")
        url = f"{source.bucket._place.json_url}/{here}/rewriteTo/b/{bucket}/o/{there}"

        async def ask(parameters: Mapping[str, str]) -> Answer:
            async def prepare() -> Request:
                return await self._authority.authorize(Draft("POST", url, parameters))

            return await self._client_for(facts.size).ask(prepare)

        return await rewrite(ask, found.headers.get("x-goog-generation", ""))

    # -- for clients

    async def sign_upload(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool
    ) -> Action:
        """See :meth:`giftless.storage.remote.container.Container.sign_upload`."""
        headers = {
            **self._creation_headers(extras),
            "x-goog-content-length-range": f"{size},{size}",
        }
        if not replace:
            headers[GENERATION_HEADER] = "0"
        href, expires = await self._presign(
            "PUT", self._place.public_url, key, {}, headers, lifetime
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
        draft = Draft(method, self._url(bucket, key), parameters, headers)
        return await self._authority.presign(draft, lifetime)

    # -- for the daemon

    async def put_request(
        self, key: ObjectKey, payload: Payload, extras: Extras, create: bool = False
    ) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.put_request`."""
        headers = self._creation_headers(extras)
        if create:
            headers[GENERATION_HEADER] = "0"
        return await self._request("PUT", key, headers, {}, None)

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

    def _completion_headers(self, replace: bool) -> Mapping[str, str]:
        # Cloud Storage knows no conditions for what is made of parts.
        return {}

    # -- beforehand

    @property
    def _credential_option(self) -> str:
        return self._authority.option

    async def _check_credentials(self) -> None:
        await self._authority.check(self._place.signs)

    async def _check_writing(self) -> None:
        headers = {**self._creation_headers({}), GENERATION_HEADER: "1"}

        async def prepare() -> Request:
            if not self._place.signs:
                return await self._request("PUT", PROBE, headers, {}, b"x")
            href, _ = await self._presign("PUT", self._place.url, PROBE, {}, headers, 60)
            return Request("PUT", href, headers, b"x")

        answer = await self.client.ask(prepare, CHECK_TIMEOUT)
        if answer.status < 300:
            raise ConfigError(
                "endpoint_url",
                f"the store at {shown_url(self._place.url)} does not know {GENERATION_HEADER}:"
                " signed uploads could replace objects",
            )
        if answer.status != 412:
            raise self._blame(answer, f"write objects: it needs {self.permissions.write}")
