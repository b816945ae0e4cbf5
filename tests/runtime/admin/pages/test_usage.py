"""The pages of usage, as whoever asks for them sees them."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from giftless.interfaces.catalogue import UsageRow
from giftless.runtime.admin.pages.asking import PATIENCE
from giftless.runtime.admin.pages.usage import FRESH, MAX_ROWS, PAGE_SIZE, TOP, rows_of
from giftless.runtime.questions import Unanswered
from giftless.runtime.space_questions import (
    ObjectsFacts,
    ObjectsOf,
    QuotasFacts,
    QuotasOf,
    UsageFacts,
    UsageOf,
)
from tests.runtime.admin.pages import sample
from tests.runtime.admin.pages.support import Checker, PagesTestCase


def links(page: Checker) -> list[str]:
    """Return where a page leads to."""
    return [value for _, name, value in page.attributes if name == "href"]


class UsageTests(PagesTestCase):
    NAMES = ("acme", "lab")

    def setUp(self) -> None:
        super().setUp()
        self.answers["usage"] = sample.usage(self.NAMES)
        self.answers["objects"] = ObjectsFacts(sample.objects(("acme/rocket", "lab/scans")), "77")
        self.answers["quotas"] = QuotasFacts(sample.quotas(("acme", "acme/rocket", "lab")))

    def test_totals_rows_quotas_and_objects_are_on_one_page(self) -> None:
        page = self.read(self.get("usage"))
        for words in (
            *("Stored in all repositories", "6.0 GB", "1,799", "3.0 GB", "100 MB"),
            *("By organisation", "4.0 GB", "2.0 GB", "900"),
            *("Largest objects", "Oldest objects", "Objects longest not offered"),
            *("art/acme/rocket", "9.0 GB", " ago", "006e5d2a6e5d"),
            *("full", "nearly full", "well", "organisation"),
        ):
            self.assertIn(words, page.text)
        self.assertEqual(
            self.asked,
            [
                UsageOf("org", "", MAX_ROWS),
                QuotasOf("", PAGE_SIZE),
                *(ObjectsOf(TOP, order=order) for order in ("size", "stored", "offered")),
            ],
        )

    def test_one_repository_is_told_by_everything_else(self) -> None:
        for by in ("org", "repo", "person", "age", "name"):
            self.asked.clear()
            page = self.read(self.get("usage", f"repo=+acme%2Frocket+&by={by}"))
            self.assertEqual(self.asked[0], UsageOf(by, "acme/rocket", MAX_ROWS))
            self.assertIn(ObjectsOf(TOP, "acme/rocket"), self.asked)
            self.assertIn("Stored in acme/rocket", page.text)
            self.assertIn(f"usage?repo=acme%2Frocket&by={by}", links(page))
            self.clock.advance(FRESH)
        for query in ("repo=acme", "repo=acme&by=nonsense"):
            self.asked.clear()
            self.get("usage", query)
            self.assertEqual(self.asked[0].by, "repo")
            self.clock.advance(FRESH)

    def test_rows_lead_from_organisations_to_repositories_to_people(self) -> None:
        self.assertIn("usage?repo=lab&by=repo", links(self.read(self.get("usage"))))
        self.assertIn("usage?repo=lab&by=person", links(self.read(self.get("usage", "by=repo"))))
        page = self.read(self.get("usage", "by=person"))
        self.assertNotIn("usage?repo=lab&by=repo", links(page))

    def test_what_equal_objects_save_is_told_only_where_they_are_kept_once(self) -> None:
        self.assertIn("Distinct", self.read(self.get("usage")).text)
        rows, total = self.answers["usage"].rows, self.answers["usage"].total
        self.answers["usage"] = UsageFacts(rows, total, 1, shares=False)
        self.clock.advance(FRESH)
        self.assertNotIn("Distinct", self.read(self.get("usage")).text)

    def test_many_rows_are_pages_and_the_rest_is_a_sum(self) -> None:
        names = tuple(f"org{number}" for number in range(MAX_ROWS))
        self.answers["usage"] = sample.usage(names, 9_000_000)
        first = self.read(self.get("usage"))
        self.assertIn("Page 1 of 10", first.text)
        self.assertIn("org49", first.text)
        self.assertNotIn("org50", first.text)
        self.assertNotIn("All others", first.text)
        self.assertIn("usage?by=org&page=2", links(first))
        for number in ("10", "11", "99999"):
            last = self.read(self.get("usage", f"page={number}"))
            self.assertIn("org499", last.text)
            self.assertIn("All others together: 9.0 GB in 90,000,000 objects", last.text)
        for number in ("0", "-1", "x", "1e9", "9" * 100, "\u0663"):
            self.assertIn("Page 1 of", self.read(self.get("usage", f"page={number}")).text)

    def test_rows_that_have_all_there_is_leave_no_rest(self) -> None:
        """Those in the trash alone have no row, and are nobody's rest."""
        usage = UsageFacts([UsageRow("a", 1, 1)], UsageRow("", 1, 1, 5, 5))
        self.assertIsNone(rows_of(usage, 1).rest)
        self.assertEqual(rows_of(UsageFacts(), 7).shown, [])

    def test_an_empty_store_has_a_page_too(self) -> None:
        self.answers |= {
            "usage": UsageFacts(),
            "objects": ObjectsFacts(),
            "quotas": QuotasFacts(),
        }
        page = self.read(self.get("usage"))
        self.assertIn("Nothing is stored.", page.text)
        self.assertNotIn("Quotas", page.text)

    def test_what_cannot_be_told_leaves_the_rest_of_the_page(self) -> None:
        self.answers["quotas"] = Unanswered("has not answered in time")
        self.answers["objects"] = ObjectsFacts(status=503, problem="the catalogue is busy")
        page = self.read(self.get("usage"))
        for words in ("a worker has not answered in time", "the catalogue is busy", "acme"):
            self.assertIn(words, page.text)

    def test_problems_are_shown_beside_the_form(self) -> None:
        for answer, status, words in (
            (UsageFacts(status=404, problem="this server has no catalogue"), 404, "no catalogue"),
            (Unanswered("has not answered in time"), 503, "a worker has not answered in time"),
            (None, 503, "no worker serves and answers"),
        ):
            self.answers["usage"] = answer
            page = self.read(self.get("usage", "repo=x"), status)
            self.assertIn(words, page.text)
            self.assertEqual(page.tags["form"], 1)
            self.assertNotIn("Largest", page.text)
            self.clock.advance(FRESH)

    def test_all_who_come_within_some_seconds_are_shown_the_same(self) -> None:
        self.answers["usage"] = waiting = Deferred[bytes]()
        replies = [self.start(self.pages.answer(self.request("usage"))) for _ in "12"]
        self.assertEqual(len(self.asked), 5)
        waiting.callback(b"{}")
        self.assertEqual([self.successResultOf(reply).status for reply in replies], [200, 200])
        self.get("usage")
        self.assertEqual(len(self.asked), 5)
        self.clock.advance(FRESH)
        self.answers["usage"] = UsageFacts()
        self.get("usage")
        self.assertEqual(len(self.asked), 10)

    def test_a_database_that_hangs_is_told_in_words_and_in_time(self) -> None:
        """However many ask, for however many repositories."""
        self.answers = dict.fromkeys(self.answers)
        pending: list[Deferred[bytes]] = []

        def ask(name: str, payload: bytes, patience: float) -> Deferred[bytes]:
            asked = Deferred[bytes]()
            pending.append(asked)
            late = lambda failing: failing.errback(Unanswered("has not answered in time"))  # noqa: E731
            self.clock.callLater(patience, late, asked)
            return asked

        self.use(ask)
        replies = [
            self.start(self.pages.answer(self.request("usage", f"repo=r{number}")))
            for number in range(10)
        ]
        self.assertEqual(len(pending), 6)
        for _ in range(int(2 * PATIENCE)):
            self.clock.advance(0.5)
        # One that got its turn at the last moment is given one more second.
        self.clock.advance(1)
        for reply in replies:
            self.read(self.successResultOf(reply), 503)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hostile_names_are_text(self) -> None:
        self.answers["usage"] = sample.usage(sample.HOSTILE)
        self.answers["objects"] = ObjectsFacts(sample.objects(sample.HOSTILE), sample.HOSTILE[1])
        self.answers["quotas"] = QuotasFacts(sample.quotas(sample.HOSTILE))
        for path in ("usage", "objects"):
            for query in ("", "by=repo", "repo=%3Cscript%3E", "repo=%22%3E%3Cimg&by=age"):
                page = self.read(self.get(path, query))
                self.assertNotIn("script", page.tags)
                self.assertNotIn("img", page.tags)
                self.assertNotIn("\u202e", page.text)

    def test_a_huge_query_does_no_harm(self) -> None:
        self.assertEqual(self.get("usage", "&".join(f"a{n}=1" for n in range(100))).status, 400)
        for query in ("repo=%ff%fe", "repo=%00", "by=%00", "page", "=", "repo=a&repo=b", "%"):
            for path in ("usage", "objects", "trash"):
                self.assertLess(self.get(path, query).status, 500)


class ObjectsTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.answers["objects"] = ObjectsFacts(sample.objects(("acme/rocket",)), "7&7")

    def test_objects_are_listed_page_by_page(self) -> None:
        page = self.read(self.get("objects", "repo=acme%2Frocket&order=stored&cursor=5"))
        self.assertEqual(
            self.asked, [ObjectsOf(PAGE_SIZE, "acme/rocket", order="stored", cursor="5")]
        )
        self.assertIn("objects?repo=acme%2Frocket&order=stored&cursor=7%267", links(page))
        self.assertIn("objects?repo=acme%2Frocket&order=stored", links(page))
        self.assertIn("Oldest objects of acme/rocket", page.text)

    def test_an_order_that_there_is_not_is_the_first_one(self) -> None:
        for order in ("", "moved", "path", "x'"):
            self.asked.clear()
            self.get("objects", f"order={order}")
            self.assertEqual(self.asked, [ObjectsOf(PAGE_SIZE)])
            self.clock.advance(FRESH)

    def test_a_problem_is_told_in_words(self) -> None:
        self.answers["objects"] = ObjectsFacts(status=400, problem="the cursor is none")
        self.assertIn("the cursor is none", self.read(self.get("objects"), 400).text)
