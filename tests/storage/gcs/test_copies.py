"""Copying objects in Cloud Storage: a stand-in for it (``tests/support/gcs.py``)."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from giftless.errors import ServiceUnavailable
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.storage.gcs.rewriting import MAX_IDLE
from tests.contracts.copying import DATA, KEY, OTHER
from tests.contracts.listing import PECULIAR, StoreContract
from tests.storage.gcs.test_listing import GCSListingTestCase
from tests.storage.remote.listing_contract import ReachesStore
from tests.support.making import oid_of, repo_of


class CopiesTestCase(GCSListingTestCase, ReachesStore, StoreContract):
    """Sees what the store was asked."""

    def asked(self) -> list[tuple[str, str]]:
        """Return the requests that copy objects."""
        return [(method, path) for method, path, _ in self.google.requests if "rewriteTo" in path]


class RewriteTests(CopiesTestCase):
    """With a token: by the JSON API."""

    async def test_an_object_is_copied_in_several_steps(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        self.google.rewrite_steps = 3
        self.addCleanup(setattr, self.google, "rewrite_steps", 0)
        self.assertIs(await self.store.copy(KEY, OTHER), True)
        self.assertEqual(len(self.asked()), 4)
        self.assertEqual(await self.bytes_of(OTHER), DATA)
        self.assertEqual(await self.extras_of(OTHER), {"n": 1})

    async def test_copying_that_does_not_get_on_is_an_error(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA)
        self.google.rewrite_steps = 10**9
        self.addCleanup(setattr, self.google, "rewrite_steps", 0)
        with self.assertRaises(ServiceUnavailable):
            await self.store.copy(KEY, OTHER)
        self.assertEqual(len(self.asked()), MAX_IDLE + 1)
        self.assertEqual(await self.sizes(OTHER), [None])

    async def test_it_is_asked_as_google_s_own_client_asks(self) -> None:
        await self.prepare()
        client = storage.Client("tests", AnonymousCredentials())
        asked: list[tuple[str, dict[str, str]]] = []

        def post(path: str, data: Any, query_params: dict[str, str], **_: Any) -> Any:
            asked.append((path, query_params))
            return {"totalBytesRewritten": "1", "objectSize": "1", "done": True, "resource": {}}

        self.patch(client, "_post_resource", post)
        bucket = client.bucket(self.bucket)
        ask = self.store.container._authority.authorize
        drafts = []

        async def authorize(draft: Any) -> Any:
            drafts.append(draft)
            return await ask(draft)

        self.patch(self.store.container._authority, "authorize", authorize)
        for path in ("org/repo", *PECULIAR):
            key = ObjectKey(repo_of(f"{path}.git"), oid_of(b"x"))
            await self.add(key, b"x")
            drafts.clear()
            self.assertIs(await self.store.copy(key, in_trash(key)), True)
            (draft,) = (draft for draft in drafts if draft.method == "POST")
            generation = draft.parameters["ifSourceGenerationMatch"]
            bucket.blob(in_trash(key).path).rewrite(
                bucket.blob(key.path), if_source_generation_match=generation
            )
            place, parameters = asked.pop()
            self.assertEqual(draft.url, f"{self.google.url}/storage/v1{place}")
            self.assertEqual(draft.parameters, parameters)

    async def test_without_permission_it_is_an_error(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA)
        for permission in ("storage.objects.get", "storage.objects.create"):
            self.google.denied.add(permission)
            with self.assertRaises(ServiceUnavailable):
                await self.store.copy(KEY, OTHER)
            self.google.denied.clear()
        self.assertEqual(await self.sizes(OTHER), [None])
        # Replacing what has another size is deleting it, too.
        self.place(self.store.container.layout.name(OTHER), b"cut off")
        self.google.denied.add("storage.objects.delete")
        with self.assertRaises(ServiceUnavailable):
            await self.store.copy(KEY, OTHER)
        self.google.denied.clear()


class HmacTests(CopiesTestCase):
    """With an HMAC key, which the JSON API does not take."""

    def section(self, **options: Any) -> dict[str, Any]:
        return self.google.hmac_options(self.bucket, **options)

    async def test_an_object_is_copied_by_the_xml_api(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        self.google.requests.clear()
        self.assertIs(await self.store.copy(KEY, OTHER), True)
        self.assertEqual(self.asked(), [])
        puts = [unquote(path) for method, path, _ in self.google.requests if method == "PUT"]
        self.assertEqual(puts, [f"/{self.bucket}/{OTHER.path}"])
