"""Both modes of the Cloud Storage store, over a stand-in for Google (``tests/support/gcs.py``)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from zope.interface.verify import verifyObject

from giftless.errors import (
    ConfigError,
    ObjectDamaged,
    PayloadTooLarge,
    ServiceUnavailable,
)
from giftless.interfaces import (
    ICheckable,
    IExternalStore,
    IInspector,
    IStreamingStore,
    IWritableStore,
    ObjectFacts,
)
from giftless.lfs.objects import Extras
from giftless.storage.gcs import authority, bucket
from giftless.storage.gcs.bucket import MAX_PUT
from giftless.storage.remote import xml_bucket, xml_parts
from giftless.storage.remote.writing import SMALL
from tests.contracts.stores import DATA
from tests.storage.gcs.support import GCSTestCase
from tests.storage.remote.actions import send
from tests.storage.remote.proxy_contract import ProxyStoreContract
from tests.support.blocking import jobs_of
from tests.support.bodies import ListBody, read_all
from tests.support.faulty import COME_LATER, HANG, RESET, SLOW_DOWN, Fault, FaultyProxy, answer
from tests.support.gcs import Google
from tests.support.making import key_of, put_object
from tests.support.ports import free_port


class ProxyTests(ProxyStoreContract, GCSTestCase):
    """``mode: proxy``, with a service account's key."""

    def setUp(self) -> None:
        GCSTestCase.setUp(self)
        self.store = self.make_store()

    def make_store(self) -> Any:
        return self.build(mode="proxy")

    def make_other(self) -> Any:
        mine = self.bucket
        self.bucket = f"{mine}-other"
        try:
            self.google.create(self.bucket)
            return self.build(mode="proxy", prefix="other/place")
        finally:
            self.bucket = mine

    def place(self, name: str, data: bytes) -> None:
        self.google.write(self.bucket, name, data)

    def placed(self) -> Mapping[str, bytes]:
        return self.google.objects(self.bucket)

    def test_what_the_name_says_is_kept_beside_the_bytes(self) -> None:
        extras: Extras = {"filename": "\u00fcber.pdf", "n": 1}
        key = key_of(b"abc")
        self.put(key, b"abc", extras=extras)
        self.assertEqual(self.run_now(self.store.inspect(key)), ObjectFacts(3, None, extras))
        token = self.google.issue()
        name = quote(self.store.container.layout.name(key))
        url = f"{self.google.url}/{self.bucket}/{name}"
        _, headers, _ = send("GET", url, {"Authorization": f"Bearer {token}"})
        self.assertEqual(headers["content-type"], "application/pdf")
        self.assertIn("%C3%BCber.pdf", headers["content-disposition"])


class ProxyWithHmacTests(ProxyTests):
    """The same below a prefix, with an HMAC key that signs every request."""

    def make_store(self) -> Any:
        section = self.google.hmac_options(self.bucket, mode="proxy", prefix="/team a/\u00fc/")
        return self.build_section(section)

    def test_every_request_is_signed_and_every_name_is_below_the_prefix(self) -> None:
        self.put(key_of(b"abc"), b"abc", extras={"n": 1})
        self.assertEqual(self.get(key_of(b"abc")), b"abc")
        self.assertEqual(self.placed(), {f"team a/\u00fc/{key_of(b'abc').path}": b"abc"})
        self.assertEqual({how for _, _, how in self.google.requests}, {"GOOG4-HMAC-SHA256"})


class DirectTests(GCSTestCase):
    """``mode: direct``, signed with a service account's key."""

    #: How signatures are made.
    algorithm = "GOOG4-RSA-SHA256"

    def setUp(self) -> None:
        super().setUp()
        self.store = self.make_store()

    def make_store(self) -> Any:
        """Return a store."""
        return self.build()

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
            self.assertTrue(598 <= action.expires_in <= 600, action.expires_in)
            self.assertEqual(send("PUT", action.href, action.header, data)[0], 200)
            self.assertEqual(self.run_now(self.store.sizes([key_of(data)])), [len(data)])
            status, headers, body = send("GET", self.download_action(data).href)
            self.assertEqual((status, body), (200, data))
            self.assertEqual(headers["content-type"], "application/octet-stream")
            facts = self.run_now(self.store.inspect(key_of(data)))
            self.assertEqual(facts, ObjectFacts(len(data)))
        used = {(method, how) for method, _, how in self.google.requests}
        self.assertLessEqual({("PUT", self.algorithm), ("GET", self.algorithm)}, used)

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
            self.assertIn(key.path, self.google.objects(self.bucket))
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

    def test_the_store_refuses_another_length(self) -> None:
        """Of other bytes of the same length it does not know."""
        action = self.upload_action(b"right")
        for wrong in (b"righ", b"right!", b""):
            self.assertEqual(send("PUT", action.href, action.header, wrong)[0], 400, wrong)
        self.assertEqual(self.google.objects(self.bucket), {})

    def test_the_store_refuses_to_replace_an_object(self) -> None:
        action = self.upload_action(b"x")
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200)
        self.assertEqual(send("PUT", action.href, action.header, b"y")[0], 412)
        self.assertEqual(self.google.objects(self.bucket), {key_of(b"x").path: b"x"})

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
        upload = self.upload_action(b"abc", filename="a.txt")
        self.assertEqual(send("PUT", upload.href, upload.header, b"abc")[0], 200)
        download = self.download_action(b"abc", filename="a.txt")
        self.assertEqual(send("GET", download.href)[0], 200)
        for href in (
            download.href.replace(key_of(b"abc").oid, key_of(b"other").oid),
            download.href.replace("org/repo", "org/other"),
            download.href.replace("X-Goog-Expires=600", "X-Goog-Expires=6000"),
            download.href.replace("attachment", "inline"),
            download.href.replace("text%2Fplain", "text%2Fhtml"),
            download.href[:-1] + ("0" if download.href[-1] != "0" else "1"),
            download.href + "&generation=1",
            download.href.partition("?")[0],
        ):
            self.assertNotEqual(href, download.href)
            self.assertEqual(send("GET", href)[0], 403, href)
        self.assertEqual(send("DELETE", download.href)[0], 403)
        self.assertEqual(send("PUT", download.href, {}, b"abc")[0], 403)
        for name, value in (
            ("Content-Type", "text/html"),
            ("x-goog-if-generation-match", "1"),
            ("x-goog-content-length-range", "0,9"),
            ("x-goog-meta-more", "1"),
            ("Content-Disposition", "inline"),
        ):
            changed = {**upload.header, name: value}
            self.assertEqual(send("PUT", upload.href, changed, b"abc")[0], 403, name)
        for name in upload.header:
            fewer = {key: value for key, value in upload.header.items() if key != name}
            self.assertIn(send("PUT", upload.href, fewer, b"abc")[0], (400, 403), name)

    def test_a_signature_expires(self) -> None:
        data = b"x"
        self.run_now(self.store.sizes([key_of(data)]))
        real = time.time
        self.patch(self.store.container._authority, "_wall_clock", lambda: real() - 601)
        for method, action in (
            ("PUT", self.upload_action(data)),
            ("GET", self.download_action(data)),
        ):
            status, _, body = send(method, action.href, action.header, data)
            self.assertEqual(status, 400)
            self.assertIn(b"ExpiredToken", body)

    def test_what_is_too_large_is_refused(self) -> None:
        signed = self.store.upload_action(key_of(b"x"), MAX_PUT + 1, 60, {})
        self.assert_fails(PayloadTooLarge, signed)
        self.run_now(self.store.upload_action(key_of(b"x"), MAX_PUT, 60, {}))

    def test_many_sizes_come_in_order(self) -> None:
        for number in range(0, 100, 7):
            content = b"%d" % number
            self.google.write(self.bucket, key_of(content).path, content * 10)
        keys = [key_of(b"%d" % number) for number in range(100)]
        expected = [10 * len(b"%d" % n) if n % 7 == 0 else None for n in range(100)]
        self.assertEqual(self.run_now(self.store.sizes(keys)), expected)

    def test_clients_may_reach_the_store_elsewhere(self) -> None:
        public = self.google.url.replace("127.0.0.1", "localhost")
        store = self.build(public_endpoint_url=public + "/")
        self.run_now(store.check())
        action = self.run_now(store.upload_action(key_of(b"x"), 1, 60, {}))
        self.assertTrue(action.href.startswith(f"{public}/{self.bucket}/org/repo/"), action.href)
        self.assertEqual(send("PUT", action.href, action.header, b"x")[0], 200)
        self.assertEqual(self.run_now(store.sizes([key_of(b"x")])), [1])


class DirectWithHmacTests(DirectTests):
    """The same, signed with an HMAC key."""

    algorithm = "GOOG4-HMAC-SHA256"

    def make_store(self) -> Any:
        return self.build_section(self.google.hmac_options(self.bucket))


class DirectWithSignBlobTests(DirectTests):
    """The same, signed by Google for another service account."""

    def make_store(self) -> Any:
        return self.build(service_account_email=Google.MANAGED)

    def test_urls_are_signed_by_the_other_account(self) -> None:
        action = self.upload_action(b"x")
        self.assertIn("X-Goog-Credential=managed%40giftless-tests", action.href)

    def test_a_url_is_signed_once_while_it_is_good_for_long_enough(self) -> None:
        clock = self.store.container._clock
        now = time.time()
        seconds = now
        self.patch(clock, "seconds", lambda: seconds)
        self.patch(self.store.container._authority, "_wall_clock", lambda: seconds)

        def asked() -> int:
            return sum(path.endswith(":signBlob") for _, path, _ in self.google.requests)

        first = self.download_action(b"x")
        self.assertEqual((asked(), first.expires_in), (1, 600))
        seconds = now + 299
        again = self.download_action(b"x")
        self.assertEqual((asked(), again.href, again.expires_in), (1, first.href, 301))
        seconds = now + 301
        fresh = self.download_action(b"x")
        self.assertEqual((asked(), fresh.expires_in), (2, 600))
        self.assertNotEqual(fresh.href, first.href)
        # Another name is another URL, and so is another method.
        self.download_action(b"x", filename="a")
        self.upload_action(b"x")
        self.assertEqual(asked(), 4)

    def test_not_too_many_urls_are_kept(self) -> None:
        """Those that have not been asked for longest are forgotten."""
        self.patch(authority, "KEPT_URLS", 2)
        first = self.download_action(b"a").href
        self.download_action(b"b")
        self.assertEqual(self.download_action(b"a").href, first)
        self.download_action(b"c")
        self.google.requests.clear()
        for data in (b"a", b"c"):
            self.download_action(data)
        self.assertEqual(self.google.requests, [])
        self.download_action(b"b")
        self.assertEqual(len(self.google.requests), 1)

    def test_it_is_never_good_for_longer_than_google_keeps_a_key(self) -> None:
        signed = self.store.download_action(key_of(b"x"), 1, 100_000, {})
        self.assertTrue(43_198 <= self.run_now(signed).expires_in <= 43_200)


class SigningJobTests(GCSTestCase):
    """RSA signatures of a batch are made together."""

    def test_one_job_for_a_batch(self) -> None:
        store = self.build()
        keys = [key_of(b"%d" % number) for number in range(100)]
        self.run_now(store.sizes(keys))
        jobs = jobs_of(self, self.threads)
        signing = [self.start(store.download_action(key, 1, 60, {})) for key in keys]
        hrefs = [self.run_now(one).href for one in signing]
        self.assertEqual(len(jobs), 1)
        for key, href in zip(keys, hrefs, strict=True):
            self.assertIn(key.oid, href)
        self.assertEqual(send("GET", hrefs[7])[0], 404)

    def test_a_job_that_fails_fails_all_in_it(self) -> None:
        store = self.build()
        self.run_now(store.sizes([key_of(b"x")]))

        def fail(*_: object) -> Any:
            raise OSError("no thread")

        self.patch(self.threads, "run", fail)
        signing = [self.start(store.download_action(key_of(b"x"), 1, 60, {})) for _ in range(3)]
        for one in signing:
            self.failureResultOf(one, OSError)


class CheckTests(GCSTestCase):
    """``--check`` names what is wrong, and leaves nothing behind."""

    def assert_blamed(self, path: str, words: str, **options: Any) -> None:
        self.assert_section_blamed(path, words, self.google.options(self.bucket, **options))

    def assert_section_blamed(self, path: str, words: str, section: dict[str, Any]) -> None:
        error = self.assert_fails(ConfigError, self.build_section(section).check())
        self.assertEqual(error.path, path, error)
        self.assertIn(words, error.problem)
        self.assertNotIn("\n", str(error))
        for secret in (Google.SECRET, "Signature=", "PRIVATE", "ya29"):
            self.assertNotIn(secret, str(error))

    def test_all_is_well(self) -> None:
        for mode in ("direct", "proxy"):
            self.run_now(self.build(mode=mode).check())
            self.run_now(self.build(mode=mode, service_account_email=Google.MANAGED).check())
            hmac = self.google.hmac_options(self.bucket, mode=mode)
            self.run_now(self.build_section(hmac).check())
        self.assertEqual(self.google.objects(self.bucket), {})

    def test_a_wrong_bucket_is_named(self) -> None:
        section = self.google.options("missing")
        self.assert_section_blamed("bucket", "no such bucket", section)

    def test_a_wrong_key_is_named(self) -> None:
        """Google does not know this key of the account."""
        wrong = self.google.key_file("stranger")
        self.assert_blamed("credentials_file", "invalid_grant", credentials_file=str(wrong))

    def test_a_missing_key_file_is_named(self) -> None:
        missing = self.mktemp()
        self.assert_blamed("credentials_file", "No such file", credentials_file=missing)
        broken = Path(self.mktemp())
        for text in ("", "{", "{}", "[]", '{"type": "authorized_user"}'):
            broken.write_text(text)
            self.assert_blamed("credentials_file", "cannot be had", credentials_file=str(broken))

    def test_wrong_hmac_key(self) -> None:
        section = self.google.hmac_options(self.bucket, hmac_access_key="GOOG1EWRONG")
        self.assert_section_blamed("hmac_access_key", "does not know", section)
        section = self.google.hmac_options(self.bucket, hmac_secret="wrong")
        self.assert_section_blamed("hmac_secret", "refuses", section)

    def test_each_missing_permission_is_named(self) -> None:
        for permission in (
            "storage.objects.get",
            "storage.objects.create",
            "storage.objects.delete",
            "storage.multipartUploads.list",
            "storage.multipartUploads.listParts",
            "storage.multipartUploads.abort",
            "storage.multipartUploads.create",
        ):
            self.google.denied.clear()
            self.google.denied.add(permission)
            for mode in ("direct", "proxy"):
                self.assert_blamed("", permission, mode=mode)
        self.assertEqual(self.google.objects(self.bucket), {})

    def test_what_only_listing_and_deleting_need_may_be_missing(self) -> None:
        """Objects are served without."""
        self.google.denied |= {"storage.objects.list", "storage.objects.delete"}
        for mode in ("direct", "proxy"):
            store = self.build(mode=mode)
            self.assertEqual(self.run_now(store.sizes([key_of(b"x")])), [None])
            self.assert_fails(ServiceUnavailable, store.list(None))
            self.assert_fails(ServiceUnavailable, store.delete(key_of(b"x")))

    def test_nobody_may_sign(self) -> None:
        self.google.denied.add("iam.serviceAccounts.signBlob")
        self.assert_blamed(
            "service_account_email", "Token Creator", service_account_email=Google.MANAGED
        )
        self.google.denied.clear()
        self.assert_blamed(
            "service_account_email", "Not found", service_account_email="no@example.com"
        )

    def test_an_unreachable_store_is_named(self) -> None:
        self.patch(bucket, "CHECK_TIMEOUT", 1.0)
        self.patch(xml_bucket, "CHECK_TIMEOUT", 1.0)
        self.patch(xml_parts, "CHECK_TIMEOUT", 1.0)
        with FaultyProxy(self.google.port) as proxy:
            for fault in (RESET, HANG, SLOW_DOWN):
                proxy.always(fault)
                self.assert_blamed("endpoint_url", "nothing can be had", endpoint_url=proxy.url)
        closed = f"http://127.0.0.1:{free_port()}"
        self.assert_blamed("endpoint_url", "refused", endpoint_url=closed)

    def test_a_server_that_is_not_google_is_named(self) -> None:
        with FaultyProxy(self.google.port) as proxy:
            proxy.always(answer("404 Not Found", b"<h1>nothing</h1>"))
            self.assert_blamed("endpoint_url", "is not Cloud Storage", endpoint_url=proxy.url)

    def test_a_store_without_conditions(self) -> None:
        """An emulator, say."""
        with FaultyProxy(self.google.port) as proxy:
            proxy.fault = lambda head: answer("200 OK") if head.startswith(b"PUT") else None
            self.assert_blamed("endpoint_url", "replace objects", endpoint_url=proxy.url)


class FaultTests(GCSTestCase):
    """A store that is slow, fails or hangs."""

    def setUp(self) -> None:
        super().setUp()
        self.proxy = FaultyProxy(self.google.port)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)

    def behind(self, **options: Any) -> Any:
        """Return a store behind the proxy."""
        return self.build(endpoint_url=self.proxy.url, iam_endpoint_url=self.proxy.url, **options)

    def test_what_passes_is_not_noticed(self) -> None:
        store = self.behind()
        for fault in (RESET, SLOW_DOWN, answer("500 Oops")):
            self.proxy.then(fault, fault)
            self.assertEqual(self.run_now(store.sizes([key_of(b"x")])), [None])

    def test_nothing_is_absent_unless_the_store_says_so(self) -> None:
        """Not what a proxy says, nor a bucket that is gone, nor a refusal."""
        store = self.behind(timeout=1)
        for fault in (
            HANG,
            RESET,
            SLOW_DOWN,
            answer("403 Forbidden"),
            answer("404 Not Found"),
            answer("404 Not Found", x_goog_hash="x"),
            answer("404 Not Found", b"<Error><Code>NoSuchBucket</Code></Error>"),
            answer("301 Moved Permanently"),
        ):
            self.proxy.always(fault)
            self.assert_fails(ServiceUnavailable, store.sizes([key_of(b"x"), key_of(b"y")]))
            self.assert_fails(ServiceUnavailable, store.inspect(key_of(b"x")))
        self.proxy.always(None)
        self.assertEqual(self.run_now(self.behind().sizes([key_of(b"x")])), [None])

    def test_of_some_objects_it_can_be_told(self) -> None:
        store = self.behind(timeout=20)
        self.google.write(self.bucket, key_of(b"x").path, b"x")
        bad = key_of(b"y").oid.encode()
        self.proxy.fault = lambda head: COME_LATER if bad in head else None
        found = self.run_now(store.sizes([key_of(b"x"), key_of(b"y"), key_of(b"z")]))
        self.assertEqual((found[0], found[2]), (1, None))
        self.assertIsInstance(found[1], ServiceUnavailable)

    def test_no_connection_is_left(self) -> None:
        hasty = self.behind(timeout=1, mode="proxy")
        store = self.behind(mode="proxy")
        self.google.write(self.bucket, key_of(DATA).path, DATA)
        self.proxy.always(HANG)
        self.assert_fails(ServiceUnavailable, hasty.sizes([key_of(b"x")]))
        self.proxy.always(None)
        stored = self.run_now(store.open(key_of(DATA)))
        self.proxy.then(Fault("cut", after=100_000))
        self.assert_fails(ServiceUnavailable, read_all(stored.read(0, stored.size)))
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), DATA)
        stored.close()
        self.run_now(self.pool.closeCachedConnections())
        self.spin(lambda: self.proxy.open == 0)

    def test_an_upload_that_breaks_is_an_error(self) -> None:
        store = self.behind(mode="proxy")
        data = os.urandom(4 * SMALL)
        self.proxy.then(RESET)
        put = put_object(store, key_of(data), len(data), ListBody([data[:SMALL], data[SMALL:]]), {})
        self.assert_fails(ServiceUnavailable, put)
        self.assertEqual(self.run_now(store.sizes([key_of(data)])), [None])
        self.assertEqual(self.google.objects(self.bucket), {})

    def test_signing_that_fails_is_an_error_of_the_object(self) -> None:
        store = self.behind(timeout=20, service_account_email=Google.MANAGED)
        for fault in (COME_LATER, answer("200 OK", b"{}"), answer("403 Forbidden", b"no")):
            self.proxy.always(fault)
            signed = store.download_action(key_of(b"x"), 1, 60, {})
            self.assert_fails(ServiceUnavailable, signed)
        self.proxy.always(None)
        # The proxy has answered before it had all of a request.
        self.run_now(self.pool.closeCachedConnections())
        self.run_now(store.download_action(key_of(b"x"), 1, 60, {}))
