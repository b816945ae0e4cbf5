"""Uploads in parts to Azure: blocks in an Azurite that verifies what is signed."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import treq
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.base.concurrency import SLICE, for_each
from giftless.errors import Conflict, PayloadTooLarge, ServiceUnavailable
from giftless.interfaces import (
    IExternalMultipartStore,
    IStreamingMultipartStore,
    PartUpload,
    Payload,
)
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import Action, Extras
from giftless.storage.azure.blocks import BlockContainer, block_id, read_block_id
from tests.storage.azure.support import AzureTestCase
from tests.support.bodies import ListBody, altered, read_all
from tests.support.faulty import HANG, RESET, SLOW_DOWN, Fault, answer
from tests.support.making import key_of
from tests.support.run import CoroutineTestCase

MIB = 1024 * 1024

#: The size of parts in these tests, in bytes.
PART = 1000

#: An object of four parts.
DATA = bytes(range(256)) * 14

LIMITS = BlockContainer.part_limits


class BlockIdTests(SynchronousTestCase):
    """What blocks are called."""

    @given(st.integers(1, LIMITS.max_size), st.integers(1, LIMITS.max_parts))
    def test_it_says_of_which_plan_the_block_is(self, part_size: int, number: int) -> None:
        self.assertEqual(read_block_id(block_id(part_size, number).encode()), (part_size, number))

    @given(st.integers(1, LIMITS.max_size), st.integers(1, LIMITS.max_parts))
    def test_azure_takes_it(self, part_size: int, number: int) -> None:
        """All have one length, 64 bytes at most, and nothing to be encoded in a URL."""
        name = block_id(part_size, number)
        self.assertEqual(len(name), len(block_id(1, 1)))
        self.assertLessEqual(len(base64.b64decode(name)), 64)
        self.assertTrue(name.isalnum(), name)

    @given(st.binary())
    def test_other_ids_are_none_of_ours(self, text: bytes) -> None:
        self.assertIsNone(read_block_id(text))
        self.assertIsNone(read_block_id(base64.b64encode(text)))


class LimitsTests(SynchronousTestCase):
    """What Azure takes: 50,000 blocks of up to 4,000 MiB."""

    def test_small_parts_are_taken(self) -> None:
        self.assertEqual(LIMITS.plan(10, 1), PartPlan(10, 1))

    def test_parts_grow_until_the_object_fits(self) -> None:
        plan = LIMITS.plan(5 * 1024**4, 32 * MIB)
        self.assertEqual(plan.part_size, 105 * MIB)
        self.assertLessEqual(plan.count, 50_000)

    def test_the_largest_object(self) -> None:
        most = 50_000 * 4000 * MIB
        self.assertEqual(LIMITS.plan(most, 1), PartPlan(most, 4000 * MIB))
        self.assertRaises(PayloadTooLarge, LIMITS.plan, most + 1, 1)


class SlicesTests(CoroutineTestCase):
    """Many things do not hold up the reactor."""

    def test_the_reactor_has_its_turn_in_between(self) -> None:
        done: list[int] = []
        turns: list[int] = []

        class Turns(Clock):
            def callLater(self, *arguments: Any, **others: Any) -> Any:
                turns.append(len(done))
                return super().callLater(*arguments, **others)

        clock = Turns()
        result = self.start(for_each(done.append, range(2 * SLICE + 1), clock))
        self.assertNoResult(result)
        clock.advance(0)
        self.assertEqual(len(self.successResultOf(result)), 2 * SLICE + 1)
        self.assertEqual(done, list(range(2 * SLICE + 1)))
        self.assertEqual(turns, [SLICE, 2 * SLICE])

    def test_few_things_need_no_turn(self) -> None:
        self.assertEqual(self.run_now(for_each(str, [1, 2], Clock())), ["1", "2"])
        self.assertEqual(self.run_now(for_each(str, [], Clock())), [])


class BlocksTestCase(AzureTestCase):
    """Tests of uploads in parts; ``mode`` says which way they go."""

    mode = "direct"

    def setUp(self) -> None:
        super().setUp()
        self.key = key_of(DATA)
        self.store = self.make()

    def make(self, **others: object) -> Any:
        """Build a store."""
        return self.build(**{"mode": self.mode, "part_size": PART, **others})

    def begin(
        self, store: Any = None, data: bytes = DATA, extras: Extras | None = None
    ) -> tuple[PartUpload, Sequence[Part]]:
        """Begin an upload, or go on with it."""
        store = store or self.store
        upload, parts = self.run_now(store.begin(key_of(data), store.plan(len(data)), extras or {}))
        return upload, parts

    def send(
        self, upload: PartUpload, parts: Sequence[Part], data: bytes = DATA, store: Any = None
    ) -> None:
        """Upload parts of ``data`` as those of the object ``DATA``."""
        store = store or self.store
        if self.mode == "proxy":
            for part in parts:
                body = ListBody([data[part.pos : part.pos + part.size]])
                self.run_now(store.put_part(self.key, upload, part, body))
            return
        actions = self.run_now(store.part_actions(self.key, upload, parts, 3600))
        for part, action in zip(parts, actions, strict=True):
            status = self.put(action, data[part.pos : part.pos + part.size])
            self.assertEqual(status, 201)

    def put(self, action: Action, data: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Do what an action says.

        :returns: the status.
        """

        async def put() -> int:
            sent: dict[Any, Any] = {**(action.header or {}), **(headers or {})}
            reply = await treq.put(action.href, data, headers=sent, pool=self.pool)
            await reply.content()
            status: int = reply.code
            return status

        return self.run_now(put())

    def commit(self, upload: PartUpload, store: Any = None, extras: Extras | None = None) -> None:
        """Commit an upload."""
        self.run_now(self.committing(upload, store, extras))

    async def committing(
        self, upload: PartUpload, store: Any = None, extras: Extras | None = None
    ) -> None:
        """Commit an upload of the object ``DATA``, or of another that ``key`` names."""
        payload = Payload(upload.plan.size, self.key.oid)
        await (store or self.store).commit(self.key, upload, payload, extras or {})

    def objects(self) -> dict[str, bytes]:
        """Return what is in the container, by path."""
        return self.server.objects(self.container)

    def numbers(self, parts: Sequence[Part]) -> list[int]:
        """Return the numbers of parts."""
        return [part.number for part in parts]


class UploadTests(BlocksTestCase):
    """What is particular to uploads to Azure; the rest is every store's contract."""

    def test_what_the_name_says_is_kept_beside_the_bytes(self) -> None:
        extras: Extras = {"filename": "\u00fcber.png", "rating": 5}
        upload, parts = self.begin(extras=extras)
        self.send(upload, parts)
        self.commit(upload, extras=extras)
        blob = self.server.container(self.container).get_blob_client(self.key.path)
        found = blob.get_blob_properties().content_settings
        self.assertEqual(found.content_type, "image/png")
        self.assertIn("filename*=UTF-8''%C3%BCber", found.content_disposition)
        self.assertEqual(self.run_now(self.store.inspect(self.key)).extras, extras)

    def test_a_part_of_another_size_is_missing(self) -> None:
        upload, parts = self.begin()
        self.send(upload, parts)
        container = self.server.container(self.container)
        container.get_blob_client(self.key.path).stage_block(
            base64.b64decode(block_id(PART, 2)).decode(), b"too short"
        )
        error = self.assert_fails(Conflict, self.committing(upload))
        self.assertIn("part 2 is missing", error.message)
        self.assertEqual(self.objects(), {})

    def test_an_object_of_another_size_is_replaced(self) -> None:
        """It cannot be what its oid says; an upload in one piece could not replace it."""
        blob = self.server.container(self.container).get_blob_client(self.key.path)
        blob.upload_blob(b"damaged")
        upload, parts = self.begin()
        self.send(upload, parts)
        self.commit(upload)
        self.assertEqual(self.objects(), {self.key.path: DATA})

    def test_blocks_of_another_part_size_are_not_ours(self) -> None:
        upload, parts = self.begin()
        self.send(upload, parts[:2])
        other = self.make(part_size=2 * PART)
        upload, parts = self.begin(other)
        self.assertEqual(self.numbers(parts), [1, 2])
        self.send(upload, parts, store=other)
        self.commit(upload, other)
        self.assertEqual(self.objects(), {self.key.path: DATA})
        # What was not used is gone with it.
        blob = self.server.container(self.container).get_blob_client(self.key.path)
        self.assertEqual(blob.get_block_list("uncommitted")[1], [])

    def test_blocks_of_other_tools_are_ignored(self) -> None:
        blob = self.server.container(self.container).get_blob_client(self.key.path)
        blob.stage_block("x" * 21, b"1234567")
        upload, parts = self.begin()
        self.assertEqual(self.numbers(parts), [1, 2, 3, 4])
        self.send(upload, parts)
        self.commit(upload)
        self.assertEqual(self.objects(), {self.key.path: DATA})


class ProxyUploadTests(UploadTests):
    """The same through the daemon."""

    mode = "proxy"

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IStreamingMultipartStore, self.store)
        self.assertFalse(IExternalMultipartStore.providedBy(self.store))

    def test_a_part_that_breaks_off_leaves_nothing(self) -> None:
        store = self.make(part_size=2 * MIB)
        data = os.urandom(3 * MIB)
        upload, parts = self.begin(store, data)
        body = ListBody([data[:MIB]], failure=Conflict("cut"))
        self.assert_fails(Conflict, store.put_part(key_of(data), upload, parts[0], body))
        self.assertEqual(self.numbers(self.begin(store, data)[1]), [1, 2])

    def test_a_store_that_does_not_take_a_part(self) -> None:
        store, proxy = self.behind_proxy(mode="proxy", part_size=PART, timeout=1)
        upload, parts = self.begin(store)
        for fault in (RESET, SLOW_DOWN):
            proxy.always(fault)
            put = store.put_part(self.key, upload, parts[0], ListBody([DATA[:PART]]))
            self.assert_fails(ServiceUnavailable, put)


class SignatureTests(BlocksTestCase):
    """What clients are given for parts."""

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IExternalMultipartStore, self.store)
        self.assertFalse(IStreamingMultipartStore.providedBy(self.store))

    def actions(self, lifetime: int = 3600, store: Any = None) -> Sequence[Action]:
        """Sign all parts."""
        upload, parts = self.begin(store)
        actions: Sequence[Action] = self.run_now(
            (store or self.store).part_actions(self.key, upload, parts, lifetime)
        )
        return actions

    def test_one_signature_serves_all_parts(self) -> None:
        queries = [parse_qs(urlsplit(action.href).query) for action in self.actions(7200)]
        names = [query.pop("blockid") for query in queries]
        self.assertEqual(names, [[block_id(PART, number)] for number in (1, 2, 3, 4)])
        self.assertEqual([query == queries[0] for query in queries], [True] * 4)
        self.assertEqual(queries[0]["sp"], ["w"])
        self.assertEqual([action.expires_in for action in self.actions(7200)], [7200] * 4)

    def test_clients_are_sent_to_the_public_endpoint(self) -> None:
        store = self.make(public_endpoint_url="https://lfs.blob.example.com")
        for action in self.actions(store=store):
            start = f"https://lfs.blob.example.com/{self.container}/{self.key.path}?"
            self.assertTrue(action.href.startswith(start), action.href)
            self.assertIn("&spr=https&", action.href)

    def test_the_store_checks_content_md5(self) -> None:
        """A part that was altered on its way does not arrive."""
        self.assertEqual(self.store.want_digest, "contentMD5")
        action, data = self.actions()[0], DATA[:PART]
        digest = base64.b64encode(hashlib.md5(data).digest()).decode()
        headers = {"Content-MD5": digest}
        self.assertEqual(self.put(action, altered(data), headers), 400)
        self.assertEqual(len(self.begin()[1]), 4)
        self.assertEqual(self.put(action, data, headers), 201)
        self.assertEqual(self.numbers(self.begin()[1]), [2, 3, 4])

    def test_to_create_is_not_enough(self) -> None:
        """Azure wants the permission to write for a block: that is why it is given."""
        action = self.run_now(self.store.upload_action(self.key, len(DATA), 3600, {}))
        block = Action(f"{action.href}&comp=block&blockid={block_id(PART, 1)}", action.header)
        self.assertEqual(self.put(block, DATA[:PART]), 403)

    def test_a_signature_is_for_one_object_only(self) -> None:
        """Tampered with, or for another object: 403."""
        action = self.actions()[0]
        other = action.href.replace(self.key.oid, key_of(b"other").oid)
        longer = action.href.replace("se=20", "se=21")
        for href in (other, longer):
            self.assertEqual(self.put(Action(href), b"x"), 403)

    def test_many_parts_do_not_hold_up_the_reactor(self) -> None:
        """The most that an object can have."""
        store = self.make(part_size=1)
        plan = store.plan(LIMITS.max_parts)
        turns = 0
        reactor: Any = self.environment().reactor

        call: Any = None

        def turn() -> None:
            nonlocal call, turns
            turns += 1
            call = reactor.callLater(0, turn)

        call = reactor.callLater(0, turn)
        signed = self.run_now(store.part_actions(self.key, PartUpload("", plan), list(plan), 3600))
        call.cancel()
        self.assertEqual(len(signed), LIMITS.max_parts)
        self.assertEqual(len({action.href for action in signed}), LIMITS.max_parts)
        self.assertGreaterEqual(turns, LIMITS.max_parts // SLICE - 1)


class AbortTests(BlocksTestCase):
    """Blocks are thrown away, and never an object."""

    def test_nothing_is_left(self) -> None:
        upload, parts = self.begin()
        self.send(upload, parts[:2])
        self.run_now(self.store.abort(self.key, upload))
        self.assertEqual(self.objects(), {})
        client = self.server.container(self.container)
        self.assertEqual(list(client.list_blobs(include=["uncommittedblobs"])), [])
        upload, parts = self.begin()
        self.assertEqual(self.numbers(parts), [1, 2, 3, 4])

    def test_twice_is_harmless(self) -> None:
        """With no blocks, no blob is made, not even for an instant."""
        upload, parts = self.begin()
        self.send(upload, parts[:2])
        store, proxy = self.behind_proxy(part_size=PART)
        for _ in range(2):
            self.run_now(store.abort(self.key, upload))
        self.assertEqual(
            [line.split()[0] for line in proxy.requests], ["GET", "PUT", "DELETE", "GET"]
        )
        self.assertEqual(self.objects(), {})

    def test_an_object_stays(self) -> None:
        """Whether or not blocks have come after it."""
        upload, parts = self.begin()
        self.send(upload, parts)
        self.commit(upload)
        self.run_now(self.store.abort(self.key, upload))
        self.assertEqual(self.objects(), {self.key.path: DATA})
        self.send(upload, parts[:1])
        self.run_now(self.store.abort(self.key, upload))
        self.assertEqual(self.objects(), {self.key.path: DATA})

    def test_an_object_that_was_made_meanwhile_stays(self) -> None:
        """Between the writing of the empty blob and its removal."""
        upload, parts = self.begin()
        self.send(upload, parts[:2])
        store, proxy = self.behind_proxy(part_size=PART)
        blob = self.server.container(self.container).get_blob_client(self.key.path)

        def overtake(head: bytes) -> None:
            if head.startswith(b"DELETE "):
                blob.upload_blob(DATA, overwrite=True)

        proxy.fault = overtake
        self.run_now(store.abort(self.key, upload))
        self.assertEqual(self.objects(), {self.key.path: DATA})

    def test_answers_may_get_lost(self) -> None:
        upload, parts = self.begin()
        self.send(upload, parts[:2])
        store, proxy = self.behind_proxy(part_size=PART)
        proxy.then(None, Fault("cut"), None, Fault("cut"))
        self.run_now(store.abort(self.key, upload))
        self.assertEqual(self.objects(), {})
        self.assertEqual(self.numbers(self.begin()[1]), [1, 2, 3, 4])

    def leave_an_empty_blob(self) -> PartUpload:
        """Abort an upload as a daemon does that is killed in the middle of it."""
        upload, parts = self.begin()
        self.send(upload, parts[:2])
        store, proxy = self.behind_proxy(part_size=PART)
        refusal = answer("403 Forbidden", x_ms_error_code="AuthorizationPermissionMismatch")
        proxy.fault = lambda head: refusal if head.startswith(b"DELETE ") else None
        self.assert_fails(ServiceUnavailable, store.abort(self.key, upload))
        self.assertEqual(self.objects(), {self.key.path: b""})
        return upload

    def test_an_empty_blob_that_was_left_is_no_object(self) -> None:
        """Whoever asks for the object removes it."""
        self.leave_an_empty_blob()
        self.assertEqual(self.run_now(self.store.sizes([self.key])), [None])
        self.assertEqual(self.objects(), {})
        upload = self.leave_an_empty_blob()
        self.run_now(self.store.abort(self.key, upload))
        self.send(*self.begin())
        self.commit(upload)
        self.assertEqual(self.objects(), {self.key.path: DATA})

    def test_an_object_with_the_mark_is_one(self) -> None:
        """Whoever may write can set it; only what is empty is removed."""
        blob = self.server.container(self.container).get_blob_client(self.key.path)
        blob.upload_blob(DATA, metadata={"giftlessdiscarded": "true"})
        self.assertEqual(self.run_now(self.store.sizes([self.key])), [len(DATA)])
        self.run_now(self.store.abort(self.key, PartUpload("", self.store.plan(len(DATA)))))
        self.assertEqual(self.objects(), {self.key.path: DATA})

    def test_blocks_after_an_empty_blob(self) -> None:
        """Clients have parts signed before an abort, and may use them after it."""
        upload = self.leave_an_empty_blob()
        self.send(upload, list(upload.plan)[:1])
        self.run_now(self.store.abort(self.key, upload))
        self.assertEqual(self.objects(), {})

    def test_another_upload_of_the_object_begins_again(self) -> None:
        """Its blocks go too; its commit says so, and it goes on."""
        upload, parts = self.begin()
        self.send(upload, parts)
        self.run_now(self.store.abort(self.key, upload))
        error = self.assert_fails(Conflict, self.committing(upload))
        self.assertIn("parts 1, 2, 3, 4 are missing", error.message)
        self.send(*self.begin())
        self.commit(upload)
        self.assertEqual(self.objects(), {self.key.path: DATA})


class TogetherTests(BlocksTestCase):
    """Two clients upload one object."""

    def overtaken(self, *first: Fault | None) -> None:
        """Commit while another commit takes place between two of the requests.

        :param first: what happens to the requests before it.
        """
        upload, parts = self.begin()
        self.send(upload, parts)
        store, proxy = self.behind_proxy(part_size=PART)
        blob = self.server.container(self.container).get_blob_client(self.key.path)
        before = list(first)

        def overtake(head: bytes) -> Fault | None:
            if before:
                return before.pop(0)
            if not self.objects():
                names = [base64.b64decode(block_id(PART, n)).decode() for n in (1, 2, 3, 4)]
                blob.commit_block_list(names)
            return None

        proxy.fault = overtake
        self.commit(upload, store)
        self.assertEqual(self.objects(), {self.key.path: DATA})

    def test_another_commit_comes_first(self) -> None:
        """Before it is looked whether the object is there, which blocks are, and last."""
        self.overtaken()
        self.run_now(self.store.container.delete(self.key))
        self.overtaken(None)
        self.run_now(self.store.container.delete(self.key))
        self.overtaken(None, None)

    def test_the_answer_to_a_commit_may_get_lost(self) -> None:
        """Trying again finds that it is done."""
        for damaged in (False, True):
            client = self.server.container(self.container)
            if damaged:
                client.get_blob_client(self.key.path).upload_blob(b"damaged", overwrite=True)
            upload, parts = self.begin()
            self.send(upload, parts)
            store, proxy = self.behind_proxy(part_size=PART)
            proxy.then(None, None, Fault("cut"))
            self.commit(upload, store)
            self.assertEqual(self.objects(), {self.key.path: DATA})


class UncheckedTests(BlocksTestCase):
    """Without ``verify_checksum``."""

    def test_azure_cannot_tell_what_parts_are(self) -> None:
        """The documentation says so."""
        upload, parts = self.begin()
        wrong = b"x" + DATA[1:]
        self.send(upload, parts, wrong)
        self.commit(upload)
        self.assertEqual(self.objects(), {self.key.path: wrong})


class DeletionTests(BlocksTestCase):
    """``delete`` removes an object."""

    def test_it_is_gone(self) -> None:
        upload, parts = self.begin()
        self.send(upload, parts)
        self.commit(upload)
        for _ in range(2):
            self.run_now(self.store.container.delete(self.key))
            self.assertEqual(self.objects(), {})

    def test_signatures_for_parts_do_not_delete(self) -> None:
        """Nor read."""
        upload, parts = self.begin()
        self.send(upload, parts)
        self.commit(upload)
        (action, *_) = self.run_now(self.store.part_actions(self.key, upload, parts, 3600))
        url = action.href.partition("&comp=")[0]

        async def ask(method: str) -> int:
            reply = await treq.request(method, url, pool=self.pool)
            await reply.content()
            status: int = reply.code
            return status

        for method in ("DELETE", "GET"):
            self.assertEqual(self.run_now(ask(method)), 403)


class UnavailableTests(BlocksTestCase):
    """Stores that fail, hang or are not there."""

    def test_every_step_says_so(self) -> None:
        upload, _ = self.begin()
        store, proxy = self.behind_proxy(part_size=PART, timeout=1)
        for fault in (
            RESET,
            HANG,
            SLOW_DOWN,
            answer("404 Not Found"),
            answer("404 Not Found", x_ms_error_code="ContainerNotFound"),
            answer("403 Forbidden", x_ms_error_code="AuthorizationPermissionMismatch"),
        ):
            proxy.always(fault)
            for step in (
                store.begin(self.key, upload.plan, {}),
                self.committing(upload, store),
                store.abort(self.key, upload),
            ):
                self.assert_fails(ServiceUnavailable, step)

    def test_failures_that_pass_are_not_noticed(self) -> None:
        store, proxy = self.behind_proxy(part_size=PART)
        proxy.then(SLOW_DOWN, RESET)
        upload, parts = self.begin(store)
        self.send(upload, parts)
        proxy.then(SLOW_DOWN, None, RESET, None, SLOW_DOWN)
        self.commit(upload, store)
        self.assertEqual(self.objects(), {self.key.path: DATA})

    def test_a_refusal_to_commit_is_not_taken_for_done(self) -> None:
        upload, parts = self.begin()
        self.send(upload, parts)
        store, proxy = self.behind_proxy(part_size=PART)
        proxy.then(None, None, answer("409 Conflict", x_ms_error_code="BlobImmutableDueToPolicy"))
        self.assert_fails(ServiceUnavailable, self.committing(upload, store))
        self.commit(upload)
        self.assertEqual(self.objects(), {self.key.path: DATA})

    def test_a_list_that_is_too_long_is_not_taken_for_all(self) -> None:
        """A part must not be sent again, or an upload refused, for that."""
        upload, _ = self.begin()
        store, proxy = self.behind_proxy(part_size=PART, timeout=60)
        proxy.always(answer("200 OK", bytes(17 * MIB)))
        self.assert_fails(ServiceUnavailable, store.begin(self.key, upload.plan, {}))

    def test_lists_of_many_blocks_are_read(self) -> None:
        """As long as Azure's longest: 100,000 blocks, of which half are ours."""
        store, proxy = self.behind_proxy(part_size=1, timeout=60)
        blocks = "".join(
            f"<Block><Name>{block_id(size, number)}</Name><Size>1</Size></Block>"
            for size in (1, 2)
            for number in range(2, 50_001)
        )
        proxy.always(answer("200 OK", f"<BlockList>{blocks}</BlockList>".encode()))
        _, parts = self.run_now(store.begin(self.key, store.plan(50_000), {}))
        self.assertEqual(self.numbers(parts), [1])


class LargeTests(BlocksTestCase):
    """Beyond what is sent at once."""

    def test_parts_of_many_pieces(self) -> None:
        data = os.urandom(5 * MIB)
        self.key = key_of(data)
        for mode in ("direct", "proxy"):
            self.mode = mode
            store = self.make(part_size=2 * MIB)
            upload, parts = self.begin(store, data)
            self.send(upload, parts, data, store)
            self.commit(upload, store)
            self.assertEqual(self.objects(), {self.key.path: data})
        stored = self.run_now(store.open(self.key))
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), data)
        stored.close()
