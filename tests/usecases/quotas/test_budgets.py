"""Downloads have budgets."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from giftless.errors import CatalogueUnavailable, TooManyDownloads
from giftless.interfaces import IObserver
from giftless.usecases.quotas.budgets import Budgets
from tests.support.making import key_of, reader, repo_of, uploader
from tests.support.memory import ExternalStore
from tests.usecases.quotas.support import QuotaTestCase, data_of

A, B = data_of("a", 60), data_of("b", 50)


class BudgetTests(QuotaTestCase):
    """What is sent is counted, and refused when it is too much."""

    section = {
        "orgs": [{"match": "org", "downloads": 100}],
        "contact": "ada",
    }

    def setUp(self) -> None:
        super().setUp()
        # The clock is at 22:13:20 UTC.
        self.have(A)
        self.have(B)

    def send(self, data: bytes, share: float = 1.0, path: str = "org/repo") -> None:
        """Download an object, or a part of it."""
        opened = self.run_now(
            self.server.open(uploader(len(data), operation="download"), key_of(data, path))
        )
        opened.sent(int(len(data) * share), len(data))
        opened.close()

    def tell(self) -> None:
        """Let the catalogue know."""
        self.run_now(self.budgets.tell())

    def other_worker(self) -> Budgets:
        """Return what another worker counts with."""
        options = self.options
        return Budgets(
            self.rules,
            options.period,
            options.contact,
            self.catalogue,
            self.clock,
            self.clock.seconds,
        )

    def test_it_is_an_observer(self) -> None:
        verifyObject(IObserver, self.budgets)

    def test_downloads_go_on_until_the_budget_is_used_up(self) -> None:
        self.send(A)
        self.assertEqual(self.codes(A, B, operation="download"), [0, 0])
        self.send(B)
        error = self.assertRaises(TooManyDownloads, self.batch, A, operation="download")
        self.assertEqual(error.code, 429)
        self.assertEqual(
            error.message,
            "the organisation org may download 100 bytes in 1 d, and has downloaded 110 bytes"
            " (1 GB = 1,000,000,000 bytes); go on in 1 h 46 min, or ask ada",
        )

    def test_what_a_batch_has_given_out_is_refused_as_well(self) -> None:
        """A token could be used again and again."""
        self.send(A)
        self.send(B)
        self.assert_fails(TooManyDownloads, self.server.open(reader(), key_of(A)))
        self.assert_fails(
            TooManyDownloads, self.server.open(uploader(60, operation="download"), key_of(A))
        )

    def test_what_was_sent_counts_and_not_what_was_asked_for(self) -> None:
        for _ in range(3):
            self.send(A, share=0.5)
        self.assertEqual(self.codes(A, operation="download"), [0])

    def test_uploads_go_on(self) -> None:
        self.send(A)
        self.send(B)
        self.assertEqual(self.codes(data_of("new", 10)), [0])

    def test_other_organisations_go_on(self) -> None:
        self.send(A)
        self.send(B)
        self.have(A, "other/repo")
        self.assertEqual(self.codes(A, operation="download", path="other/repo"), [0])

    def test_repositories_of_an_organisation_share_its_budget(self) -> None:
        self.have(A, "org/second")
        self.send(A)
        self.send(A, path="org/second")
        with self.assertRaises(TooManyDownloads):
            self.batch(A, operation="download", path="org/third")

    def test_workers_count_together(self) -> None:
        other = self.other_worker()
        self.send(A)
        self.send(B)
        self.tell()
        self.assert_fails(TooManyDownloads, other.require(repo_of()))

    def test_what_others_have_counted_is_known_soon(self) -> None:
        other = self.other_worker()
        self.run_now(other.require(repo_of()))
        self.send(A)
        self.send(B)
        self.tell()
        self.clock.advance(2.5)
        self.assert_fails(TooManyDownloads, other.require(repo_of()))

    def test_a_new_period_begins_with_nothing(self) -> None:
        self.send(A)
        self.send(B)
        self.tell()
        self.clock.advance(6399)
        self.assert_fails(TooManyDownloads, self.budgets.require(repo_of()))
        self.clock.advance(2)
        self.run_now(self.budgets.require(repo_of()))
        self.send(A)
        self.tell()
        self.run_now(self.budgets.require(repo_of()))

    def test_who_can_wait_is_told_how_long(self) -> None:
        self.send(A)
        self.send(B)
        self.clock.advance(6400 - 100)
        error = self.assert_fails(TooManyDownloads, self.budgets.require(repo_of()))
        self.assertEqual(error.headers, {"Retry-After": "100"})
        self.clock.advance(-1000)
        error = self.assert_fails(TooManyDownloads, self.budgets.require(repo_of()))
        self.assertEqual(error.retry_after, 300)

    def test_who_would_wait_in_vain_is_let_go_soon(self) -> None:
        """git-lfs waits eight times, whatever it is told."""
        self.send(A)
        self.send(B)
        error = self.assert_fails(TooManyDownloads, self.budgets.require(repo_of()))
        self.assertEqual(error.retry_after, 30)

    def test_if_the_database_fails_downloads_go_on_and_are_counted_later(self) -> None:
        count = self.catalogue.count
        self.break_catalogue()
        self.send(A)
        self.clock.advance(10)
        self.run_now(self.budgets.require(repo_of()))
        self.assertRaises(CatalogueUnavailable, self.tell)
        self.patch(self.catalogue, "count", count)
        self.tell()
        self.tell()
        self.assertEqual(self.downloaded(), {"the organisation org": 60})

    def downloaded(self) -> dict[str, int]:
        """Return what the catalogue has counted."""
        owners = self.rules.terms(repo_of()).budgeted
        found = self.run_now(self.budgets.downloaded(owners))
        return {str(owner): count for owner, count in found.items()}

    def test_names_of_any_length_are_counted(self) -> None:
        path = "org/" + "/".join(["x" * 200] * 5)
        self.configure(repositories=[{"match": "**", "downloads": 50}])
        self.have(A, path)
        self.send(A, path=path)
        self.tell()
        self.assert_fails(TooManyDownloads, self.budgets.require(repo_of(path)))

    def test_a_budget_of_nothing_lets_nothing_pass(self) -> None:
        self.configure(repositories=[{"match": "**", "downloads": 0}])
        self.assert_fails(TooManyDownloads, self.budgets.require(repo_of()))


class DirectBudgetTests(QuotaTestCase):
    """What a store gives out itself is counted when a batch allows it."""

    section: dict[str, Any] = {"repositories": [{"match": "**", "downloads": 100}]}

    def setUp(self) -> None:
        super().setUp()
        self.store = ExternalStore()
        self.configure(**self.section)
        for data in (A, B):
            self.store.present[key_of(data)] = len(data)

    def test_a_batch_counts_what_it_signs(self) -> None:
        self.assertEqual(self.codes(A, data_of("absent", 90), operation="download"), [0, 404])
        self.assertEqual(self.codes(A, operation="download"), [0])
        self.assertRaises(TooManyDownloads, self.batch, B, operation="download")

    def test_what_could_not_be_signed_is_not_counted(self) -> None:
        self.store.refusals[key_of(A)] = TooManyDownloads("the bucket's own", 5)
        for _ in range(3):
            self.assertEqual(self.codes(A, operation="download"), [429])

    def test_uploads_are_not_counted(self) -> None:
        self.codes(data_of("new", 500))
        self.assertEqual(self.codes(A, operation="download"), [0])
