"""A store that is slow, fails, hangs and resets: right errors, and nothing left open."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from giftless.errors import ServiceUnavailable, StorageUnavailable
from giftless.storage.remote.writing import SMALL
from tests.storage.remote.proxy_contract import sizes_of
from tests.storage.s3.support import S3TestCase
from tests.support.bodies import ListBody, read_all
from tests.support.certificates import make_certificate
from tests.support.faulty import HANG, PATIENT, RESET, SLOW_DOWN, Fault, FaultyProxy, answer
from tests.support.making import key_of, put_object
from tests.support.servers import S3, shared, versitygw

#: More than connections, pools and bodies keep on the way.
LARGE = os.urandom(24 * 1024 * 1024)


class FaultTestCase(S3TestCase):
    """Has a proxy in front of the server, and notices what stays open."""

    #: The question's time in seconds, for questions that fail.
    timeout = 1

    def setUp(self) -> None:
        super().setUp()
        self.proxy = FaultyProxy(self.server.port)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)

    def connect(self, **options: Any) -> Any:
        """Build a store behind the proxy."""
        store = self.build(**{"endpoint_url": self.proxy.url, "timeout": self.timeout, **options})
        if options.get("mode") == "proxy":
            timeout = float(options.get("timeout", self.timeout))
            store.container.client.stall_timeout = timeout
        return store

    def place(self, data: bytes) -> None:
        """Put an object into the bucket, behind everybody's back."""
        path = self.server.buckets / self.bucket / key_of(data).path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def assert_nothing_open(self) -> None:
        """Check that only connections which can be used again are left."""
        self.spin(lambda: self.proxy.open == self.kept())
        self.run_now(self.pool.closeCachedConnections())
        self.spin(lambda: self.proxy.open == 0)

    def kept(self) -> int:
        return sum(map(len, self.pool._connections.values()))


class SizeTests(FaultTestCase):
    """Questions about objects."""

    def setUp(self) -> None:
        super().setUp()
        self.place(b"there")
        self.store = self.connect(timeout=PATIENT)
        self.hasty = self.connect()

    def size(self, data: bytes = b"there") -> Any:
        return self.run_now(self.store.sizes([key_of(data)]))

    def assert_unavailable(self) -> None:
        error = self.assert_fails(ServiceUnavailable, self.hasty.sizes([key_of(b"there")]))
        self.assertGreater(error.retry_after, 0)
        self.assert_nothing_open()

    def test_what_passes_soon_is_not_noticed(self) -> None:
        self.store = self.connect(timeout=25)
        for fault in (
            RESET,
            SLOW_DOWN,
            HANG,
            answer("500 Internal Error"),
            answer("429 Too Many Requests"),
            Fault("cut", after=20),
            Fault("answer", b"garbage\r\n\r\n"),
        ):
            self.proxy.then(fault)
            self.assertEqual(self.size(), [5], fault)
        self.proxy.then(RESET, SLOW_DOWN, RESET)
        self.assertEqual(self.size(), [5])
        self.assert_nothing_open()

    def test_what_does_not_pass_is_503(self) -> None:
        for fault in (SLOW_DOWN, RESET, HANG, Fault("stall", after=10)):
            self.proxy.always(fault)
            self.assert_unavailable()

    def test_an_absent_store_is_unavailable(self) -> None:
        self.hasty = self.connect(endpoint_url="http://127.0.0.1:1")
        self.assert_unavailable()

    def test_a_404_of_the_proxy_makes_nothing_absent(self) -> None:
        self.proxy.always(answer("404 Not Found", Server="proxy"))
        self.assert_unavailable()

    def test_a_login_page_is_no_object(self) -> None:
        self.proxy.always(answer("302 Found", Location="/login"))
        self.assert_unavailable()

    def test_one_of_many_that_hangs_fails_alone(self) -> None:
        self.store = self.connect(timeout=8)
        keys = [key_of(b"%d" % number) for number in range(40)]
        hanging = keys[7].oid.encode()
        self.proxy.fault = lambda data: HANG if hanging in data else None
        found = self.run_now(self.store.sizes([*keys, key_of(b"there")]))
        expected: list[object] = [None] * 40 + [5]
        expected[7] = StorageUnavailable
        self.assertEqual(sizes_of(found), expected)
        self.assert_nothing_open()

    def test_connections_that_were_closed_meanwhile_are_no_problem(self) -> None:
        self.size()
        self.proxy.reset_all()
        self.spin(lambda: self.proxy.open == 0)
        self.assertEqual(self.size(), [5])

    def test_many_failures_leave_no_descriptor_open(self) -> None:
        self.size()
        self.assert_nothing_open()
        before = len(os.listdir("/proc/self/fd"))
        keys = [key_of(b"%d" % number) for number in range(100)]
        for fault in (HANG, RESET):
            self.proxy.always(fault)
            self.assert_fails(ServiceUnavailable, self.hasty.sizes(keys))
        self.assert_nothing_open()
        self.spin(lambda: len(os.listdir("/proc/self/fd")) <= before)

    def test_a_hundred_questions_take_a_few_round_trips(self) -> None:
        """As many at once as may be, over connections that are kept."""
        self.proxy.latency = 0.3
        keys = [key_of(b"%d" % number) for number in range(100)]
        self.run_now(self.store.sizes(keys))
        accepted = self.proxy.accepted
        self.proxy.busiest = 0
        self.run_now(self.store.sizes(keys))
        self.assertGreaterEqual(self.proxy.busiest, 100 / 10)
        self.assertEqual(self.proxy.accepted, accepted)


class StreamTests(FaultTestCase):
    """Bytes through the daemon."""

    def setUp(self) -> None:
        super().setUp()
        self.store = self.connect(mode="proxy", timeout=PATIENT)
        self.hasty = self.connect(mode="proxy")

    def put(self, data: bytes, store: Any = None) -> Any:
        chunks = [data[start : start + SMALL] for start in range(0, len(data), SMALL)]
        return put_object(store or self.store, key_of(data), len(data), ListBody(chunks), {})

    def read(self, data: bytes, store: Any = None) -> Any:
        async def read() -> bytes:
            stored = await (store or self.store).open(key_of(data))
            try:
                return await read_all(stored.read(0, stored.size))
            finally:
                stored.close()

        return read()

    def assert_unavailable(self, action: Any) -> None:
        self.assert_fails(ServiceUnavailable, action)
        self.proxy.always(None)
        self.assert_nothing_open()

    def test_small_uploads_are_tried_again(self) -> None:
        for number, fault in enumerate((RESET, SLOW_DOWN, Fault("cut", after=10))):
            data = b"%d" % number
            self.proxy.then(fault)
            self.run_now(self.put(data))
            self.assertEqual(self.run_now(self.read(data)), data)

    def test_large_uploads_fail_cleanly(self) -> None:
        for fault in (RESET, HANG, Fault("stall-upload", after=1_000_000)):
            self.proxy.always(fault)
            self.assert_unavailable(self.put(LARGE, self.hasty))
            self.assertEqual(self.server.objects(self.bucket), {})
            self.assertEqual(self.run_now(self.store.sizes([key_of(LARGE)])), [None])

    def test_an_upload_that_is_refused_is_not_stored(self) -> None:
        self.proxy.always(answer("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>"))
        self.assert_unavailable(self.put(b"small", self.hasty))

    def test_a_slow_store_only_takes_its_time(self) -> None:
        self.proxy.latency = 0.3
        self.run_now(self.put(LARGE))
        self.assertEqual(self.run_now(self.read(LARGE)), LARGE)

    def test_downloads_that_break_off_are_errors(self) -> None:
        self.place(LARGE)
        for fault in (RESET, HANG, Fault("cut", after=5_000_000), Fault("stall", after=5_000_000)):
            self.proxy.fault = lambda data, fault=fault: (  # type: ignore[misc]
                fault if data.startswith(b"GET") else None
            )
            self.assert_unavailable(self.read(LARGE, self.hasty))
        self.assertEqual(self.run_now(self.read(LARGE)), LARGE)

    def test_bytes_come_as_they_are_stored(self) -> None:
        """Even if somebody has said that they are compressed."""
        self.place(b"1234567890")
        coded = answer("206 Partial Content", b"1234567890", Content_Encoding="gzip")
        self.proxy.fault = lambda data: coded if data.startswith(b"GET") else None
        self.assertEqual(self.run_now(self.read(b"1234567890")), b"1234567890")

    def test_a_store_without_ranges_serves_whole_objects_only(self) -> None:
        """The beginning of an object must not be taken for another part of it."""
        data = b"1234567890"
        self.place(data)
        self.proxy.fault = lambda head: answer("200 OK", data) if head.startswith(b"GET") else None
        self.assertEqual(self.run_now(self.read(data)), data)
        stored = self.run_now(self.store.open(key_of(data)))
        self.addCleanup(stored.close)
        self.assert_fails(ServiceUnavailable, read_all(stored.read(5, 10)))

    def test_closing_early_stops_the_store(self) -> None:
        self.place(LARGE)
        self.proxy.latency = 0.01
        stored = self.run_now(self.store.open(key_of(LARGE)))
        self.run_now(stored.read(0, len(LARGE)).read())
        stored.close()
        self.assert_nothing_open()
        self.assertLess(self.proxy.returned, len(LARGE))

    def test_a_reader_that_waits_holds_the_store_up(self) -> None:
        self.place(LARGE)
        stored = self.run_now(self.store.open(key_of(LARGE)))
        self.addCleanup(stored.close)
        body = stored.read(0, len(LARGE))
        self.run_now(body.read())
        # Until every buffer on the way is full.
        before = -1
        while self.proxy.returned > before:
            before = self.proxy.returned
            until = time.monotonic() + 0.3
            self.spin(lambda until=until: time.monotonic() > until)  # type: ignore[misc]
        self.assertLess(self.proxy.returned, len(LARGE) - 1_000_000)


def _certificate(directory: Path) -> Path:
    path = directory / "tls.pem"
    path.write_bytes(make_certificate())
    return path


@contextmanager
def _over_tls(directory: Path) -> Any:
    certificate = _certificate(directory)
    with mock.patch.dict(os.environ, {"SSL_CERT_FILE": str(certificate)}):
        running: AbstractContextManager[S3] = versitygw(directory, (certificate, certificate))
        server = running.__enter__()
    try:
        yield server, certificate
    finally:
        running.__exit__(None, None, None)


class TLSTests(FaultTestCase):
    """The same over TLS, where losing a connection would wait for the other side."""

    def setUp(self) -> None:
        super().setUp()
        self.server, certificate = shared(_over_tls)
        trust = mock.patch.dict(os.environ, {"SSL_CERT_FILE": str(certificate)})
        trust.start()
        self.addCleanup(trust.stop)
        self.proxy.target = self.server.port
        self.store = self.connect(
            mode="proxy", timeout=PATIENT, endpoint_url=self.proxy.url.replace("http:", "https:")
        )

    def test_large_objects_pass_both_ways(self) -> None:
        chunks = [LARGE[:SMALL], LARGE[SMALL:]]
        self.run_now(put_object(self.store, key_of(LARGE), len(LARGE), ListBody(chunks), {}))
        stored = self.run_now(self.store.open(key_of(LARGE)))
        self.assertEqual(self.run_now(read_all(stored.read(0, len(LARGE)))), LARGE)

    def test_closing_early_stops_the_store(self) -> None:
        self.place(LARGE)
        stored = self.run_now(self.store.open(key_of(LARGE)))
        self.run_now(stored.read(0, len(LARGE)).read())
        stored.close()
        self.assert_nothing_open()
        self.assertLess(self.proxy.returned, len(LARGE))

    def test_a_certificate_that_is_not_trusted(self) -> None:
        with mock.patch.dict(os.environ, {"SSL_CERT_FILE": "/dev/null"}):
            store = self.connect(endpoint_url=self.proxy.url.replace("http:", "https:"))
            self.assert_fails(ServiceUnavailable, store.sizes([key_of(b"x")]))
