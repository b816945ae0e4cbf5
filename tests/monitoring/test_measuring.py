"""What is counted of stores and authenticators, and that these do as before."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from zope.interface import implementer, providedBy
from zope.interface.verify import verifyObject

from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.errors import (
    BadAction,
    Disconnected,
    IdentityUnavailable,
    StorageUnavailable,
    Unauthorized,
)
from giftless.interfaces import (
    Credentials,
    IAnonymous,
    IAuthenticator,
    IClaimedUpload,
    Identity,
    Payload,
)
from giftless.lfs.objects import Repo
from giftless.monitoring.measuring import MeasuredAuthenticator, measured_store
from tests.contracts.stores import CapacityContract, StreamingStoreContract
from tests.support.bodies import HeldBody, ListBody
from tests.support.counting import Counted
from tests.support.making import key_of, payload_of, put_object, reader, repo_of
from tests.support.memory import BoundedMemoryStore, MemoryStore
from tests.support.resumable import ResumableMemoryStore
from tests.support.run import CoroutineTestCase


class MeasuredStoreContractTests(StreamingStoreContract, CapacityContract, CoroutineTestCase):
    """A measured store keeps every promise of the store."""

    def make_store(self) -> Any:
        store: Any = BoundedMemoryStore(10**9)
        return measured_store(store, "memory", Counted().metrics, Clock().seconds)


class Failing(MemoryStore):
    """Fails at every question about sizes."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    async def sizes(self, keys: Any) -> Any:
        raise self.error


class MeasuredStoreTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.counted = Counted()

    def measured(self, store: Any) -> Any:
        return measured_store(store, "memory", self.counted.metrics, self.clock.seconds)

    def requests(self) -> dict[tuple[str, ...], float]:
        return self.counted.totals("giftless_store_requests_total")

    def test_it_provides_what_the_store_provides(self) -> None:
        store = MemoryStore()
        self.assertEqual(set(providedBy(self.measured(store))), set(providedBy(store)))

    def test_what_receives_bytes_is_watched(self) -> None:
        watched: list[str] = []

        def watch(operation: str, method: Any) -> Any:
            watched.append(operation)
            return method

        store: Any = measured_store(
            MemoryStore(), "memory", self.counted.metrics, self.clock.seconds, watch
        )
        self.assertEqual(watched, ["put"])
        self.run_now(put_object(store, key_of(b"x"), 1, ListBody([b"x"]), {}))

    def test_requests_are_counted_by_operation(self) -> None:
        store = self.measured(MemoryStore())
        self.run_now(put_object(store, key_of(b"x"), 1, ListBody([b"x"]), {}))
        self.run_now(store.sizes([key_of(b"x")]))
        self.run_now(store.sizes([key_of(b"y")]))
        self.run_now(store.copy(key_of(b"x"), key_of(b"x", "org/other")))
        self.assertEqual(
            self.requests(),
            {
                ("memory", "put", "ok"): 1,
                ("memory", "sizes", "ok"): 2,
                ("memory", "copy", "ok"): 1,
            },
        )

    def test_a_failure_is_counted_by_its_cause_and_passes(self) -> None:
        for error, outcome in (
            (StorageUnavailable("no", 1), "storage-unavailable"),
            (Disconnected("gone"), "disconnected"),
            (CancelledError(), "cancelled"),
            (ZeroDivisionError(), "failed"),
        ):
            store = self.measured(Failing(error))
            self.assertRaises(type(error), self.run_now, store.sizes([]))
            self.assertEqual(self.requests().pop(("memory", "sizes", outcome)), 1)

    def test_uploads_are_in_progress_and_take_their_time(self) -> None:
        store = self.measured(MemoryStore())
        body = HeldBody()
        storing = self.start(put_object(store, key_of(b"x"), 1, body, {}))
        self.assertEqual(self.counted.totals("giftless_uploads_in_progress"), {(): 1})
        self.clock.advance(2)
        body.provide(b"x")
        body.provide()
        self.successResultOf(storing)
        self.assertEqual(self.counted.totals("giftless_uploads_in_progress"), {})
        numbers = self.counted.of("giftless_store_request_duration_seconds")[("memory", "put")]
        self.assertEqual((sum(numbers[:-1]), numbers[-1]), (1, 2))

    def test_an_upload_that_fails_is_not_in_progress(self) -> None:
        store = self.measured(MemoryStore())
        body = ListBody([b"x"], Disconnected("gone"))
        self.assert_fails(Disconnected, put_object(store, key_of(b"x"), 2, body, {}))
        self.assertEqual(self.counted.totals("giftless_uploads_in_progress"), {})
        self.assertEqual(self.requests(), {("memory", "put", "disconnected"): 1})


class MeasuredUploadTests(CoroutineTestCase):
    """Objects that are taken bit by bit."""

    def setUp(self) -> None:
        self.counted = Counted()
        self.store = ResumableMemoryStore()
        self.watched: list[Any] = []

        def watch(operation: str, method: Any) -> Any:
            async def note(*arguments: Any) -> None:
                self.watched.append((operation, *arguments))
                await method(*arguments)

            return note

        self.measured: Any = measured_store(
            self.store, "memory", self.counted.metrics, Clock().seconds, watch
        )

    def requests(self) -> dict[tuple[str, ...], float]:
        return self.counted.totals("giftless_store_requests_total")

    def test_it_does_what_the_upload_does(self) -> None:
        upload = self.run_now(self.measured.claim(key_of(b"xy"), 2))
        verifyObject(IClaimedUpload, upload)
        self.run_now(upload.begin({}))
        self.run_now(upload.append(ListBody([b"x"])))
        self.assertEqual((upload.offset, upload.changed), (1, self.store.now))
        self.run_now(upload.append(ListBody([b"y"])))
        self.run_now(upload.commit(payload_of(b"xy"), {}, True))
        self.run_now(upload.release())
        self.assertEqual(self.store.get(key_of(b"xy")), b"xy")
        self.assertEqual(
            self.requests(),
            {
                ("memory", "claim", "ok"): 1,
                ("memory", "append", "ok"): 2,
                ("memory", "commit", "ok"): 1,
            },
        )

    def test_it_is_in_progress_and_watched_while_bytes_come(self) -> None:
        upload = self.run_now(self.measured.claim(key_of(b"xy"), 2))
        self.run_now(upload.begin({}))
        self.run_now(upload.append(ListBody([b"x"])))
        body = HeldBody()
        appending = self.start(upload.append(body))
        self.assertEqual(self.counted.totals("giftless_uploads_in_progress"), {(): 1})
        self.assertEqual(self.watched[-1], ("append", key_of(b"xy"), Payload(1), body))
        body.fail(Disconnected("gone"))
        self.failureResultOf(appending, Disconnected)
        self.assertEqual(self.counted.totals("giftless_uploads_in_progress"), {})
        self.assertEqual(self.requests()[("memory", "append", "disconnected")], 1)


@implementer(IAuthenticator)
class Says:
    """Says what it was told to."""

    def __init__(self, said: Identity | Exception | None) -> None:
        self.said = said

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class MeasuredAuthenticatorTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.counted = Counted()

    def ask(self, said: Identity | Exception | None) -> Any:
        measured = MeasuredAuthenticator(Says(said), "jwt", self.counted.metrics)
        verifyObject(IAuthenticator, measured)
        return self.run_now(measured.authenticate(Credentials((), ""), repo_of()))

    def results(self) -> dict[tuple[str, ...], float]:
        return self.counted.totals("giftless_auth_requests_total")

    def test_who_is_let_in_is_counted(self) -> None:
        rita = reader()
        self.assertIs(self.ask(rita), rita)
        self.assertEqual(self.results(), {("jwt", "accepted"): 1})

    def test_refusals_are_counted_and_pass(self) -> None:
        for error in (Unauthorized("no"), BadAction("no")):
            self.assertRaises(type(error), self.ask, error)
        self.assertEqual(self.results(), {("jwt", "refused"): 2})

    def test_failures_are_counted_and_pass(self) -> None:
        for error in (IdentityUnavailable("not now", 1), ZeroDivisionError()):
            self.assertRaises(type(error), self.ask, error)
        self.assertEqual(self.results(), {("jwt", "failed"): 2})

    def test_what_is_left_to_others_is_not_counted(self) -> None:
        self.assertIsNone(self.ask(None))
        self.assertRaises(CancelledError, self.ask, CancelledError())
        self.assertEqual(self.results(), {})

    def test_the_anonymous_stay_anonymous(self) -> None:
        """They are asked last, whoever stands in front of them."""
        metrics = self.counted.metrics
        anonymous = MeasuredAuthenticator(AnonymousAuthenticator("read"), "anonymous", metrics)
        self.assertTrue(IAnonymous.providedBy(anonymous))
        self.assertTrue(IAuthenticator.providedBy(anonymous))
        self.assertFalse(IAnonymous.providedBy(MeasuredAuthenticator(Says(None), "x", metrics)))
