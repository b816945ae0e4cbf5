"""The pages of usage and of the trash in a real browser, against a real daemon."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.locking import at_once, header
from tests.integration.support import oid_of
from tests.integration.test_pages import BrowserTestCase
from tests.runtime.admin.pages.sample import HOSTILE
from tests.support.chromium import (
    Pages,
    complaints,
    disable_scripts,
    wait_for,
)
from tests.support.commands import run_trashing
from tests.support.postgresql import postgresql
from tests.support.processes import wait_until
from tests.support.servers import shared

#: How long to rest between two looks at what takes many seconds to change, in seconds.
RARELY: Final = 0.5


class SpacePagesTestCase(BrowserTestCase):
    """A daemon with objects, and a browser."""

    def store(self, data: bytes, repo: str, who: str = "ada") -> str:
        """Upload an object, and wait until the catalogue knows it."""
        self.put(data, repo, who)
        self.wait_until_known(data, repo)
        return oid_of(data)

    def put(self, data: bytes, repo: str, who: str = "ada") -> None:
        """Upload an object."""
        self.assertEqual(self.daemon.put(data, quote(repo), header(who)), 200)

    def wait_until_known(self, data: bytes, repo: str) -> None:
        """Wait until the catalogue knows an object, which it does a second later."""
        wait_until(lambda: self.known(oid_of(data), repo), "the catalogue to know it")

    @property
    def database(self) -> str:
        """Where the catalogue is."""
        return str(self.daemon.directory / "giftless-state" / "catalogue.sqlite")

    def known(self, oid: str, repo: str) -> bool:
        """Whether there is an entry of a repository's object, in whatever state."""
        database = sqlite3.connect(self.database)
        try:
            statement = (
                "SELECT count(*) FROM giftless_catalogue_entries AS entry"
                " JOIN giftless_catalogue_repos AS repo ON repo.id = entry.repo"
                " WHERE entry.oid = ? AND repo.path = ?"
            )
            (count,) = database.execute(statement, (bytes.fromhex(oid), repo)).fetchone()
            return bool(count)
        finally:
            database.close()

    def discard(
        self,
        repo: str,
        oid: str,
        filename: str = "art/hero.psd",
        reason: str = "no branch needs it",
        who: str = "bob",
    ) -> None:
        """Move an object into the trash, as a command does beside the daemon."""
        self.discard_all(
            {"repo": repo, "oid": oid, "filename": filename, "reason": reason, "who": who}
        )

    def discard_all(self, *wanted: dict[str, str]) -> None:
        """Move several into the trash."""
        stdin = json.dumps(wanted)
        done = run_trashing(self.daemon.directory, "discard-named", stdin=stdin)
        self.assertEqual(done, len(wanted))

    def audited(self, event: str) -> list[dict[str, Any]]:
        """Return what the audit log says of some events."""
        # The last line may be half written.
        *lines, _ = self.audit.read_text().split("\n")
        return [each for each in map(json.loads, lines) if each["event"] == event]

    def metrics(self) -> dict[str, float]:
        """Return the gauges that have no labels."""
        lines = self.ask("GET", "/metrics")[1].splitlines()
        pairs = (line.split() for line in lines if not line.startswith("#") and "{" not in line)
        return {name: float(value) for name, value in pairs}

    def files(self) -> set[str]:
        """Return the oids of all files in the store that can be read."""
        return {path.name for path in self.daemon.store.rglob("*") if len(path.name) == 64}


class HostileTests(SpacePagesTestCase):
    """Whatever clients call repositories, files, people, and reasons."""

    def test_names_are_text_on_every_page(self) -> None:
        self.serve()
        wanted = []
        for index, name in enumerate(HOSTILE):
            # As long as a part of a repository's path may be.
            part = name.replace("/", "|").encode()[:250].decode(errors="ignore")
            repo, data = f"acme/{part}", b"x" * (1000 + index)
            self.put(data, repo, name)
            self.put(b"y" * (1000 + index), repo, name)
            wanted.append(
                {
                    "repo": repo,
                    "oid": oid_of(data),
                    "filename": f"art/{name}",
                    "reason": name,
                    "who": name,
                }
            )
        # They are recorded together, in the order in which they came.
        self.wait_until_known(data, repo)
        self.wait_until_known(b"y" * len(data), repo)
        self.discard_all(*wanted)
        one = urlencode({"repo": wanted[0]["repo"], "oid": wanted[0]["oid"]})
        ours = (
            *("/usage", "/usage?by=repo", "/usage?by=person", "/usage?by=name", "/objects"),
            f"/usage?{urlencode({'repo': wanted[1]['repo']})}",
            *("/trash", f"/trash?{urlencode({'repo': wanted[2]['repo']})}"),
            *("/restore", "/purge", f"/restore?{one}", f"/purge?{one}"),
            f"/purge?{urlencode({'repo': wanted[3]['repo']})}",
        )
        for path in ours:
            self.open(path)
            self.assert_sound_everywhere()
            self.assertEqual(self.browser.find_elements(By.TAG_NAME, "img"), [], path)
            self.assertEqual(self.browser.find_elements(By.CSS_SELECTOR, "[role=alert]"), [], path)
        self.open("/trash")
        text = self.text("#objects")
        for name in HOSTILE[:8]:
            self.assertIn(f"by {name}: {name}", text)
        self.assertIn("exe.\\u202egpj.psd", text)
        self.open("/usage?by=person")
        self.assertIn(HOSTILE[0], self.text("#rows"))

    def test_refused_questions_are_shown_as_text(self) -> None:
        self.share_pages()
        evil = "<script>document.title = 'owned'</script>"
        for path in ("usage", "objects", "trash"):
            for query in ({"repo": evil * 9}, {"repo": f"a//{evil}"}, {"cursor": evil}):
                self.open(f"/{path}?{urlencode(query)}")
                self.assertRegex(self.browser.title, r"^[A-Z]\w+ \N{EN DASH} giftless$")


class OperatorTests(SpacePagesTestCase):
    """What operators do."""

    def test_usage_leads_from_organisations_to_objects(self) -> None:
        self.serve()
        self.put(b"x" * 50_000, "acme/rocket", "ada")
        self.put(b"y" * 30_000, "acme/site", "olga")
        self.put(b"z" * 9_000, "lab/scans", "ada")
        self.store(b"x" * 50_000, "lab/scans", "olga")
        self.open("/usage")
        cards = self.text("#total")
        for figure in ("139 kB", "89 kB", "4"):
            self.assertIn(figure, cards)
        self.click("#rows tbody a")
        self.wait_for_text("Stored in acme", "#total")
        self.assertIn("80 kB", self.text("#total"))
        self.click("#rows tbody a")
        self.wait_for_text("Stored in acme/rocket", "#total")
        self.assertIn("ada", self.text("#rows"))
        self.assertIn(oid_of(b"x" * 50_000)[:12], self.text("#size"))
        self.assertNotIn(oid_of(b"y" * 30_000)[:12], self.text("#size"))
        for name in ("size", "stored", "offered"):
            self.assertIn("acme/rocket", self.text(f"#{name}"))
        self.assert_sound()
        figures = self.metrics()
        wait_until(lambda: "giftless_stored_bytes" in self.metrics(), "the health to be known")
        figures = self.metrics()
        self.assertEqual(
            [figures[f"giftless_{name}"] for name in ("stored_objects", "distinct_bytes")],
            [4, 89_000],
        )

    def test_an_object_is_restored_and_another_deleted_for_good(self) -> None:
        self.serve()
        self.put(b"x" * 5000, "acme/rocket")
        back = oid_of(b"x" * 5000)
        gone = self.store(b"y" * 7000, "acme/rocket")
        self.discard("acme/rocket", back)
        self.discard("acme/rocket", gone, reason="too old")
        self.assertEqual(self.daemon.get(back).status, 401)
        self.open("/trash")
        self.assertIn("12 kB", self.text("#total"))
        self.assertIn("by bob: too old", self.text("#objects"))
        self.click(f"#objects a[href^='restore'][href$='{back}']")
        self.wait_for_text("Restore this object?", "h1")
        self.assertIn("no branch needs it", self.text())
        self.click("form a")
        self.wait_for_text("Trash", "h1")
        self.browser.back()
        self.wait_for_text("Restore this object?", "h1")
        self.click("form button")
        self.wait_for_text("1 object restored", "h1")
        reader = header("rita", "obj:*:read")
        reply = self.daemon.request("GET", f"/acme/rocket/objects/storage/{back}", headers=reader)
        self.assertEqual((reply.status, reply.body), (200, b"x" * 5000))
        self.open("/trash")
        self.assertNotIn(back[:12], self.text())
        self.click(f"#objects a[href^='purge'][href$='{gone}']")
        self.wait_for_text("for good?", "h1")
        self.assertIn(gone, self.files())
        self.click("form button")
        self.wait_for_text("1 object deleted for good", "h1")
        self.assertNotIn(gone, self.files())
        self.open("/trash")
        self.assertIn("There is nothing in the trash", self.text())
        wait_until(lambda: self.audited("object.deleted"), "the audit log")
        (line,) = self.audited("object.deleted")
        self.assertEqual((line["oid"], line["who"]), (gone, "admin endpoint"))
        (line,) = self.audited("object.restored")
        self.assertEqual((line["oid"], line["who"]), (back, "admin endpoint"))
        self.assertEqual(complaints(self.browser), [])
        # A page that is still open says so.
        self.open(f"/purge?{urlencode({'repo': 'acme/rocket', 'oid': gone})}")
        self.assertIn("not in the trash", self.text())

    def test_one_repository_is_emptied_and_then_all_without_javascript(self) -> None:
        self.serve()
        disable_scripts(self.browser)
        wanted = []
        for number in range(6):
            repo, data = ("acme/rocket", "acme/rocket/sub", "lab/scans")[number % 3], b"%d" % number
            self.put(data * 1000, repo)
            oid = oid_of(data * 1000)
            wanted.append({"repo": repo, "oid": oid, "filename": "", "reason": "old", "who": "bob"})
        self.wait_until_known(data * 1000, repo)
        self.discard_all(*wanted[:5])
        self.open("/trash")
        self.click("#rows a[href='purge?repo=acme%2Frocket']")
        self.wait_for_text("everything that this repository has", "h1")
        # What comes meanwhile stays.
        late = self.store(b"late" * 1000, "acme/rocket")
        self.discard("acme/rocket", late)
        self.click("form button")
        self.wait_for_text("2 objects deleted for good", "h1")
        self.open("/trash")
        self.assertIn(late[:12], self.text("#objects"))
        self.assertIn("acme/rocket/sub", self.text("#rows"))
        self.click("a[href=restore]")
        self.wait_for_text("everything in the trash", "h1")
        self.click("form button")
        self.wait_for_text("4 objects restored", "h1")
        self.assertEqual(
            self.files() & {one["oid"] for one in wanted},
            {one["oid"] for one in wanted[1:3] + wanted[4:]},
        )
        self.open("/trash")
        self.assertIn("There is nothing in the trash", self.text())

    def test_the_keyboard_is_enough(self) -> None:
        self.share_pages()
        oid = self.store(b"keyboard", self.repo)
        self.discard(self.repo, oid)
        self.open("/trash")
        self.press_until("Delete…")
        self.wait_for_text("for good?", "h1")
        self.press_until("Delete for good")
        self.wait_for_text("1 object deleted for good", "h1")

    def press_until(self, text: str) -> None:
        """Go to something with the Tab key, and press Enter."""
        for _ in range(40):
            self.browser.switch_to.active_element.send_keys(Keys.TAB)
            if self.focused() == text:
                break
        self.browser.switch_to.active_element.send_keys(Keys.ENTER)

    def test_an_operator_logs_in_where_clients_connect(self) -> None:
        self.share_pages()
        oid = self.store(b"login", self.repo)
        self.discard(self.repo, oid)
        token = header("ada", "obj:-:admin")["Authorization"].removeprefix("Bearer ")
        place = f"127.0.0.1:{self.daemon.port}/-/"
        self.browser.get(f"http://_jwt:{token}@{place}")
        self.click("nav a[href=usage]")
        self.wait_for_text("Stored in all repositories")
        self.assert_sound()
        self.click("nav a[href=trash]")
        self.wait_for_text(self.repo)
        self.click(f"#objects a[href^=restore][href$='{oid}']")
        self.wait_for_text("Restore this object?", "h1")
        self.assertIn("ada", self.text(".notice"))
        self.click("form button")
        self.wait_for_text("1 object restored", "h1")
        wait_until(lambda: self.audited("object.restored"), "the audit log")
        (line,) = self.audited("object.restored")
        self.assertEqual((line["oid"], line["who"]), (oid, "ada"))
        self.assertTrue(line["principal"].endswith("#sub:ada"), line)
        for scopes, status in (("obj:*:read,write", 403), ("obj:acme/*:admin", 403)):
            for path in ("usage", "objects", "trash", "restore", "purge"):
                for method in ("GET", "POST"):
                    headers = header("wanda", scopes)
                    reply = self.daemon.request(method, f"/-/{path}", b"", headers)
                    wanted = 405 if method == "POST" and path in PLAIN else status
                    self.assertEqual(reply.status, wanted, (method, path))


#: Pages that change nothing.
PLAIN: Final = ("usage", "objects", "trash")


class OtherSiteTests(SpacePagesTestCase):
    """What another site can do with an operator's browser: nothing."""

    def test_forms_of_another_site_change_nothing(self) -> None:
        """Even with a token that is good."""
        self.serve()
        oid = self.store(b"x" * 5000, "acme/rocket")
        self.discard("acme/rocket", oid)
        site = self.directory / "site"
        site.mkdir()
        other = Pages(site)
        self.addCleanup(other.close)
        for action in ("purge", "restore"):
            _, page, _ = self.ask("GET", f"/{action}")
            fields = {
                name: page.partition(f'name="{name}" value="')[2].partition('"')[0]
                for name in ("repo", "oid", "before", "token")
            }
            self.assertEqual(len(fields["token"]), 64)
            inputs = "".join(
                f'<input name="{name}" value="{value}">' for name, value in fields.items()
            )
            (site / "form.html").write_text(
                f'<link rel="icon" href="data:,"><form method=post action="{self.pages}/{action}">'
                f"{inputs}</form><script>document.forms[0].submit()</script>"
            )
            self.browser.get(f"{other.origin('localhost')}/form.html")
            wait_for(lambda: "another site" in self.text(), lambda: self.browser.page_source)
        self.open("/trash")
        self.assertIn(oid[:12], self.text("#objects"))
        kind = {"Content_Type": "application/x-www-form-urlencoded"}
        status, body, _ = self.ask("POST", "/restore", urlencode(fields), **kind)
        self.assertEqual((status, "1 object restored" in body), (200, True))


class TroubleTests(SpacePagesTestCase):
    """What is shown when something is away, or much."""

    def test_a_database_that_hangs_holds_no_page_up(self) -> None:
        server = shared(postgresql)
        conninfo = server.conninfo(server.make_database())
        self.serve(catalogue={"type": "postgresql", "conninfo": conninfo})
        self.assertEqual(self.daemon.put(b"x" * 5000, "acme/rocket", header("ada")), 200)
        wait_until(
            lambda: self.metrics().get("giftless_stored_objects") == 1,
            "the object to be counted",
            RARELY,
        )
        database = psycopg.connect(conninfo)
        self.addCleanup(database.close)
        for table in ("repos", "entries", "usage"):
            database.execute(f"LOCK TABLE giftless_catalogue_{table} IN ACCESS EXCLUSIVE MODE")
        paths = ("/usage?by=repo", "/trash", "/purge")
        for status, body, seconds in at_once([partial(self.ask, "GET", path) for path in paths]):
            self.assertLess(seconds, 30, body)
            self.assertEqual(status, 503, body)
            self.assertIn("a worker has not answered in time", body)
        self.assertEqual(self.ask("GET", "/")[0], 200)
        # Nothing else waits for it, and no old figure is told.
        self.assertEqual(self.daemon.put(b"y" * 5000, "acme/rocket", header("ada")), 200)
        wait_until(
            lambda: "giftless_stored_objects" not in self.metrics(),
            "old figures to be forgotten",
            RARELY,
        )
        status, body, _ = self.ask("GET", "/health/ready")
        self.assertEqual(status, 200, body)
        self.assertIn("not answered", json.loads(body)["parts"]["catalogue"])
        database.close()
        wait_until(lambda: self.ask("GET", "/usage")[0] == 200, "the catalogue to be back")
        wait_until(
            lambda: "giftless_stored_objects" in self.metrics(), "figures to be told again", RARELY
        )
        # What took long to count is not counted again for minutes, but by a new worker.
        self.daemon.running.send_signal(signal.SIGHUP)
        wait_until(
            lambda: self.metrics().get("giftless_stored_objects") == 2, "both to be counted", RARELY
        )

    def test_a_worker_that_hangs_holds_no_page_up(self) -> None:
        daemon = self.serve()
        (worker,) = daemon.workers
        os.kill(worker, signal.SIGSTOP)
        try:
            paths = ("/usage", "/trash", "/purge")
            asking = [partial(self.ask, "GET", path) for path in paths]
            for status, body, seconds in at_once(asking):
                self.assertEqual(status, 503, body)
                self.assertRegex(body, "a worker has not answered|no worker serves and answers")
                self.assertLess(seconds, 30)
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_until(lambda: self.ask("GET", "/usage")[0] == 200, "the worker to answer again")

    def test_a_server_without_a_catalogue_says_so(self) -> None:
        self.serve(catalogue={"type": "none"})
        for path in ("/usage", "/objects", "/trash", "/restore", "/purge"):
            self.open(path)
            self.assertIn("catalogue", self.text())
            self.assertEqual(self.ask("GET", path)[0], 404)
        self.assertNotIn("giftless_stored_bytes", self.metrics())
