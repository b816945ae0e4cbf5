"""A store in Azure Blob Storage, over an Azurite that verifies what is signed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import treq
from zope.interface.verify import verifyObject

from giftless.errors import (
    BadRequest,
    ConfigError,
    ObjectDamaged,
    PayloadTooLarge,
    ServiceUnavailable,
)
from giftless.interfaces import (
    IExternalStore,
    IInspector,
    IStreamingStore,
    IWritableStore,
)
from giftless.lfs.objects import Action
from giftless.storage.azure.blobs import MAX_PUT
from giftless.storage.remote.failures import RETRY_AFTER
from giftless.storage.remote.writing import SMALL
from tests.contracts.stores import DATA
from tests.storage.azure.support import AzureTestCase
from tests.storage.remote.proxy_contract import ProxyStoreContract
from tests.support.bodies import ListBody, read_all
from tests.support.faulty import COME_LATER, HANG, RESET, SLOW_DOWN, Fault, answer
from tests.support.making import key_of, put_object

#: A name with all that makes names hard.
NAME = "\u00fcber \u2764 'quoted\".png"


class ProxyStoreTests(ProxyStoreContract, AzureTestCase):
    """``mode: proxy`` keeps every promise of a storage backend."""

    def setUp(self) -> None:
        AzureTestCase.setUp(self)
        self.store = self.make_store()

    def make_store(self) -> Any:
        return self.build(mode="proxy")

    def make_other(self) -> Any:
        mine = self.container
        self.container = f"{mine}-other"
        try:
            self.server.create(self.container)
            return self.build(mode="proxy", prefix="other/place")
        finally:
            self.container = mine

    def place(self, name: str, data: bytes) -> None:
        blob = self.server.container(self.container).get_blob_client(name)
        blob.upload_blob(data, overwrite=True)

    def placed(self) -> Mapping[str, bytes]:
        return self.server.objects(self.container)


class ProxyStoreWithPrefixTests(ProxyStoreTests):
    """So it does below a prefix."""

    def make_store(self) -> Any:
        return self.build(mode="proxy", prefix="/team/a b/")

    def test_the_prefix_is_in_front_of_every_object(self) -> None:
        self.put(key_of(b"abc"), b"abc")
        objects = self.server.objects(self.container)
        self.assertEqual(objects, {f"team/a b/{key_of(b'abc').path}": b"abc"})


class ProxyTests(AzureTestCase):
    """What is particular to ``mode: proxy``."""

    def test_what_the_name_says_is_kept_beside_the_bytes(self) -> None:
        store = self.build(mode="proxy")
        key = key_of(DATA)
        self.run_now(put_object(store, key, len(DATA), ListBody([DATA]), {"filename": NAME}))
        settings = self.server.container(self.container).get_blob_client(key.path)
        found = settings.get_blob_properties().content_settings
        self.assertEqual(found.content_type, "image/png")
        self.assertIn("filename*=UTF-8''%C3%BCber", found.content_disposition)

    def test_a_store_that_stalls_in_a_download_is_an_error(self) -> None:
        """The client is not left with half an object that looks whole."""
        store, proxy = self.behind_proxy(mode="proxy")
        self.run_now(put_object(store, key_of(DATA), len(DATA), ListBody([DATA]), {}))
        stored = self.run_now(store.open(key_of(DATA)))
        proxy.then(Fault("cut", after=100_000))
        self.assert_fails(ServiceUnavailable, read_all(stored.read(0, stored.size)))
        # The next attempt is well.
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), DATA)
        stored.close()

    def test_a_store_that_resets_an_upload_has_nothing(self) -> None:
        store, proxy = self.behind_proxy(mode="proxy")
        data = DATA * 20
        proxy.always(RESET)
        put = put_object(store, key_of(data), len(data), ListBody([data]), {})
        self.assert_fails(ServiceUnavailable, put)
        proxy.always(None)
        self.assertEqual(self.run_now(store.sizes([key_of(data)])), [None])

    def test_a_small_upload_is_tried_again(self) -> None:
        store, proxy = self.behind_proxy(mode="proxy")
        proxy.then(SLOW_DOWN, RESET)
        self.run_now(put_object(store, key_of(b"abc"), 3, ListBody([b"abc"]), {}))
        self.assertEqual(self.server.objects(self.container), {key_of(b"abc").path: b"abc"})

    def test_no_connection_is_left_by_what_failed(self) -> None:
        store, proxy = self.behind_proxy(mode="proxy", timeout=1)
        proxy.always(HANG)
        self.assert_fails(ServiceUnavailable, store.sizes([key_of(b"abc")]))
        self.spin(lambda: proxy.open == 0)


class DirectTests(AzureTestCase):
    """``mode: direct``: what is signed does what it says, and nothing else."""

    def setUp(self) -> None:
        super().setUp()
        self.store = self.build()

    def upload(self, data: bytes, extras: dict[str, str] | None = None) -> Action:
        """Sign an upload."""
        result: Action = self.run_now(
            self.store.upload_action(key_of(data), len(data), 3600, extras or {})
        )
        return result

    def download(self, data: bytes, extras: dict[str, str] | None = None) -> Action:
        """Sign a download."""
        result: Action = self.run_now(
            self.store.download_action(key_of(data), len(data), 3600, extras or {})
        )
        return result

    def send(
        self, method: str, action: Action, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Do what an action says."""

        async def send() -> tuple[int, dict[str, str], bytes]:
            header: dict[Any, Any] = {**(action.header or {})}
            reply = await treq.request(
                method, action.href, headers=header, data=body, pool=self.pool
            )
            headers = {
                name.decode().lower(): values[0].decode()
                for name, values in reply.headers.getAllRawHeaders()
            }
            return reply.code, headers, await reply.content()

        return self.run_now(send())

    def test_it_signs_and_does_not_stream(self) -> None:
        verifyObject(IExternalStore, self.store)
        verifyObject(IWritableStore, self.store)
        verifyObject(IInspector, self.store)
        self.assertFalse(IStreamingStore.providedBy(self.store))

    def test_the_daemon_itself_can_write_to_it(self) -> None:
        for data in (b"", b"x", os.urandom(SMALL + 1)):
            self.run_now(put_object(self.store, key_of(data), len(data), ListBody([data]), {}))
            self.assertEqual(self.send("GET", self.download(data))[2], data)

    def test_a_damaged_object_is_replaced_by_a_signed_upload(self) -> None:
        """Which may replace it, as no other may; and that ends the mark."""
        action = self.upload(b"x", {"filename": "a.txt"})
        self.assertEqual(self.send("PUT", action, b"x")[0], 201)
        self.run_now(self.store.mark(key_of(b"x"), "bad bytes"))
        (size,) = self.run_now(self.store.sizes([key_of(b"x")]))
        self.assertIsInstance(size, ObjectDamaged)
        self.assertNotEqual(self.send("PUT", action, b"x")[0], 201)
        action = self.run_now(self.store.upload_action(key_of(b"x"), 1, 600, {}, True))
        self.assertEqual(self.send("PUT", action, b"x")[0], 201)
        self.assertEqual(self.run_now(self.store.sizes([key_of(b"x")])), [1])

    def test_an_object_goes_up_and_comes_down(self) -> None:
        self.assertEqual(self.send("PUT", self.upload(DATA), DATA)[0], 201)
        self.assertEqual(self.run_now(self.store.sizes([key_of(DATA)])), [len(DATA)])
        self.assertEqual(self.run_now(self.store.inspect(key_of(DATA))).size, len(DATA))
        status, _, body = self.send("GET", self.download(DATA))
        self.assertEqual((status, body), (200, DATA))

    def test_signatures_expire_as_the_action_says(self) -> None:
        action = self.upload(DATA)
        self.assertEqual(action.expires_in, 3600)
        self.assertIn("se=", action.href)

    def test_nothing_is_overwritten(self) -> None:
        """Who may create may not write: the bytes that came first stay."""
        self.assertEqual(self.send("PUT", self.upload(DATA), DATA)[0], 201)
        self.assertEqual(self.send("PUT", self.upload(DATA), b"other")[0], 403)
        self.assertEqual(self.send("GET", self.download(DATA))[2], DATA)

    def test_a_signature_is_for_one_thing_only(self) -> None:
        """Tampered with, for another object or another method: 403."""
        upload, download = self.upload(b"abc"), self.download(b"abc")
        self.assertEqual(self.send("PUT", self.upload(DATA), DATA)[0], 201)
        other = Action(upload.href.replace(key_of(b"abc").oid, key_of(b"xyz").oid), upload.header)
        longer = Action(upload.href.replace("se=20", "se=21"), upload.header)
        wider = Action(upload.href.replace("sp=c", "sp=cw"), upload.header)
        signature = upload.href[-12:-3].swapcase()
        broken = Action(upload.href[:-12] + signature + upload.href[-3:], upload.header)
        for action in (other, longer, wider, broken, Action(download.href, upload.header)):
            self.assertEqual(self.send("PUT", action, b"abc")[0], 403, action.href)
        self.assertEqual(self.send("DELETE", self.upload(DATA))[0], 403)
        self.assertEqual(self.send("GET", self.upload(DATA))[0], 403)
        self.assertEqual(list(self.server.objects(self.container)), [key_of(DATA).path])

    def test_the_file_name_of_an_upload_is_stored(self) -> None:
        self.send("PUT", self.upload(DATA, {"filename": NAME}), DATA)
        status, headers, _ = self.send("GET", self.download(DATA))
        self.assertEqual((status, headers["content-type"]), (200, "image/png"))
        self.assertIn("filename*=UTF-8''%C3%BCber", headers["content-disposition"])
        facts = self.run_now(self.store.inspect(key_of(DATA)))
        self.assertEqual(facts.extras, {"filename": NAME})

    def test_a_download_may_be_called_something_else(self) -> None:
        self.send("PUT", self.upload(DATA, {"filename": NAME}), DATA)
        _, headers, _ = self.send("GET", self.download(DATA, {"filename": "other.txt"}))
        self.assertEqual(headers["content-disposition"], 'attachment; filename="other.txt"')
        self.assertEqual(headers["content-type"], "text/plain")

    def test_what_is_too_large_for_one_request_is_refused(self) -> None:
        key = key_of(b"x")
        self.run_now(self.store.upload_action(key, MAX_PUT, 60, {}))
        self.assert_fails(PayloadTooLarge, self.store.upload_action(key, MAX_PUT + 1, 60, {}))

    def test_clients_are_sent_to_the_public_endpoint(self) -> None:
        store = self.build(public_endpoint_url="https://lfs.blob.example.com/")
        action = self.run_now(store.upload_action(key_of(b"x"), 1, 60, {}))
        start = f"https://lfs.blob.example.com/{self.container}/org/repo/"
        self.assertTrue(action.href.startswith(start), action.href)
        self.assertIn("&spr=https&", action.href)
        self.assertNotIn("spr=", self.upload(DATA).href)

    def test_names_that_azure_would_change_are_refused(self) -> None:
        for path in ("org./repo", "org/repo.", "org/back\\slash", "/".join(["x" * 250] * 4)):
            key = key_of(b"x", path)
            self.assert_fails(BadRequest, self.store.sizes([key]))
            self.assert_fails(BadRequest, self.store.upload_action(key, 1, 60, {}))


class PatienceTests(AzureTestCase):
    """Stores that fail, hang or are not there."""

    def test_a_batch_is_asked_about_at_once(self) -> None:
        """As many questions as there may be connections are sent before an answer comes."""
        store, proxy = self.behind_proxy(timeout=300)
        proxy.always(HANG)
        asked = self.start(store.sizes([key_of(b"%d" % number) for number in range(100)]))
        self.spin(lambda: len(proxy.requests) >= 64)
        proxy.always(None)
        proxy.reset_all()
        self.spin(lambda: asked.called)
        self.assertEqual(self.successResultOf(asked), [None] * 100)
        self.assertEqual(proxy.busiest, 64)

    def test_failures_that_pass_are_not_noticed(self) -> None:
        store, proxy = self.behind_proxy()
        proxy.then(SLOW_DOWN, RESET, answer("500 Internal Server Error"))
        self.assertEqual(self.run_now(store.sizes([key_of(b"x")])), [None])
        self.assertEqual(len(proxy.requests), 4)

    def test_a_store_that_keeps_failing_is_unavailable(self) -> None:
        for fault in (SLOW_DOWN, RESET, HANG):
            store, proxy = self.behind_proxy(timeout=1)
            proxy.always(fault)
            error = self.assert_fails(ServiceUnavailable, store.sizes([key_of(b"x")]))
            self.assertEqual(error.retry_after, RETRY_AFTER)

    def test_absent_is_said_only_if_azure_says_so(self) -> None:
        """A 404 from something else, or for the container, is no answer."""
        store, proxy = self.behind_proxy(timeout=1)
        for fault in (
            answer("404 Not Found"),
            answer("404 Not Found", x_ms_error_code="ContainerNotFound"),
            answer("403 Forbidden", x_ms_error_code="AuthenticationFailed"),
            answer("200 OK", Content_Length="none"),
        ):
            proxy.always(fault)
            self.assert_fails(ServiceUnavailable, store.sizes([key_of(b"x")]))

    def test_one_object_that_cannot_be_told_does_not_spoil_the_rest(self) -> None:
        store, proxy = self.behind_proxy(timeout=20)
        bad, good = key_of(b"bad"), key_of(b"good")
        proxy.fault = lambda data: COME_LATER if bad.oid.encode() in data else None
        first, second = self.run_now(store.sizes([bad, good]))
        self.assertIsInstance(first, ServiceUnavailable)
        self.assertIsNone(second)


class CheckTests(AzureTestCase):
    """``--check`` finds what is wrong, and says which option it is."""

    def complaint(self, **others: object) -> ConfigError:
        """Check a store and return what is wrong with it."""
        error: ConfigError = self.assert_fails(ConfigError, self.build(**others).check())
        self.assertNotIn("\n", str(error))
        return error

    def test_what_works_passes_and_leaves_nothing(self) -> None:
        for mode in ("direct", "proxy"):
            self.assertIsNone(self.run_now(self.build(mode=mode).check()))
        self.assertEqual(self.server.objects(self.container), {})

    def test_a_connection_string_passes(self) -> None:
        store = self.build(
            account=None,
            account_key=None,
            endpoint_url=None,
            connection_string=self.server.connection_string,
        )
        self.assertIsNone(self.run_now(store.check()))

    def test_a_wrong_container_is_named(self) -> None:
        self.container = "no-such-container"
        error = self.complaint()
        self.assertEqual(error.path, "container")
        self.assertIn("no such container", error.problem)

    def test_a_wrong_key_is_named(self) -> None:
        error = self.complaint(account_key="AAAA")
        self.assertEqual(error.path, "account_key")
        self.assertIn("wrong key", error.problem)

    def test_a_missing_permission_is_named(self) -> None:
        """To read, to create, or to delete."""
        refusal = answer("403 Forbidden", x_ms_error_code="AuthorizationPermissionMismatch")
        for verb, faults in (
            ("read", [refusal]),
            ("create", [None, refusal]),
            ("delete", [None, None, refusal]),
        ):
            store, proxy = self.behind_proxy()
            proxy.then(*faults)
            error = self.assert_fails(ConfigError, store.check())
            self.assertIn(f"may not {verb} blobs", error.problem)
            self.assertIn("Storage Blob Data Contributor", error.problem)

    def test_an_unreachable_store_is_named(self) -> None:
        error = self.complaint(endpoint_url="http://127.0.0.1:1/x", timeout=1)
        self.assertEqual(error.path, "endpoint_url")
        self.assertIn("refused", error.problem)

    def test_a_server_that_is_not_azure_is_named(self) -> None:
        """A web server that is not Azure."""
        store, proxy = self.behind_proxy()
        proxy.always(answer("404 Not Found", b"<h1>Not here</h1>"))
        error = self.assert_fails(ConfigError, store.check())
        self.assertEqual(error.path, "endpoint_url")
        self.assertIn("no Azure Blob service", error.problem)
