"""Objects that are marked as damaged: refused to readers, taken from uploaders."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from zope.interface import alsoProvides

from giftless.auth.grants import READ_WRITE, RepoGrants
from giftless.errors import ObjectDamaged
from giftless.interfaces import Identity, IStreamingMultipartStore, PartUpload, Ticket
from giftless.lfs.multipart import PartPlan
from giftless.transfer.multipart import MultipartFactory
from giftless.usecases.authorization import Gate
from giftless.usecases.multipart import MultipartServer
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import (
    action_tokens,
    key_of,
    links_of,
    oid_of,
    reader,
    server_of,
    uploader,
    writer,
)
from tests.support.memory import ExternalStore, InspectedMemoryStore
from tests.usecases.test_objects import HERE, ServerTestCase, member
from tests.usecases.test_read_back import PartsStore

DATA = HERE[2]
KEY = key_of(DATA)


class DamagedTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_now(self.store.mark(KEY, "its SHA-256 is wrong"))

    def test_an_upload_is_offered_again(self) -> None:
        present, damaged = self.entries("upload", [member(HERE[0]), member(DATA)])
        self.assertNotIn("actions", present)
        self.assertEqual(set(damaged["actions"]), {"upload"})

    def test_a_download_is_refused_with_words(self) -> None:
        good, damaged = self.entries("download", [member(HERE[0]), member(DATA)])
        self.assertIn("download", good["actions"])
        self.assertEqual(damaged["error"]["code"], 410)
        self.assertIn("its SHA-256 is wrong", damaged["error"]["message"])
        self.assertIn("push it again", damaged["error"]["message"])

    def test_it_is_neither_opened_nor_verified(self) -> None:
        self.assert_fails(ObjectDamaged, self.server.open(reader(), KEY))
        self.assert_fails(ObjectDamaged, self.server.verify(writer(), KEY, len(DATA)))

    def test_a_good_upload_mends_it(self) -> None:
        upload = self.server.receive(uploader(len(DATA)), KEY, len(DATA), ListBody([DATA]))
        self.run_now(upload)
        self.run_now(self.server.verify(writer(), KEY, len(DATA)))
        (entry,) = self.entries("download", [member(DATA)])
        self.assertIn("download", entry["actions"])
        (entry,) = self.entries("upload", [member(DATA)])
        self.assertNotIn("actions", entry)


class InspectedTests(DamagedTests):
    """The same of a store that looks closer at objects."""

    def setUp(self) -> None:
        ServerTestCase.setUp(self)
        self.use(InspectedMemoryStore())
        self.run_now(self.store.mark(KEY, "its SHA-256 is wrong"))


class ExternalTests(ServerTestCase):
    """Whoever signs an upload is told whether it must replace what is there."""

    def setUp(self) -> None:
        self.store: Any = ExternalStore()
        self.server = server_of(self.store)

    def check_reply(self, operation: str, objects: Any, reply: Any) -> None:
        for entry in reply["objects"]:
            self.assertEqual(set(entry["actions"]), {"upload", "verify"})

    def test_what_is_damaged_is_replaced_and_nothing_else(self) -> None:
        absent, marked, short = b"absent", b"marked", b"short"
        self.store.present = {key_of(marked): 6, key_of(short): 2}
        self.store.damaged = {key_of(marked): ObjectDamaged.because("bad bytes")}
        wanted = [member(data) for data in (absent, marked, short)]
        self.entries("upload", wanted)
        self.assertEqual(self.store.replacing, [key_of(marked), key_of(short)])


class PlanTests(ServerTestCase):
    """The agent asks once more before it sends an object."""

    def test_a_damaged_object_is_planned_like_an_absent_one(self) -> None:
        store = PartsStore(False)
        store.add(KEY, DATA)
        tokens = action_tokens()
        adapter = MultipartFactory().build(_streaming(store), tokens)
        server = MultipartServer(store, adapter, InlineBlocking(), Gate(), Clock())
        plan = PartPlan(len(DATA), len(DATA))
        ticket = Ticket("parts", len(DATA), {}, PartUpload("", plan))
        identity = Identity("will", RepoGrants(READ_WRITE), ticket=ticket)
        reply = self.run_now(server.plan(identity, KEY, links_of()))
        self.assertIsNone(reply.actions)
        self.run_now(store.mark(KEY, "bad bytes"))
        reply = self.run_now(server.plan(identity, KEY, links_of()))
        assert reply.actions is not None
        self.assertIn("parts", reply.actions)
        self.assertEqual(reply.oid, oid_of(DATA))


def _streaming(store: Any) -> Any:
    """Let a store take parts through the daemon."""
    alsoProvides(store, IStreamingMultipartStore)
    return store
