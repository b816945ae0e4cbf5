"""A bucket or container is recognised: an emptied one has not "no objects"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.logger import LogLevel

from giftless.errors import ConfigError, StorageUnavailable
from giftless.interfaces import Payload
from giftless.storage.remote.client import Request
from giftless.storage.remote.identity import BELIEVED, IDENTITY
from tests.support.bodies import ListBody
from tests.support.logs import observe
from tests.support.making import key_of, put_object

if TYPE_CHECKING:
    from tests.support.spinning import SpinningTestCase as _Mixin
else:
    _Mixin = object

ABSENT = key_of(b"absent")


class IdentityContract(_Mixin):
    """Tests of a store over a real server; mixed in before a test case with ``build``."""

    def build(self, **options: Any) -> Any:
        """Build a store over the test's bucket."""
        raise NotImplementedError

    def checked(self, **options: Any) -> Any:
        """Build a store and check it, as ``--check`` does."""
        store = self.build(**options)
        self.run_now(store.check())
        return store

    def remembered(self, store: Any) -> Path:
        """Return the file that remembers the store."""
        return Path(store._identity._remembered.file)

    def questions(self, store: Any) -> list[Any]:
        """Return the keys of what is read from now on."""
        asked: list[Any] = []
        real = store.container.get_request

        async def note(key: Any, start: int, end: int) -> Request:
            asked.append(key)
            request: Request = await real(key, start, end)
            return request

        self.patch(store.container, "get_request", note)
        return asked

    def assert_refused(self, words: str) -> None:
        """Fail unless ``--check`` refuses the store, and what is absent is 503."""
        store = self.build(mode="proxy")
        error = self.assert_fails(ConfigError, store.check())
        self.assertIn(words, error.problem)
        self.assertIn(str(self.remembered(store)), error.problem)
        for ask in (
            store.sizes([ABSENT, key_of(b"other")]),
            store.open(ABSENT),
            store.inspect(ABSENT),
        ):
            self.assert_fails(StorageUnavailable, ask)

    def test_a_store_is_marked_by_a_check_and_remembered(self) -> None:
        store = self.checked(mode="proxy")
        first = self.remembered(store).read_text()
        self.assertIn(store.container.place, first)
        self.assertIsNotNone(self.run_now(store.container.facts(IDENTITY, False)))
        self.assertEqual(list(self.run_now(store.list(None)).objects), [])
        self.assertEqual(self.run_now(store.sizes([ABSENT])), [None])
        self.checked()
        self.assertEqual(self.remembered(store).read_text(), first)

    def test_a_store_is_marked_by_a_start(self) -> None:
        store = self.build()
        store._identity.startService()
        self.spin(lambda: store._identity._known is not None)
        self.assertIsNotNone(self.run_now(store.container.facts(IDENTITY, False)))

    def test_another_daemon_adopts_the_mark(self) -> None:
        store = self.checked()
        first = self.remembered(store).read_text()
        self.remembered(store).unlink()
        self.checked()
        self.assertEqual(self.remembered(store).read_text(), first)

    def test_an_emptied_store_is_refused_and_503(self) -> None:
        store = self.checked()
        self.run_now(store.container.delete(IDENTITY))
        self.assert_refused("lacks the mark")

    def test_another_store_in_its_place_is_refused_and_503(self) -> None:
        store = self.checked(mode="proxy")
        body = ListBody([b"0" * 32 + b"\n"])
        self.run_now(store.put(IDENTITY, Payload(33), body, {}))
        self.assert_refused("the mark of another store")

    def test_what_was_there_is_believed_for_a_while(self) -> None:
        """One question for many batches, and none while objects are found."""
        store = self.checked(mode="proxy")
        self.run_now(put_object(store, key_of(b"abc"), 3, ListBody([b"abc"]), {}))
        now = [1_000_000_000.0]
        self.patch(store._identity, "_wall_clock", lambda: now[0])
        self.patch(store._identity._recent, "_wall_clock", lambda: now[0])
        self.patch(store._identity._recent, "_current", None)
        asked = self.questions(store)
        for _ in range(3):
            self.run_now(store.sizes([key_of(b"abc"), ABSENT]))
        self.assertNotIn(IDENTITY, asked)
        for _ in range(3):
            self.run_now(store.sizes([ABSENT]))
        self.assertEqual(asked.count(IDENTITY), 1)
        now[0] += BELIEVED + 1
        self.run_now(store.sizes([ABSENT]))
        self.assertEqual(asked.count(IDENTITY), 2)

    def test_a_store_that_is_emptied_is_noticed_within_seconds(self) -> None:
        store = self.checked(mode="proxy")
        now = [1_000_000_000.0]
        self.patch(store._identity, "_wall_clock", lambda: now[0])
        self.patch(store._identity._recent, "_wall_clock", lambda: now[0])
        self.patch(store._identity._recent, "_current", None)
        self.assertEqual(self.run_now(store.sizes([ABSENT])), [None])
        asked = self.questions(store)
        now[0] += 3
        self.run_now(store.sizes([ABSENT]))
        self.assertEqual(asked.count(IDENTITY), 1)

    def test_a_store_that_cannot_be_marked_is_used_with_a_warning(self) -> None:
        store = self.build(mode="proxy")
        real = store.container.put_request

        async def unsigned(*arguments: Any, **options: Any) -> Request:
            request: Request = await real(*arguments, **options)
            url = request.url.partition("?")[0]
            kept = {k: v for k, v in request.headers.items() if k.lower() != "authorization"}
            return Request(request.method, url, kept)

        self.patch(store.container, "put_request", unsigned)
        events: list[Any] = []
        observe(self, events.append)
        self.run_now(store._identity.establish())
        warnings = [e for e in events if e.get("log_level") is LogLevel.warn]
        self.assertEqual(len(warnings), 1)
        self.assertIn("cannot be marked", warnings[0]["log_format"])
        self.assertEqual(self.run_now(store.sizes([ABSENT])), [None])
