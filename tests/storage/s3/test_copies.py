"""Copying objects in an S3 that verifies signatures (versitygw)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.concurrency import settle
from giftless.base.http_client import Answer
from giftless.errors import ServiceUnavailable
from giftless.lfs.objects import Extras, in_trash
from giftless.storage.remote import base_store, xml_copies
from giftless.storage.s3.answers import digests_of
from giftless.storage.s3.bucket import Bucket
from tests.contracts.listing import StoreContract
from tests.storage.remote.listing_contract import ReachesStore
from tests.storage.s3.test_listing import S3ListingTestCase
from tests.support.faulty import Fault, answer
from tests.support.making import key_of

MIB = 1024**2

#: Two parts, and a bit.
LARGE = bytes(range(256)) * (11 * 1024 * 4)
KEY = key_of(LARGE)


class InPartsTests(S3ListingTestCase, ReachesStore, StoreContract):
    """Objects that are larger than what is copied at once."""

    options = {"mode": "proxy"}

    def setUp(self) -> None:
        super().setUp()
        self.patch(Bucket, "max_copy", 5 * MIB)
        self.patch(xml_copies, "COPY_PART", 5 * MIB)

    async def uploads(self) -> Any:
        """Return the uploads to the trash that have not ended."""
        return await self.store.container.find_uploads(in_trash(KEY))

    async def test_a_large_object_is_copied_in_parts(self) -> None:
        await self.prepare()
        extras: Extras = {"filename": "\u00fcber.png", "n": 1}
        await self.add(KEY, LARGE, extras)
        proxy = await self.behind()
        self.assertIs(await self.store.copy(KEY, in_trash(KEY)), True)
        self.assertEqual(sum("partNumber=" in line for line in proxy.requests), 3)
        self.assertEqual(await self.bytes_of(in_trash(KEY)), LARGE)
        self.assertEqual(await self.extras_of(in_trash(KEY)), extras)
        self.assertEqual(await self.uploads(), [])
        await self.store.delete(KEY)
        self.assertIs(await self.store.copy(in_trash(KEY), KEY), True)
        self.assertEqual(await self.bytes_of(KEY), LARGE)

    async def test_a_copy_in_parts_that_fails_leaves_none(self) -> None:
        await self.prepare()
        await self.add(KEY, LARGE)
        for fault in (
            answer("200 OK", b"<Error><Code>InternalError</Code></Error>"),
            answer("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>"),
            answer("412 Precondition Failed"),
        ):
            proxy = await self.behind()
            proxy.fault = _second_part(fault)
            with self.assertRaises(ServiceUnavailable):
                await self.store.copy(KEY, in_trash(KEY))
            self.assertEqual(await self.sizes(in_trash(KEY)), [None])
            self.assertEqual(await self.uploads(), [])


def _second_part(fault: Fault) -> Callable[[bytes], Fault | None]:
    """Let the second part of each copy fail."""
    return lambda head: fault if b"partNumber=2" in head.split(b"\r\n")[0] else None


class ConfirmationTests(S3ListingTestCase, ReachesStore, StoreContract):
    """What the store says of a copy is compared with what was copied."""

    async def test_a_copy_with_other_bytes_is_an_error(self) -> None:
        await self.prepare()
        await self.add(key_of(b"abc"), b"abc")
        target = key_of(b"abc", "other/place")
        ask = self.store.container._ask_to_copy

        async def wrong(*asked: Any) -> Any:
            copied = await ask(*asked)
            await self.store.delete(target)
            self.place(self.store.container.layout.name(target), b"xyz")
            return copied

        self.patch(self.store.container, "_ask_to_copy", wrong)
        digests = iter(({"MD5": "a"}, {"MD5": "b"}))
        self.patch(self.store.container, "_digests_of", lambda _: next(digests))
        with self.assertRaises(ServiceUnavailable):
            await self.store.copy(key_of(b"abc"), target)

    async def test_a_copy_keeps_what_the_store_knows_of_the_bytes(self) -> None:
        await self.prepare()
        await self.add(key_of(b"abc"), b"abc")
        target = key_of(b"abc", "other/place")
        await self.store.copy(key_of(b"abc"), target)
        for key in (key_of(b"abc"), target):
            facts = await self.store.inspect(key)
            self.assertEqual(facts.sha256, key.oid)


class AtOnceTests(S3ListingTestCase, ReachesStore, StoreContract):
    """A thousand copies are asked for at once."""

    async def test_a_few_objects_are_copied_at_once(self) -> None:
        self.patch(base_store, "COPIES_AT_ONCE", 2)
        await self.prepare()
        keys = sorted(await self.fill(20), key=lambda key: key.oid)
        proxy = await self.behind()
        proxy.latency = 0.005
        copied = await settle(self.store.copy(key, in_trash(key)) for key in keys)
        self.assertEqual(copied, [True] * 20)
        # Each looks at both places at the same time.
        self.assertLessEqual(proxy.busiest, 4)


class PermissionsTests(S3ListingTestCase, ReachesStore, StoreContract):
    """What the documentation says is enough."""

    def setUp(self) -> None:
        super().setUp()
        # versitygw 1.8 lets nobody copy in a bucket that it has not made itself.
        self.bucket += "-made"
        self.server.create(self.bucket)

    async def test_copying_needs_reading_and_writing_and_moving_deleting(self) -> None:
        await self.prepare()
        user = self.server.add_user(f"copier-of-{self.bucket}")
        await self.add(KEY, LARGE, {"n": 1})
        self.store = self.build(prefix="", **user)
        needed = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
        for actions in (needed[1:], needed[:1], needed[:2]):
            self.permit(user, *actions)
            if "s3:GetObject" in actions and "s3:PutObject" in actions:
                self.assertIs(await self.store.copy(KEY, in_trash(KEY)), True)
            else:
                with self.assertRaises(ServiceUnavailable):
                    await self.store.copy(KEY, in_trash(KEY))
        with self.assertRaises(ServiceUnavailable):
            await self.store.delete(KEY)
        self.permit(user, *needed)
        await self.store.delete(KEY)
        self.assertEqual(await self.sizes(KEY, in_trash(KEY)), [None, len(LARGE)])

    def permit(self, user: dict[str, object], *actions: str) -> None:
        """Let somebody do no more than this with objects."""
        principal = {"AWS": [user["access_key_id"]]}
        place = f"arn:aws:s3:::{self.bucket}"
        statements = [
            (list(actions), f"{place}/*"),
            (["s3:ListBucket"], place),
        ]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
                for action, resource in statements
            ],
        }
        self.server.set_policy(self.bucket, policy)


class DigestsTests(SynchronousTestCase):
    """Only what is a digest of the whole object's bytes is compared."""

    def digests(self, **headers: str) -> dict[str, str]:
        """Return the digests in some headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return dict(digests_of(Answer(200, named, b"", True)))

    def test_a_tag_may_be_an_md5(self) -> None:
        md5 = "900150983cd24fb0d6963f7d28e17f72"
        self.assertEqual(self.digests(etag=f'"{md5}"'), {"MD5": md5})
        encrypted = self.digests(etag=f'"{md5}"', x_amz_server_side_encryption="AES256")
        self.assertEqual(encrypted, {"MD5": md5})
        for etag, encryption in (
            (f'"{md5}-3"', "AES256"),
            (f'"{md5}"', "aws:kms"),
            (f'"{md5}"', "aws:kms:dsse"),
            ("", "AES256"),
        ):
            found = self.digests(etag=etag, x_amz_server_side_encryption=encryption)
            self.assertEqual(found, {}, (etag, encryption))

    def test_a_checksum_of_checksums_is_none(self) -> None:
        sha256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        self.assertEqual(list(self.digests(x_amz_checksum_sha256=sha256)), ["SHA-256"])
        self.assertEqual(
            self.digests(x_amz_checksum_sha256=f"{sha256}-2", x_amz_checksum_type="COMPOSITE"), {}
        )
