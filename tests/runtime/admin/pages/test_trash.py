"""The pages of the trash, as whoever asks for them sees them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from giftless.base.pages import PageReply
from giftless.runtime.admin.pages.trash import FRESH
from giftless.runtime.admin.pages.usage import MAX_ROWS, PAGE_SIZE
from giftless.runtime.questions import Unanswered
from giftless.runtime.space_questions import (
    ObjectsFacts,
    ObjectsOf,
    TrashFacts,
    TrashOrder,
    UsageFacts,
    UsageOf,
)
from tests.runtime.admin.pages import sample
from tests.runtime.admin.pages.support import FORM, Checker, PagesTestCase
from tests.runtime.admin.pages.test_usage import links

#: What is confirmed: an object, what a repository has in the trash, everything.
SCOPES: Final[tuple[dict[str, str], ...]] = (
    {"repo": "acme/site", "oid": "ab" * 32},
    {"repo": "acme/site"},
    {},
)


class TrashTestCase(PagesTestCase):
    NAMES = ("acme/site", "acme/film")

    def setUp(self) -> None:
        super().setUp()
        self.answers["usage"] = sample.usage(self.NAMES)
        self.answers["objects"] = ObjectsFacts(sample.objects(self.NAMES, trashed=True))

    def form(self, action: str, query: str = "", **members: Any) -> dict[str, str]:
        """Open the form that confirms; returns its fields."""
        return fields(self.read(self.get(action, query, **members)))

    def send(self, action: str, body: str, kind: str = FORM, **members: Any) -> PageReply:
        """Send a form."""
        return self.get(action, "", "POST", kind=kind, body=body.encode(), **members)

    def ordered(self) -> list[TrashOrder]:
        """Return what was restored or deleted."""
        return [asked for asked in self.asked if isinstance(asked, TrashOrder)]


def fields(page: Checker) -> dict[str, str]:
    """Return the fields of a page's form."""
    inputs = [(name, value) for tag, name, value in page.attributes if tag == "input"]
    names = [value for name, value in inputs if name == "name"]
    return dict(zip(names, [value for name, value in inputs if name == "value"], strict=True))


class TrashTests(TrashTestCase):
    def test_repositories_and_objects_are_listed(self) -> None:
        page = self.read(self.get("trash"))
        self.assertEqual(
            self.asked,
            [
                UsageOf("repo", "", MAX_ROWS, trashed=True),
                ObjectsOf(PAGE_SIZE, trashed=True, order="moved"),
            ],
        )
        for words in (
            *("100 MB", "41", "acme/film", "20", "art/acme/site"),
            *("ago by acme/film: acme/film", "2026-12-28 12:00:00 UTC"),
        ):
            self.assertIn(words, page.text.replace("\n", " "))
        for place in (
            *("restore", "purge", "trash?repo=acme%2Fsite"),
            *("restore?repo=acme%2Fsite", "purge?repo=acme%2Fsite"),
        ):
            self.assertIn(place, links(page))
        oid = self.answers["objects"].objects[0].oid
        self.assertIn(f"purge?repo=acme%2Fsite&oid={oid}", links(page))

    def test_one_repository_is_listed_by_itself(self) -> None:
        self.answers["objects"] = ObjectsFacts(sample.objects(self.NAMES, trashed=True), "7&7")
        page = self.read(self.get("trash", "repo=acme%2Fsite&cursor=99"))
        self.assertEqual(
            self.asked,
            [
                UsageOf("repo", "acme/site", MAX_ROWS, trashed=True),
                ObjectsOf(PAGE_SIZE, "acme/site", trashed=True, order="moved", cursor="99"),
            ],
        )
        self.assertIn("trash?repo=acme%2Fsite&cursor=7%267", links(page))
        self.assertNotIn("purge", links(page), "not everything from here")

    def test_many_repositories_are_pages(self) -> None:
        names = tuple(f"acme/r{number}" for number in range(MAX_ROWS))
        self.answers["usage"] = sample.usage(names)
        page = self.read(self.get("trash", "page=2"))
        self.assertIn("acme/r50", page.text)
        self.assertNotIn("acme/r49", page.text)
        self.assertIn("trash?page=3", links(page))

    def test_an_empty_trash_says_so(self) -> None:
        self.answers |= {"usage": UsageFacts(), "objects": ObjectsFacts()}
        page = self.read(self.get("trash"))
        self.assertIn("There is nothing in the trash.", page.text)
        self.assertNotIn("purge", links(page))

    def test_problems_are_shown_beside_the_form(self) -> None:
        for usage, objects, status, words in (
            (Unanswered("has not answered in time"), ObjectsFacts(), 503, "not answered in time"),
            (None, None, 503, "no worker serves"),
            (
                UsageFacts(status=404, problem="this server has no catalogue"),
                ObjectsFacts(status=404, problem="this server has no catalogue"),
                *(404, "this server has no catalogue"),
            ),
            (
                sample.usage(self.NAMES),
                ObjectsFacts(status=400, problem="the cursor is none"),
                *(400, "the cursor is none"),
            ),
        ):
            self.answers |= {"usage": usage, "objects": objects}
            page = self.read(self.get("trash"), status)
            self.assertEqual(page.text.count(words), 1)
            self.assertEqual(page.tags["form"], 1)
            self.clock.advance(FRESH)

    def test_hostile_names_are_text(self) -> None:
        self.answers["usage"] = sample.usage(sample.HOSTILE)
        self.answers["objects"] = ObjectsFacts(
            sample.objects(sample.HOSTILE, trashed=True), sample.HOSTILE[1]
        )
        for path, query in (
            *(("trash", ""), ("trash", "repo=%3Cscript%3E")),
            *(("purge", "repo=%22%3E%3Cimg"), ("restore", "repo=%22%3E%3Cimg&oid=%3Cscript%3E")),
        ):
            page = self.read(self.get(path, query))
            self.assertNotIn("script", page.tags)
            self.assertNotIn("img", page.tags)
            self.assertNotIn("\u202e", page.text)


class ConfirmedTests(TrashTestCase):
    def test_who_looks_changes_nothing(self) -> None:
        for action in ("restore", "purge"):
            for scope in SCOPES:
                page = self.read(self.get(action, urlencode(scope)))
                self.assertIn("admin endpoint", page.text)
                self.assertEqual(self.ordered(), [])

    def test_what_is_confirmed_is_what_is_shown(self) -> None:
        """Of a repository, not of others below its path."""
        oid = "ab" * 32
        self.get("purge", f"repo=acme%2Fsite&oid={oid}")
        self.get("purge", "repo=acme%2Fsite")
        self.get("purge")
        self.assertEqual(
            self.asked,
            [
                ObjectsOf(1, "acme/site", oid, trashed=True),
                UsageOf("repo", "acme/site", 1, trashed=True, below=False),
                UsageOf("repo", "", 1, trashed=True),
            ],
        )

    def test_what_is_confirmed_is_done(self) -> None:
        ada: dict[str, Any] = {"public": True, "who": "ada", "principal": "basic#ada"}
        nobody: dict[str, Any] = {"address": "127.0.0.1", "request_id": "f00d"}
        for action, words in (("restore", "restored"), ("purge", "deleted for good")):
            self.answers[action] = TrashFacts(1234, 2)
            for scope in SCOPES:
                for members, by in (
                    (ada, ("ada", "basic#ada", "", "")),
                    (nobody, ("admin endpoint", "", "127.0.0.1", "f00d")),
                ):
                    self.asked.clear()
                    form = self.form(action, urlencode(scope), **members)
                    page = self.read(self.send(action, urlencode(form), **members))
                    self.assertIn(f"1,234 objects {words}", page.text)
                    self.assertIn("2 objects were not in the trash any more", page.text)
                    self.assertNotIn("form", page.tags)
                    (order,) = self.ordered()
                    self.assertEqual(
                        order,
                        TrashOrder(
                            *by, scope.get("repo", ""), scope.get("oid", ""), float(form["before"])
                        ),
                    )

    def test_what_was_not_done_in_time_is_gone_on_with(self) -> None:
        self.answers["purge"] = TrashFacts(500, more=True)
        form = self.form("purge", "repo=acme%2Fsite")
        page = self.read(self.send("purge", urlencode(form)))
        self.assertIn("More are left", page.text)
        self.assertEqual(fields(page), form)
        self.answers["purge"] = TrashFacts(7)
        self.assertNotIn("form", self.read(self.send("purge", urlencode(fields(page)))).tags)
        self.assertEqual(len(self.ordered()), 2)

    def test_what_has_changed_is_seen_at_once(self) -> None:
        self.assertIn("acme/site", self.read(self.get("trash")).text)
        form = self.form("purge")
        self.answers |= {"usage": UsageFacts(), "objects": ObjectsFacts()}
        self.read(self.send("purge", urlencode(form)))
        self.assertIn("nothing in the trash", self.read(self.get("trash")).text)

    def test_nothing_is_changed_without_a_form_made_here(self) -> None:
        for action, other in (("restore", "purge"), ("purge", "restore")):
            for scope in SCOPES:
                form = self.form(action, urlencode(scope))
                foreign = self.form(other, urlencode(scope))
                good = urlencode(form)
                cases: tuple[tuple[dict[str, str], str, dict[str, Any], int], ...] = (
                    ({**form, "token": ""}, FORM, {}, 403),
                    ({**form, "token": "x"}, FORM, {}, 403),
                    ({**form, "token": foreign["token"]}, FORM, {}, 403),
                    ({**form, "repo": "acme/other"}, FORM, {}, 403),
                    ({**form, "oid": "cd" * 32}, FORM, {}, 403),
                    ({**form, "before": "1e99"}, FORM, {}, 403),
                    ({**form, "before": "nan"}, FORM, {}, 403),
                    ({**form, "before": "x"}, FORM, {}, 403),
                    (form, "text/plain", {}, 415),
                    (form, "", {}, 415),
                    (form, FORM, {"origin": "http://evil.example"}, 403),
                    (form, FORM, {"origin": "null"}, 403),
                    (form, FORM, {"fetch_site": "cross-site"}, 403),
                    (form, FORM, {"hosts": ["evil.example"]}, 403),
                    (form, FORM, {"public": True, "who": "eve", "principal": "eve"}, 403),
                    ({}, FORM, {}, 403),
                )
                for body, kind, members, status in cases:
                    self.read(self.send(action, urlencode(body), kind, **members), status)
                self.read(self.get(action, good, "POST", kind=FORM), 403)
                self.assertEqual(self.ordered(), [])

    def test_what_is_not_in_the_trash_is_404(self) -> None:
        self.answers |= {"usage": UsageFacts(), "objects": ObjectsFacts()}
        for action in ("restore", "purge"):
            for scope in SCOPES:
                text = self.read(self.get(action, urlencode(scope)), 404).text
                self.assertIn("in the trash, or not any more", text)

    def test_why_something_cannot_be_done_is_told_in_words(self) -> None:
        form = self.form("purge")
        for answer, status, words in (
            (TrashFacts(status=503, problem="the store is away"), 503, "the store is away"),
            (Unanswered("has not answered in time"), 503, "a worker has not answered in time"),
            (None, 503, "no worker serves and answers"),
        ):
            self.answers["purge"] = answer
            self.assertIn(words, self.read(self.send("purge", urlencode(form)), status).text)
