"""Both modes of the S3 store against a server that verifies signatures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from zope.interface.verify import verifyObject

from giftless.errors import ConfigError, ObjectDamaged, PayloadTooLarge
from giftless.interfaces import (
    ICheckable,
    IExternalStore,
    IInspector,
    IStreamingStore,
    IWritableStore,
    ObjectFacts,
)
from giftless.storage.remote.writing import SMALL
from giftless.storage.s3.bucket import MAX_PUT
from tests.storage.remote.actions import send
from tests.storage.remote.proxy_contract import ProxyStoreContract
from tests.storage.s3.support import S3TestCase
from tests.support.bodies import ListBody
from tests.support.making import key_of, put_object


class ProxyTests(ProxyStoreContract, S3TestCase):
    """``mode: proxy``."""

    keeps_sha256 = True

    def setUp(self) -> None:
        S3TestCase.setUp(self)
        self.store = self.make_store()

    def make_store(self) -> Any:
        return self.build(mode="proxy")

    def make_other(self) -> Any:
        mine = self.bucket
        self.bucket = f"{mine}-other"
        try:
            return self.build(mode="proxy", prefix="other/place")
        finally:
            self.bucket = mine

    def place(self, name: str, data: bytes) -> None:
        path = self.server.buckets / self.bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def placed(self) -> Mapping[str, bytes]:
        return self.server.objects(self.bucket)

    def test_the_store_keeps_the_checksum(self) -> None:
        data = os.urandom(SMALL * 2)
        for content in (data, b"small"):
            key = key_of(content)
            self.put(key, content, extras={"filename": "a.png"})
            facts = ObjectFacts(len(content), str(key.oid), {"filename": "a.png"})
            self.assertEqual(self.run_now(self.store.inspect(key)), facts)
        self.assertIsNone(self.run_now(self.store.inspect(key_of(b"absent"))))

    def test_without_checksums_and_below_a_prefix(self) -> None:
        store = self.build(mode="proxy", checksum=False, prefix="/team a/\u00fc/")
        data = b"small"
        self.run_now(put_object(store, key_of(data), 5, ListBody([data]), {}))
        self.assertEqual(
            self.server.objects(self.bucket), {f"team a/\u00fc/{key_of(data).path}": data}
        )
        self.assertEqual(self.run_now(store.sizes([key_of(data)])), [5])


class DirectTests(S3TestCase):
    """``mode: direct``."""

    def setUp(self) -> None:
        super().setUp()
        self.store = self.build()

    def upload_action(self, data: bytes, **extras: Any) -> Any:
        """Sign an upload."""
        return self.run_now(self.store.upload_action(key_of(data), len(data), 600, extras))

    def download_action(self, data: bytes, **extras: Any) -> Any:
        """Sign a download."""
        return self.run_now(self.store.download_action(key_of(data), len(data), 600, extras))

    def test_it_signs_and_does_not_stream(self) -> None:
        for interface in (IExternalStore, IWritableStore, IInspector, ICheckable):
            verifyObject(interface, self.store)
        self.assertFalse(IStreamingStore.providedBy(self.store))

    def test_the_daemon_itself_can_write_to_it(self) -> None:
        for data in (b"", b"x", os.urandom(SMALL + 1)):
            self.run_now(put_object(self.store, key_of(data), len(data), ListBody([data]), {}))
            action = self.download_action(data)
            self.assertEqual(send("GET", action.href)[2], data)

    def test_what_a_client_uploads_it_can_download(self) -> None:
        for data in (b"", b"x", os.urandom(300_000)):
            action = self.upload_action(data)
            self.assertEqual(action.expires_in, 600)
            self.assertEqual(send("PUT", action.href, action.header, data)[0], 200)
            self.assertEqual(self.run_now(self.store.sizes([key_of(data)])), [len(data)])
            status, headers, body = send("GET", self.download_action(data).href)
            self.assertEqual((status, body), (200, data))
            self.assertEqual(headers["content-type"], "application/octet-stream")
            facts = self.run_now(self.store.inspect(key_of(data)))
            self.assertEqual(facts.sha256, key_of(data).oid)

    def test_names_of_all_kinds(self) -> None:
        """What a repository may be called works in paths and signatures."""
        for path in (
            "org/r\u00e9po", "a b/c+d", "a~/b%41", "a/b=c&d?e", "#/;:@", "*'()!/$,",
            "\u2764/\U0001f600", "a\\b/c\"d<e>", "a.b/..c", "x/%2F", "deep/er/and/deeper",
        ):  # fmt: skip
            key = key_of(b"x", path)
            action = self.run_now(self.store.upload_action(key, 1, 60, {}))
            self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200, path)
            self.assertEqual(self.run_now(self.store.sizes([key])), [1], path)
            self.assertIn(key.path, self.server.objects(self.bucket))
            action = self.run_now(self.store.download_action(key, 1, 60, {}))
            self.assertEqual(send("GET", action.href)[2], b"x", path)

    def test_the_file_name_is_kept_and_can_be_chosen(self) -> None:
        action = self.upload_action(b"x", filename="\u00fcber/r\u00e9sum\u00e9.pdf", n=1)
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200)
        _, headers, _ = send("GET", self.download_action(b"x").href)
        self.assertEqual(headers["content-type"], "application/pdf")
        self.assertEqual(
            headers["content-disposition"],
            "attachment; filename=\"r_sum_.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf",
        )
        _, headers, _ = send("GET", self.download_action(b"x", filename="now.txt").href)
        self.assertEqual(headers["content-type"], "text/plain")
        self.assertEqual(headers["content-disposition"], 'attachment; filename="now.txt"')

    def test_the_store_refuses_other_bytes(self) -> None:
        action = self.upload_action(b"right")
        for wrong in (b"wrong", b"righ", b"right!", b""):
            self.assertIn(send("PUT", action.href, action.header, wrong)[0], (400, 403), wrong)
        self.assertEqual(self.server.objects(self.bucket), {})

    def test_the_store_refuses_to_replace_an_object(self) -> None:
        action = self.upload_action(b"x")
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200)
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 412)
        action = self.run_now(
            self.build(conditional_writes=False).upload_action(key_of(b"x"), 1, 60, {})
        )
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200)

    def test_a_damaged_object_is_replaced_by_a_signed_upload(self) -> None:
        """Which may replace it, as no other may; and that ends the mark."""
        action = self.upload_action(b"x", filename="a.txt")
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200)
        self.run_now(self.store.mark(key_of(b"x"), "bad bytes"))
        (size,) = self.run_now(self.store.sizes([key_of(b"x")]))
        self.assertIsInstance(size, ObjectDamaged)
        self.assertNotEqual(send("PUT", action.href, action.header, b"x")[0], 200)
        action = self.run_now(self.store.upload_action(key_of(b"x"), 1, 600, {}, True))
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200)
        self.assertEqual(self.run_now(self.store.sizes([key_of(b"x")])), [1])

    def test_a_tampered_url_is_refused(self) -> None:
        upload, download = self.upload_action(b"abc", filename="a.txt"), self.download_action(b"")
        self.assertEqual(send("PUT", upload.href, upload.header, b"abc")[0], 200)
        download = self.download_action(b"abc", filename="a.txt")
        other = key_of(b"other").oid
        for href in (
            download.href.replace(key_of(b"abc").oid, other),
            download.href.replace("org/repo", "org/other"),
            download.href.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"),
            download.href.replace("attachment", "inline"),
            download.href.replace("text%2Fplain", "text%2Fhtml"),
            download.href[:-1] + ("0" if download.href[-1] != "0" else "1"),
            download.href + "&versionId=1",
            download.href.partition("?")[0],
        ):
            self.assertNotEqual(href, download.href)
            self.assertEqual(send("GET", href)[0], 403, href)
        self.assertEqual(send("DELETE", download.href)[0], 403)
        self.assertEqual(send("PUT", download.href, {}, b"abc")[0], 403)
        for name, value in (
            ("Content-Type", "text/html"),
            ("x-amz-checksum-sha256", "AAAA"),
            ("If-None-Match", ""),
            ("Content-Disposition", "inline"),
        ):
            changed = {**upload.header, name: value}
            self.assertEqual(send("PUT", upload.href, changed, b"abc")[0], 403, name)

    def test_a_signature_expires(self) -> None:
        self.patch(self.store.container, "_wall_clock", lambda: 1_700_000_000.0)
        for method, action in (
            ("PUT", self.upload_action(b"x")),
            ("GET", self.download_action(b"x")),
        ):
            status, _, body = send(method, action.href, action.header, b"x")
            self.assertEqual(status, 403)
            self.assertIn(b"expired", body)

    def test_what_does_not_fit_into_one_request_is_refused(self) -> None:
        signed = self.store.upload_action(key_of(b"x"), MAX_PUT + 1, 60, {})
        self.assertIn("multipart", str(self.assert_fails(PayloadTooLarge, signed)))
        self.run_now(self.store.upload_action(key_of(b"x"), MAX_PUT, 60, {}))

    def test_an_object_that_cannot_be_copied_at_once_is_not_marked(self) -> None:
        action = self.upload_action(b"abc")
        self.assertEqual(send("PUT", action.href, action.header, b"abc")[0], 200)
        self.patch(type(self.store.container), "max_copy", 2)
        error = self.assert_fails(PayloadTooLarge, self.store.mark(key_of(b"abc"), "bad"))
        self.assertIn("marks up to 2", error.message)
        self.assertEqual(self.run_now(self.store.sizes([key_of(b"abc")])), [3])

    def test_many_sizes_come_in_order(self) -> None:
        data = [b"%d" % number for number in range(0, 100, 7)]
        for content in data:
            path = self.server.buckets / self.bucket / key_of(content).path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content * 10)
        keys = [key_of(b"%d" % number) for number in range(100)]
        expected = [10 * len(b"%d" % n) if n % 7 == 0 else None for n in range(100)]
        self.assertEqual(self.run_now(self.store.sizes(keys)), expected)

    def test_clients_may_reach_the_store_elsewhere(self) -> None:
        public = self.server.url.replace("127.0.0.1", "localhost")
        store = self.build(public_endpoint_url=public + "/")
        self.run_now(store.check())
        action = self.run_now(store.upload_action(key_of(b"x"), 1, 60, {}))
        self.assertTrue(action.href.startswith(f"{public}/{self.bucket}/org/repo/"), action.href)
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200)
        self.assertEqual(self.run_now(store.sizes([key_of(b"x")])), [1])


class CheckTests(S3TestCase):
    """``--check`` names what is wrong, and leaves nothing behind."""

    def check(self, **options: Any) -> None:
        self.run_now(self.build(**options).check())

    def assert_blamed(self, path: str, words: str, **options: Any) -> None:
        error = self.assert_fails(ConfigError, self.build(**options).check())
        self.assertEqual(error.path, path, error)
        self.assertIn(words, error.problem)
        self.assertNotIn("\n", str(error))
        self.assertNotIn(self.server.SECRET_KEY, str(error))

    def test_all_is_well(self) -> None:
        for mode in ("direct", "proxy"):
            for checksum in (True, False):
                for conditional in (True, False):
                    self.check(mode=mode, checksum=checksum, conditional_writes=conditional)
        self.assertEqual(self.server.objects(self.bucket), {})

    def test_a_wrong_bucket_is_named(self) -> None:
        self.assert_blamed("bucket", "no such bucket", bucket="missing")

    def test_a_wrong_key_is_named(self) -> None:
        self.assert_blamed("access_key_id", "does not know", access_key_id="AKIDWRONG")

    def test_a_wrong_secret_is_named(self) -> None:
        self.assert_blamed("secret_access_key", "does not belong", secret_access_key="wrong")

    def test_a_wrong_region_is_named(self) -> None:
        self.assert_blamed("region", f"is in '{self.server.REGION}'", region="us-west-2")
