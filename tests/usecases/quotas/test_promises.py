"""Uploads are promised room, or refused in words."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from giftless.catalogue.session import Session
from giftless.errors import (
    CatalogueUnavailable,
    LengthRequired,
    OverQuota,
    PayloadTooLarge,
    WrongBody,
)
from giftless.interfaces import Wanted
from tests.support.bodies import HeldBody, ListBody
from tests.support.making import key_of, oid_of, repo_of, uploader, writer
from tests.support.memory import ExternalStore
from tests.usecases.quotas.support import LIFETIME, QuotaTestCase, data_of

A, B, C = (data_of(name, 40) for name in "abc")


class BatchTests(QuotaTestCase):
    """A batch promises room to what it lets a client upload."""

    def test_objects_that_fit_get_their_actions_and_their_room(self) -> None:
        self.assertEqual(self.codes(A, B), [0, 0])
        self.assertEqual(self.level(), (0, 80))
        self.put(A)
        self.assertEqual(self.level(), (40, 40))

    def test_an_object_that_does_not_fit_is_refused_alone(self) -> None:
        self.assertEqual(self.codes(A, B, C), [0, 0, 507])
        self.assertEqual(self.level(), (0, 80))

    def test_what_is_small_enough_fits_behind_what_is_not(self) -> None:
        self.assertEqual(self.codes(A, data_of("large", 70), B), [0, 507, 0])

    def test_the_limit_itself_can_be_used(self) -> None:
        self.assertEqual(self.codes(A, data_of("d", 60)), [0, 0])
        self.assertEqual(self.level(), (0, 100))
        self.assertEqual(self.codes(data_of("e", 1)), [507])

    def test_the_words_say_how_much_is_used_of_what_and_whom_to_ask(self) -> None:
        self.have(A)
        self.batch(B)
        (entry,) = self.batch(C)
        assert entry.error is not None
        self.assertEqual(
            entry.error.message,
            "the repository org/repo has no room for this object of 40 bytes: 40 bytes of its"
            " 100 bytes are used, 40 bytes more promised to uploads under way"
            " (1 GB = 1,000,000,000 bytes); delete what is not needed any more, or ask ada",
        )

    def test_what_is_there_is_never_refused(self) -> None:
        self.have(A)
        self.have(data_of("more", 500))
        self.assertEqual(self.codes(A, data_of("more", 500), B), [1, 1, 507])

    def test_downloads_are_never_refused(self) -> None:
        self.have(data_of("much", 500))
        self.assertEqual(self.codes(data_of("much", 500), operation="download"), [0])

    def test_what_two_clients_upload_counts_once(self) -> None:
        self.codes(A, B)
        self.assertEqual(self.codes(A, B), [0, 0])
        self.assertEqual(self.level(), (0, 80))

    def test_who_asks_again_soon_has_what_was_promised(self) -> None:
        """Nothing is written for it; after a while the promise is made longer."""
        self.clock.advance(40 - self.clock.seconds() % 60)
        self.codes(A, B)
        with mock.patch.object(Session, "writing", side_effect=AssertionError("it writes")):
            self.clock.advance(19)
            self.assertEqual(self.codes(A, B), [0, 0])
        self.clock.advance(60)
        self.codes(A, B)
        self.clock.advance(LIFETIME + 590)
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 80))

    def test_who_names_another_size_is_charged_for_it(self) -> None:
        """An object's size is that of its bytes: who gives a small one first gains nothing."""
        self.batch_of({"oid": oid_of(A), "size": 1})
        (entry,) = self.batch_of({"oid": oid_of(A), "size": 1000})
        assert entry.error is not None
        self.assertEqual(entry.error.code, 507)
        self.assertEqual(self.level(), (0, 1))

    def test_an_organisation_is_charged_with_its_repositories(self) -> None:
        self.configure(
            orgs=[{"match": "org", "limit": 100}],
            repositories=[{"match": "org/*", "limit": 60}],
        )
        self.assertEqual(self.codes(A, B), [0, 507])
        self.assertEqual(self.codes(B, path="org/other"), [0])
        (entry,) = self.batch(C, path="org/third")
        assert entry.error is not None
        self.assertIn("the organisation org has no room", entry.error.message)
        (entry,) = self.batch(C)
        assert entry.error is not None
        self.assertIn("ask the administrator of this server", entry.error.message)
        self.assertEqual(self.codes(C, path="organic/third"), [0])

    def test_repositories_without_a_rule_are_not_charged(self) -> None:
        self.configure(repositories=[{"match": "acme/*", "limit": 10}])
        self.break_catalogue()
        self.assertEqual(self.codes(A), [0])
        self.put_only(A)

    def put_only(self, data: bytes) -> None:
        """Upload an object of which the catalogue learns nothing."""
        upload = self.server.receive(uploader(len(data)), key_of(data), len(data), ListBody([data]))
        self.run_now(upload)

    def test_a_limit_that_is_lowered_takes_nothing_back(self) -> None:
        self.have(A)
        self.codes(B)
        self.configure(repositories=[{"match": "**", "limit": 10}])
        self.assertEqual(self.codes(A, B, C), [1, 0, 507])
        self.put(B)
        self.assertEqual(self.level(), (80, 0))

    def test_an_object_that_is_too_large_is_413_whatever_the_room(self) -> None:
        self.configure(repositories=[{"match": "**", "object_size": "39", "limit": 1000}])
        (entry, small) = self.batch(A, data_of("d", 39))
        assert entry.error is not None
        self.assertEqual(entry.error.code, 413)
        self.assertEqual(
            entry.error.message,
            "the object has 40 bytes; those of the repository org/repo may have up to 39 bytes"
            " (1 GB = 1,000,000,000 bytes)",
        )
        self.assertIsNone(small.error)
        self.assertEqual(self.level(), (0, 39))

    def test_without_a_limit_the_size_of_objects_is_bounded_all_the_same(self) -> None:
        self.configure(repositories=[{"match": "**", "object_size": "39"}])
        self.break_catalogue()
        self.have_only(C)
        self.assertEqual(self.codes(A, data_of("d", 39), C), [413, 0, 1])

    def have_only(self, data: bytes) -> None:
        """Put an object in place of which the catalogue knows nothing."""
        self.store.add(key_of(data), data)

    def test_a_damaged_object_can_be_mended_when_all_room_is_taken(self) -> None:
        for data in (A, B, data_of("d", 20)):
            self.have(data)
        self.run_now(self.store.mark(key_of(A), "its SHA-256 is wrong"))
        self.store.objects[key_of(B).path] = B[:7]
        self.assertEqual(self.codes(A, B, C), [0, 0, 507])
        self.put(A)
        self.put(B)
        self.assertEqual(self.level(), (100, 0))

    def test_what_arrives_between_the_question_and_the_promise_is_no_error(self) -> None:
        for data in (A, B):
            self.have(data)
        arrived = data_of("d", 30)
        reserve = self.catalogue.reserve

        async def late(*arguments: object) -> object:
            self.store.add(key_of(arrived), arrived)
            return await reserve(*arguments)  # type: ignore[arg-type]

        self.patch(self.catalogue, "reserve", late)
        self.assertEqual(self.codes(arrived, C), [0, 507])

    def test_an_object_of_another_size_gives_no_room_to_what_is_said_of_it(self) -> None:
        """Whoever announces much for an oid that is there could replace it in some clouds."""
        small = data_of("small", 5)
        self.have(small)
        (entry,) = self.batch_of({"oid": oid_of(small), "size": 1000})
        assert entry.error is not None
        self.assertEqual(entry.error.code, 507)

    def test_if_the_database_fails_uploads_wait_and_all_else_goes_on(self) -> None:
        self.have(A)
        self.break_catalogue()
        self.assertRaises(CatalogueUnavailable, self.batch, B)
        self.assertEqual(self.codes(A), [1])
        self.assertEqual(self.codes(A, operation="download"), [0])

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60), st.booleans()), max_size=20))
    def test_used_and_reserved_never_pass_the_limit(
        self, steps: list[tuple[int, int, bool]]
    ) -> None:
        self.setUp()
        for number, size, uploads in steps:
            data = data_of(f"{number} {size}", size)
            if self.codes(data) == [0] and uploads:
                self.put(data)
            self.assertLessEqual(sum(self.level()), 100)
        stored = sum(map(len, self.store.objects.values()))
        self.assertEqual(stored, self.level()[0])


class UploadTests(QuotaTestCase):
    """An upload that begins has its room, or is refused before its bytes are read."""

    def test_who_comes_without_a_batch_is_refused_as_well(self) -> None:
        self.have(A)
        self.put(B, ticket=False)
        self.assertEqual(self.level(), (80, 0))
        body = HeldBody()
        error = self.assert_fails(OverQuota, self.server.receive(writer(), key_of(C), len(C), body))
        self.assertIn("80 bytes of its 100 bytes are used (1 GB", error.message)
        self.assertIsNone(self.store.get(key_of(C)))

    def test_who_comes_without_a_batch_must_say_how_much_there_is(self) -> None:
        upload = self.server.receive(writer(), key_of(C), None, ListBody([C]))
        self.assert_fails(LengthRequired, upload)
        chunked = self.server.receive(uploader(len(C)), key_of(C), None, ListBody([C]))
        self.run_now(chunked)
        self.configure(repositories=[{"match": "acme/*", "limit": 10}])
        self.run_now(self.server.receive(writer(), key_of(A), None, ListBody([A])))

    def test_who_sends_more_than_was_said_is_refused(self) -> None:
        self.batch_of({"oid": oid_of(C), "size": 1})
        for size in (len(C), None):
            upload = self.server.receive(uploader(1), key_of(C), size, ListBody([C]))
            self.assert_fails(WrongBody, upload)
        self.assertIsNone(self.store.get(key_of(C)))
        upload = self.server.receive(writer(), key_of(C), 1, ListBody([C]))
        self.assert_fails(WrongBody, upload)

    def test_a_token_whose_promise_has_ended_opens_nothing_new(self) -> None:
        self.batch(A)
        self.clock.advance(LIFETIME + 700)
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 0))
        self.have(data_of("others", 80))
        upload = self.server.receive(uploader(len(A)), key_of(A), len(A), ListBody([A]))
        self.assert_fails(OverQuota, upload)

    def test_a_token_is_good_once_if_its_object_is_deleted_meanwhile(self) -> None:
        self.batch(A)
        self.put(A)
        self.forget(A)
        self.have(data_of("others", 80))
        upload = self.server.receive(uploader(len(A)), key_of(A), len(A), ListBody([A]))
        self.assert_fails(OverQuota, upload)

    def test_who_has_lost_the_answer_sends_again(self) -> None:
        """The object is there and recorded, and everything is full."""
        self.put(A)
        self.have(data_of("others", 60))
        self.put(A)
        self.put(A, ticket=False)
        self.assertEqual(self.level(), (100, 0))

    def test_an_upload_that_takes_long_keeps_its_room(self) -> None:
        self.batch(A)
        body = HeldBody()
        upload = self.start(self.server.receive(uploader(len(A)), key_of(A), len(A), body))
        for _ in range(200):
            self.clock.advance(30)
            self.run_now(self.keeping.look())
        self.assertEqual(self.level(), (0, 40))
        self.assertEqual(self.codes(data_of("d", 61)), [507])
        body.provide(A)
        body.provide()
        self.successResultOf(upload)
        self.assertEqual(self.quotas.holding, set())
        self.record(A)
        self.assertEqual(self.level(), (40, 0))

    def test_an_upload_that_breaks_off_keeps_no_room_for_ever(self) -> None:
        body = HeldBody()
        upload = self.start(self.server.receive(writer(), key_of(A), len(A), body))
        upload.cancel()
        self.failureResultOf(upload)
        self.assertEqual(self.quotas.holding, set())
        self.clock.advance(700)
        self.run_now(self.keeping.look())
        self.assertEqual(self.level(), (0, 0))

    def test_if_the_database_fails_an_upload_waits(self) -> None:
        self.break_catalogue()
        upload = self.server.receive(uploader(len(A)), key_of(A), len(A), ListBody([A]))
        self.assert_fails(CatalogueUnavailable, upload)

    def test_an_object_that_is_too_large_is_413_without_a_batch_too(self) -> None:
        self.configure(orgs=[{"match": "*", "object_size": 39}])
        self.assert_fails(
            PayloadTooLarge, self.server.receive(writer(), key_of(A), len(A), ListBody([A]))
        )
        self.assert_fails(
            LengthRequired, self.server.receive(writer(), key_of(A), None, ListBody([A]))
        )


class DirectTests(QuotaTestCase):
    """What clients send to a cloud is promised room for as long as it can take."""

    def setUp(self) -> None:
        super().setUp()
        self.store = ExternalStore()
        self.configure(repositories=[{"match": "**", "limit": "10G"}])

    def test_an_upload_that_began_before_its_url_expired_has_its_room(self) -> None:
        self.batch_of({"oid": oid_of(A), "size": 5 * 10**9})
        self.clock.advance(LIFETIME + 600 + 5 * 10**9 / 125_000 - 1)
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 5 * 10**9))
        self.clock.advance(61)
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 0))

    def test_no_url_is_signed_for_what_does_not_fit(self) -> None:
        self.batch_of({"oid": oid_of(A), "size": 6 * 10**9}, {"oid": oid_of(B), "size": 6 * 10**9})
        self.assertEqual([key for _, key, *_ in self.store.signed], [key_of(A)])


class TakingTests(QuotaTestCase):
    """Others who store objects ask for room in the same way."""

    def test_what_has_no_room_is_named(self) -> None:
        wanted = [Wanted(key_of(data), len(data)) for data in (A, B, C)]
        problems = self.run_now(self.quotas.take(repo_of(), wanted, 60.0))
        self.assertEqual(list(problems), [key_of(C)])
        self.assertIsInstance(problems[key_of(C)], OverQuota)
