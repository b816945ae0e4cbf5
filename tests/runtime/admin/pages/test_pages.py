"""All pages, as whoever asks for them sees them."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from giftless.base.pages import MAX_FORM, PAGES, PageReply, PageRequest
from giftless.lfs.objects import MAX_PATH_BYTES
from giftless.monitoring.health import Report
from giftless.monitoring.overview import Overview
from giftless.runtime.admin.pages.dashboard import Dashboard
from giftless.runtime.admin.pages.locks import PAGE_SIZE
from giftless.runtime.admin.pages.pages import Pages
from giftless.runtime.admin.pages.rendering import Renderer
from giftless.runtime.lock_questions import Answer, Release, Search
from giftless.runtime.questions import Unanswered
from tests.runtime.admin.pages import sample
from tests.runtime.admin.pages.support import FORM, PagesTestCase


class DashboardTests(PagesTestCase):
    def test_everything_is_on_the_dashboard(self) -> None:
        page = self.read(self.get())
        for text in (
            *(
                "38/s",
                "24 MB/s",
                "acme/site",
                "unauthenticated",
                "3,120",
                "4101",
                "leaving",
                "1 h 28 min",
            ),
            *(
                "2.7 GB",
                "unknown",
                "And 1 more.",
                "lock.forced",
                "812 GB free",
                "1,204,311 requests",
            ),
            *("https://lfs.example.com", "2026-11-28 12:00:00 UTC", "5 started, 1 died"),
            *("7,000 of about 34,410", "34,000 objects (1.3 TB), 0 not well", "wrong, marked"),
        ):
            self.assertIn(text, page.text)
        self.assertEqual(page.tags["svg"], 4)

    def test_each_chart_is_told_in_words_too(self) -> None:
        page = self.read(self.get())
        labels = [
            value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")
        ]
        self.assertEqual(len(labels), 4)
        total = f"{sum(self.overview.hour.requests):,.0f} requests"
        self.assertTrue(labels[0].startswith(f"Requests per minute: {total}"), labels[0])
        self.assertIn("uploaded", labels[1])

    def test_the_figures_are_a_table_too(self) -> None:
        body = self.get().body.decode()
        self.assertIn('<th scope="row">11:30</th><td class="count">200</td>', body)

    def test_a_new_server_has_a_dashboard_too(self) -> None:
        self.overview = sample.idle()
        text = self.read(self.get()).text
        for words in (
            *("Nobody has looked yet", "There was no traffic", "Nothing has been refused"),
            *("No repository has been used", "Nothing is being uploaded", "No worker runs"),
            "Nothing out of the ordinary has happened",
        ):
            self.assertIn(words, text)

    def test_what_is_wrong_is_told(self) -> None:
        problems = {"store": "the disk is full", "locks": ""}
        self.overview = sample.overview(
            health=Report(problems), reload_problem="giftless.yaml: no such key"
        )
        page = self.read(self.get())
        self.assertIn("the disk is full", page.text)
        self.assertIn("giftless.yaml: no such key", page.text)

    def test_hostile_names_are_text(self) -> None:
        self.overview = sample.overview(
            sample.HOSTILE,
            reload_problem=sample.HOSTILE[0],
            url=f"http://{sample.HOSTILE[1]}",
            endpoints=list(sample.HOSTILE),
            admin_endpoints=list(sample.HOSTILE),
        )
        page = self.read(self.get())
        self.assertEqual(page.tags["script"], 1)
        self.assertNotIn("img", page.tags)
        for name in sample.HOSTILE[:8]:
            self.assertIn(name, page.text)
        self.assertNotIn("\u202e", page.text)
        self.assertNotIn("49", re.findall(r"\{\{.*?\}\}", page.text))

    def test_metrics_are_linked_where_they_are(self) -> None:
        self.assertIn("Metrics", self.read(self.get()).text)
        self.assertNotIn("Metrics", self.read(self.get(public=True)).text)

    def test_the_same_is_told_to_programs(self) -> None:
        reply = self.get("overview.json")
        self.assertEqual(reply.headers["Content-Type"], "application/json")
        self.check_headers(reply)
        self.assertEqual(msgspec.json.decode(reply.body, type=Overview), self.overview)

    def test_it_is_made_once_a_second_at_most(self) -> None:
        clock, made = Clock(), []

        async def overview() -> Overview:
            made.append(clock.seconds())
            return self.overview

        dashboard = Dashboard(Renderer(), overview, clock.seconds)
        for _ in range(100):
            self.run_now(dashboard.page(PageRequest("GET", "")))
        self.assertEqual(len(made), 1)
        self.run_now(dashboard.page(PageRequest("GET", "", public=True)))
        clock.advance(1)
        self.run_now(dashboard.page(PageRequest("GET", "")))
        self.assertEqual(made, [0, 0, 1])

    def test_many_who_come_at_once_are_shown_the_same(self) -> None:
        waiting: list[Deferred[Overview]] = []

        def overview() -> Deferred[Overview]:
            waiting.append(Deferred())
            return waiting[-1]

        dashboard = Dashboard(Renderer(), overview, lambda: 0.0)
        replies = [self.start(dashboard.page(PageRequest("GET", ""))) for _ in range(1000)]
        self.assertEqual(len(waiting), 1)
        waiting[0].callback(self.overview)
        first, *others = map(self.successResultOf, replies)
        self.assertTrue(all(other is first for other in others))
        self.assertEqual(len(waiting), 1)

    def test_one_that_cannot_be_made_keeps_nobody_waiting(self) -> None:
        waiting: list[Deferred[Overview]] = []

        def overview() -> Deferred[Overview]:
            waiting.append(Deferred())
            return waiting[-1]

        dashboard = Dashboard(Renderer(), overview, lambda: 0.0)
        gone, *replies = [self.start(dashboard.page(PageRequest("GET", ""))) for _ in range(1000)]
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        waiting[0].errback(ValueError("of a test"))
        for reply in replies:
            self.failureResultOf(reply, ValueError)
        reply = self.start(dashboard.page(PageRequest("GET", "")))
        waiting[1].callback(self.overview)
        self.assertEqual(self.successResultOf(reply).status, 200)


class LockPageTests(PagesTestCase):
    NAMES = ("acme/site", "acme/film")

    def setUp(self) -> None:
        super().setUp()
        self.answers["locks"] = Answer(sample.locks(self.NAMES))

    def test_all_locks_are_listed(self) -> None:
        page = self.read(self.get("locks"))
        self.assertEqual(self.asked, [Search(PAGE_SIZE)])
        for text in ("art/acme/site", "acme/film", "All locks, newest first", "Release…"):
            self.assertIn(text, page.text)
        self.assertNotIn("Older locks", page.text)

    def test_a_text_is_searched_for(self) -> None:
        page = self.read(self.get("locks", "q=+%C3%96lga+%3Cb%3E+"))
        self.assertEqual(self.asked, [Search(PAGE_SIZE, "Ölga <b>")])
        self.assertIn(("input", "value", "Ölga <b>"), page.attributes)

    def test_the_next_page_goes_on_with_the_search(self) -> None:
        self.answers["locks"] = Answer(sample.locks(self.NAMES), "77")
        page = self.read(self.get("locks", "q=a%26b&cursor=99"))
        self.assertEqual(self.asked, [Search(PAGE_SIZE, "a&b", cursor="99")])
        links = [value for _, name, value in page.attributes if name == "href"]
        self.assertIn("locks?q=a%26b&cursor=77", links)
        self.assertIn("locks?q=a%26b", links)

    def test_nothing_found_is_said(self) -> None:
        self.answers["locks"] = Answer()
        self.assertIn("Nothing is locked.", self.read(self.get("locks")).text)
        text = self.read(self.get("locks", "q=x")).text
        self.assertIn("No lock has “x” in its repository, path or owner.", text)

    def test_problems_are_shown_beside_the_form(self) -> None:
        for answer, status, words in (
            (Answer(status=400, problem="the cursor is none"), 400, "the cursor is none"),
            (Unanswered("has not answered in time"), 503, "a worker has not answered in time"),
            (None, 503, "no worker serves and answers"),
        ):
            self.answers["locks"] = answer
            page = self.read(self.get("locks", "q=x"), status)
            self.assertIn(words, page.text)
            self.assertEqual(page.tags["form"], 1)

    def test_hostile_names_are_text(self) -> None:
        self.answers["locks"] = Answer(sample.locks(sample.HOSTILE), sample.HOSTILE[1])
        for path, query in (("locks", ""), ("locks", "q=%3Cscript%3E"), ("release", "id=1")):
            page = self.read(self.get(path, query))
            self.assertNotIn("script", page.tags)
            self.assertNotIn("img", page.tags)

    def test_a_huge_search_or_query_does_no_harm(self) -> None:
        self.get("locks", "q=" + "x" * 100_000)
        reply = self.get("locks", "&".join(f"a{n}=1" for n in range(100)))
        self.assertEqual(reply.status, 400)
        for query in ("q=%ff%fe", "q=%00", "cursor=%00", "q", "=", "&&&", "q=a&q=b", "%"):
            self.assertLess(self.get("locks", query).status, 500)

    def test_two_searches_run_at_once_and_others_wait(self) -> None:
        """Each may read all locks, and whoever locks a file needs the database."""
        waiting: list[Deferred[bytes]] = []

        def ask(name: str, payload: bytes, patience: float) -> Deferred[bytes]:
            waiting.append(Deferred())
            return waiting[-1]

        pages = Pages(self.look, ask, lambda: (), self.clock)
        request = PageRequest("GET", "locks", hosts=["localhost"])
        replies = [self.start(pages.answer(request)) for _ in range(22)]
        self.assertEqual(len(waiting), 2)
        late = self.start(pages.answer(request))
        self.assertEqual(self.successResultOf(late).status, 503)
        for number in range(22):
            waiting[number].callback(msgspec.json.encode(Answer()))
        self.assertEqual([self.successResultOf(reply).status for reply in replies], [200] * 22)


class ReleaseTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.lock = sample.locks(("acme/site",))[0]
        self.answers = {"locks": Answer([self.lock]), "release": Answer([self.lock])}

    def token(self, **members: Any) -> str:
        """Open the form that confirms, and return its token."""
        page = self.read(self.get("release", f"id={self.lock.id}", **members))
        index = page.attributes.index(("input", "name", "token"))
        return page.attributes[index + 1][2]

    def send(self, body: str, kind: str = FORM, **members: Any) -> PageReply:
        """Send the form."""
        return self.get("release", "", "POST", kind=kind, body=body.encode(), **members)

    def released(self) -> list[Release]:
        """Return what was released."""
        return [asked for asked in self.asked if isinstance(asked, Release)]

    def test_who_looks_releases_nothing(self) -> None:
        page = self.read(self.get("release", f"id={self.lock.id}"))
        for text in ("art/acme/site", "basic#acme/site", "admin endpoint", "Release the lock"):
            self.assertIn(text, page.text)
        self.assertEqual(self.asked, [Search(1, id=self.lock.id)])

    def test_a_confirmed_lock_is_released(self) -> None:
        members: dict[str, Any] = {"address": "127.0.0.1", "request_id": "f00d"}
        token = self.token(**members)
        page = self.read(self.send(f"id={self.lock.id}&token={token}", **members))
        self.assertIn("The lock is released", page.text)
        self.assertEqual(
            self.released(), [Release(self.lock.id, "admin endpoint", "", "127.0.0.1", "f00d")]
        )

    def test_an_identified_operator_is_named(self) -> None:
        ada: dict[str, Any] = {"public": True, "who": "ada", "principal": "basic#ada"}
        token = self.token(**ada)
        self.read(self.send(f"id={self.lock.id}&token={token}", **ada))
        self.assertEqual(self.released(), [Release(self.lock.id, "ada", "basic#ada")])

    def test_nothing_is_released_without_a_form_made_here(self) -> None:
        token = self.token()
        cases: tuple[tuple[str, str, dict[str, Any], int], ...] = (
            (f"id={self.lock.id}", FORM, {}, 403),
            (f"id={self.lock.id}&token=x", FORM, {}, 403),
            (f"id=other&token={token}", FORM, {}, 403),
            (f"id={self.lock.id}&token={token}", "text/plain", {}, 415),
            (f"id={self.lock.id}&token={token}", "", {}, 415),
            (f"id={self.lock.id}&token={token}", "multipart/form-data; boundary=x", {}, 415),
            (f"id={self.lock.id}&token={token}", FORM, {"origin": "http://evil.example"}, 403),
            (f"id={self.lock.id}&token={token}", FORM, {"origin": "null"}, 403),
            (f"id={self.lock.id}&token={token}", FORM, {"fetch_site": "cross-site"}, 403),
            (f"id={self.lock.id}&token={token}", FORM, {"hosts": ["evil.example"]}, 403),
            (f"id={self.lock.id}&token={token}", FORM, {"hosts": [""]}, 403),
            (f"id={self.lock.id}&token={token}" + "&x=1" * 100, FORM, {}, 400),
            ("", FORM, {}, 403),
            ("\u00ff" * 2000, FORM, {}, 403),
        )
        for body, kind, members, status in cases:
            self.read(self.send(body, kind, **members), status)
        self.assertEqual(self.released(), [])
        self.send(f"id={self.lock.id}&token={token}", FORM + "; charset=UTF-8")
        self.assertEqual(len(self.released()), 1)

    def test_the_query_is_no_form(self) -> None:
        token = self.token()
        reply = self.get("release", f"id={self.lock.id}&token={token}", "POST", kind=FORM)
        self.assertEqual((reply.status, self.released()), (403, []))

    def test_a_lock_that_is_gone_is_404(self) -> None:
        token = self.token()
        gone = Answer(status=404, problem="there is no such lock, or not any more")
        self.answers = {"locks": Answer(), "release": gone}
        self.assertIn("no such lock", self.read(self.get("release", "id=x"), 404).text)
        self.assertIn("no such lock", self.read(self.get("release"), 404).text)
        reply = self.send(f"id={self.lock.id}&token={token}")
        self.assertIn("no such lock", self.read(reply, 404).text)

    def test_a_worker_that_hangs_is_503(self) -> None:
        token = self.token()
        self.answers["release"] = Unanswered("has not answered in time")
        reply = self.send(f"id={self.lock.id}&token={token}")
        self.assertIn("a worker has not answered in time", self.read(reply, 503).text)


class RequestTests(PagesTestCase):
    def test_every_page_that_is_announced_is_there(self) -> None:
        self.answers["locks"] = Answer(sample.locks(("a",)))
        self.answers["usage"] = sample.usage(("a",))
        for path in PAGES:
            reply = self.get(path, "id=1")
            self.assertEqual(reply.status, 200, path)
            self.check_headers(reply)
            self.assertEqual(self.get(path, "id=1", "HEAD").status, 200)

    def test_what_pages_need_has_its_type(self) -> None:
        for path, kind in (
            ("style.css", "text/css; charset=utf-8"),
            ("refresh.js", "text/javascript; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
        ):
            self.assertEqual(self.get(path).headers["Content-Type"], kind)

    def test_there_are_no_other_pages(self) -> None:
        for path in ("x", "locks/", "../locks", "base.html", "static/style.css", "Locks", "\x00"):
            self.read(self.get(path), 404)

    def test_other_methods_are_refused(self) -> None:
        for path, method, allowed in (
            ("", "POST", "GET, HEAD"),
            ("locks", "DELETE", "GET, HEAD"),
            ("release", "PUT", "GET, HEAD, POST"),
            ("style.css", "POST", "GET, HEAD"),
            ("overview.json", "POST", "GET, HEAD"),
        ):
            reply = self.get(path, method=method)
            self.assertEqual(reply.status, 405)
            self.check_headers(reply)
            self.assertEqual(reply.headers["Allow"], allowed)

    def test_an_unknown_host_gets_nothing(self) -> None:
        for path in PAGES:
            reply = self.get(path, hosts=["evil.example"])
            self.assertIn(b"admin.hosts", reply.body)
            self.assertNotIn(b"acme", reply.body)
            if path == "overview.json":
                self.assertEqual(reply.status, 403)
                self.assertEqual(list(msgspec.json.decode(reply.body)), ["message"])
            else:
                self.read(reply, 403)

    def test_a_failure_is_logged_and_shown_without_details(self) -> None:
        self.answers["locks"] = ValueError("a secret")
        reply = self.get("locks")
        self.assertIn("the log says why", self.read(reply, 500).text)
        self.assertNotIn(b"a secret", reply.body)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_form_fits_its_limit(self) -> None:
        """The longest id, or path of a repository and object, and a token."""
        self.assertLess(128 + 64 + len("id=&token="), MAX_FORM)
        path, moment = 3 * MAX_PATH_BYTES, len(repr(0.1 + 0.2))
        self.assertLess(path + 64 + 64 + moment + len("repo=&oid=&before=&token="), MAX_FORM)
