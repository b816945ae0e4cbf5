"""The operators' pages in a real browser, against a real daemon."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.locking import AUTH, Person, header
from tests.integration.sharing import SharingTestCase, running
from tests.integration.support import Daemon
from tests.runtime.admin.pages.sample import HOSTILE
from tests.support.chromium import (
    Pages,
    be_desktop,
    be_phone,
    calm,
    chromium,
    complaints,
    disable_scripts,
    prefer_colours,
    text_of,
    wait_for,
)
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, wait_until

#: The text of each element that has some, with a contrast of less than WCAG's AA.
CONTRAST: Final = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((c) => {
    c /= 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const colour = numbers(getComputedStyle(element).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!own || element.closest("svg") || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const [a, b] = [light(numbers(style.color)), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const large = parseFloat(style.fontSize) >= 24;
  if (ratio < (large ? 3 : 4.5)) found.push(`${element.tagName} ${element.textContent} ${ratio}`);
}
return found;
"""

#: What who cannot see the page needs, and is missing.
UNNAMED: Final = """
const missing = [];
for (const element of document.querySelectorAll("input:not([type=hidden]), select")) {
  if (!element.labels.length) missing.push(element.outerHTML);
}
for (const element of document.querySelectorAll("svg, [role=region], nav, progress")) {
  if (!element.hasAttribute("aria-label") && !element.hasAttribute("aria-labelledby")) {
    missing.push(element.outerHTML.slice(0, 100));
  }
}
for (const element of document.querySelectorAll("th")) {
  if (!element.scope) missing.push(element.outerHTML);
}
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
if (new Set(ids).size < ids.length) missing.push("ids twice");
if (document.querySelectorAll("h1").length !== 1 || !document.documentElement.lang) {
  missing.push("a heading or a language");
}
return missing;
"""

#: The title of a page, by how many pixels it is too wide, and the two above.
SOUND: Final = f"""
const root = document.documentElement;
return [
  document.title,
  root.scrollWidth - root.clientWidth,
  (() => {{{CONTRAST}}})(),
  (() => {{{UNNAMED}}})(),
];
"""


def pages_config(workers: int, **settings: Any) -> dict[str, Any]:
    """Return a configuration with an admin endpoint that shows pages, and an audit log."""
    endpoints = [f"tcp:{free_port()}:interface=127.0.0.1"]
    return {
        "workers": workers,
        "log_format": "json",
        "admin": {"endpoints": endpoints, "public_pages": True},
        "auth": AUTH,
        "observers": [{"type": "audit", "file": "audit.log"}],
        **settings,
    }


class PagesTestCase(SharingTestCase):
    """A daemon with an admin endpoint."""

    def serve(self, **settings: Any) -> Daemon:
        """Start a daemon of this test's own with one worker; its pages are at ``pages``."""
        return self._use(self.start_daemon(config=pages_config(1, **settings)))

    def share_pages(self, workers: int = 2) -> Daemon:
        """Use the daemon that tests of this module share; its pages are at ``pages``."""

        def start(directory: Path) -> AbstractContextManager[Daemon]:
            return running(Daemon(directory, config=pages_config(workers)))

        daemon = self.share(f"{workers} workers", start)
        self.addCleanup(self._assert_runs, daemon, daemon.running.pid)
        return self._use(daemon)

    def _use(self, daemon: Daemon) -> Daemon:
        assert daemon.config is not None
        self.daemon = daemon
        (endpoint,) = daemon.config["admin"]["endpoints"]
        self.port = int(endpoint.split(":")[1])
        self.pages = f"http://127.0.0.1:{self.port}"
        self.audit = daemon.directory / "audit.log"
        return daemon

    def lock(self, path: str, owner: str = "olga", repo: str = "acme/site") -> str:
        """Lock a path; returns the lock's id."""
        person = Person(self.daemon, owner, f"/{quote(repo)}.git/info/lfs/locks")
        reply = person.ask("POST", body={"path": path})
        person.close()
        self.assertEqual(reply.status, 201, reply.body)
        return str(reply.json["lock"]["id"])

    def locked(self, repo: str = "acme/site") -> list[str]:
        """Return the paths that are locked."""
        person = Person(self.daemon, "olga", f"/{quote(repo)}.git/info/lfs/locks")
        reply = person.ask("GET")
        person.close()
        return [lock["path"] for lock in reply.json["locks"]]

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str, float]:
        """Ask the admin endpoint; returns status, body and how long it took, in seconds."""
        began = time.monotonic()
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request(method, path, body or None, named)
            reply = client.getresponse()
            return reply.status, reply.read().decode(), time.monotonic() - began
        finally:
            client.close()

    def forced(self, lock_id: str) -> dict[str, Any]:
        """Wait until the audit log has the only line of a lock's removal by force."""
        found: list[dict[str, Any]] = []

        def audited() -> list[dict[str, Any]]:
            *lines, _ = self.audit.read_text().split("\n")
            events = map(json.loads, lines)
            found[:] = [
                each
                for each in events
                if (each["event"], each.get("lock")) == ("lock.forced", lock_id)
            ]
            return found

        wait_until(audited, "the audit log")
        (line,) = found
        return line


class BrowserTestCase(PagesTestCase):
    """The same with a browser."""

    def setUp(self) -> None:
        """Take the browser."""
        super().setUp()
        self.browser = chromium()
        self.addCleanup(calm, self.browser)
        self.looks = [
            (be_phone, "(max-width: 375px)", "light"),
            (be_desktop, "(min-width: 376px)", "dark"),
        ]

    def open(self, path: str = "/") -> None:
        """Open a page of the admin endpoint."""
        self.browser.get(self.pages + path)

    def text(self, selector: str = "main") -> str:
        """Return what can be read; nothing while a page gives way to another."""
        try:
            return text_of(self.browser, selector)
        except WebDriverException:
            return ""

    def focused(self) -> str:
        """Return the text of what the keyboard would press."""
        return str(self.browser.execute_script("return document.activeElement.innerText"))

    def click(self, selector: str) -> None:
        """Click something that leads to another page."""
        self.browser.find_element(By.CSS_SELECTOR, selector).click()

    def wait_for_text(self, text: str, selector: str = "main") -> None:
        """Wait until something can be read."""
        wait_for(lambda: text in self.text(selector), lambda: self.browser.page_source)

    def search(self, text: str) -> None:
        """Search for locks."""
        self.open("/locks")
        self.browser.find_element(By.ID, "q").send_keys(text, Keys.ENTER)
        wait_for(lambda: "q=" in self.browser.current_url, lambda: self.browser.current_url)

    def assert_sound(self) -> None:
        """Check that nothing on a page has become more than text, and all of it can be read."""
        title, overhang, unreadable, unnamed = self.browser.execute_script(SOUND)
        self.assertRegex(title, r"^[\w ]+ \N{EN DASH} giftless$")
        self.assertEqual(complaints(self.browser), [])
        self.assertLessEqual(overhang, 0)
        self.assertEqual(unreadable, [])
        self.assertEqual(unnamed, [])

    def assert_sound_everywhere(self) -> None:
        """Check that a page is sound in light and in dark colours, on a desk and on a phone.

        Nothing in the style depends on both: two of the four show all that there is.  The
        first is the one in which the page before was looked at last.
        """
        for screen, width, scheme in self.looks:
            screen(self.browser)
            prefer_colours(self.browser, scheme)
            self.wait_for_media(f"(prefers-color-scheme: {scheme}) and {width}")
            self.assert_sound()
        self.looks.reverse()

    def wait_for_media(self, query: str) -> None:
        """Wait until a media query is true of the page."""
        script = f"return matchMedia('{query}').matches"
        wait_for(lambda: self.browser.execute_script(script), lambda: query)


class HostileTests(BrowserTestCase):
    """Whatever clients call things."""

    def test_names_are_text_on_every_page(self) -> None:
        self.serve()
        for name in HOSTILE:
            # As long as a part of a repository's path may be.
            part = name.replace("/", "|").encode()[:250].decode(errors="ignore")
            repo = f"acme/{part}"
            lock_id = self.lock(f"art/{name}", name, repo)
            reader = header(name, "obj:*:read,write")
            self.assertEqual(self.daemon.put(b"x" * 1000, quote(repo), reader), 200)
            self.daemon.request("GET", f"/{quote(repo)}.git/info/lfs/locks")  # refused
        long = "x/" + "y" * 4000
        long_id = self.lock(long, "w" * 300)
        wait_until(
            lambda: "alert(1)" in self.ask("GET", "/overview.json")[1], "repositories to be told"
        )
        for path in ("/", "/locks", f"/release?id={lock_id}", f"/release?id={long_id}"):
            self.open(path)
            self.assert_sound_everywhere()
            self.assertEqual(self.browser.find_elements(By.TAG_NAME, "img"), [])
        self.assertIn("y" * 4000, self.text())
        self.open(f"/locks?{urlencode({'q': HOSTILE[0]})}")
        self.assertIn(HOSTILE[0], self.text("table"))
        self.assert_sound_everywhere()
        self.open("/")
        for section in ("#repositories", "#events"):
            self.assertIn("\"onload='alert(1)'", self.text(section), section)
        self.assertIn("exe.\\u202egpj.psd", self.text("#repositories"))

    def test_refused_searches_are_shown_as_text(self) -> None:
        self.share_pages()
        self.open(f"/locks?{urlencode({'q': '<script>alert(1)</script>' * 20})}")
        self.assertIn("at most 200 characters", self.text())
        self.open("/locks?cursor=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        self.assertIn("the cursor is not one", self.text())
        self.assertRegex(self.browser.title, r"^Locks \N{EN DASH} giftless$")


class OperatorTests(BrowserTestCase):
    """What operators do."""

    def test_a_lock_is_found_and_released(self) -> None:
        self.serve()
        lock_id = self.lock("art/Logo.psd", "olga")
        self.lock("film.mov", "oscar", "studio/film")
        for text, found in (("SITE", 1), ("logo", 1), ("oscar", 1), ("o", 2), ("nothing", 0)):
            self.search(text)
            rows = self.browser.find_elements(By.CSS_SELECTOR, "tbody tr")
            self.assertEqual(len(rows), found, text)
        self.search("logo")
        self.click("tbody a")
        self.wait_for_text("olga", ".notice")
        self.assertIn("#sub:olga", self.text())
        self.click("form a")
        self.wait_for_text("All locks", "caption")
        self.assertEqual(self.locked(), ["art/Logo.psd"], "nothing is released by looking")
        self.browser.back()
        self.wait_for_text("by force", "h1")
        self.click("form button")
        self.wait_for_text("The lock is released")
        self.assertEqual(self.locked(), [])
        line = self.forced(lock_id)
        self.assertEqual((line["who"], line["address"]), ("admin endpoint", "127.0.0.1"))
        self.assertEqual(len(line["request_id"]), 16)
        self.assertEqual(complaints(self.browser), [])
        # The next one to lock the path is not disturbed by a page that is still open.
        self.lock("art/Logo.psd", "wanda")
        self.open(f"/release?id={lock_id}")
        self.assertIn("no such lock", self.text())
        self.assertEqual(self.locked(), ["art/Logo.psd"])

    def test_the_figures_are_refreshed_where_the_reader_is(self) -> None:
        self.serve()
        self.open()
        self.browser.execute_script("window.stays = true")
        self.click("#hour summary")
        self.assertIn("No repository has been used", self.text("#repositories"))
        self.assertEqual(self.daemon.put(b"x" * 5000, headers=header("ada")), 200)
        wait_for(lambda: "5.0 kB" in self.text("#repositories"), lambda: self.text())
        wait_for(lambda: "Requests" in self.text("#hour details"), lambda: self.text("#hour"))
        self.assertTrue(self.browser.execute_script("return window.stays"), "no reload")
        focused = "return document.activeElement.tagName"
        self.assertEqual(self.browser.execute_script(focused), "SUMMARY")
        self.click("#pause")
        self.assertEqual(self.text("#pause"), "Resume")
        self.assertEqual(complaints(self.browser), [])
        self.click("#pause")
        self.daemon.kill()
        wait_for(lambda: "not refreshed since" in self.text("#updated"), lambda: self.text())

    def test_everything_works_without_javascript(self) -> None:
        self.share_pages()
        self.lock("script.psd", repo=self.repo)
        disable_scripts(self.browser)
        self.open()
        began = self.text("#updated")
        self.assertFalse(self.browser.find_element(By.ID, "pause").is_displayed())
        wait_for(lambda: self.text("#updated") not in ("", began), lambda: self.text())
        self.search("script.psd")
        self.click("tbody a")
        self.wait_for_text("by force", "h1")
        self.click("form button")
        self.wait_for_text("The lock is released")
        self.assertEqual(self.locked(self.repo), [])

    def test_the_keyboard_is_enough(self) -> None:
        self.share_pages()
        self.lock("keyboard.psd", repo=self.repo)
        self.open("/locks")
        keys = self.browser.switch_to.active_element
        keys.send_keys(Keys.TAB)
        self.assertEqual(self.focused(), "Skip to the content")
        for _ in range(20):
            self.browser.switch_to.active_element.send_keys(Keys.TAB)
            if self.focused() == "Release…":
                break
        self.browser.switch_to.active_element.send_keys(Keys.ENTER)
        wait_for(lambda: "by force" in self.text("h1"), lambda: self.text())
        for _ in range(20):
            self.browser.switch_to.active_element.send_keys(Keys.TAB)
            if self.focused() == "Release the lock":
                break
        self.browser.switch_to.active_element.send_keys(Keys.ENTER)
        wait_for(lambda: "is released" in self.text("h1"), lambda: self.text())
        self.assertEqual(self.locked(self.repo), [])

    def test_an_operator_logs_in_where_clients_connect(self) -> None:
        self.share_pages()
        lock_id = self.lock("login.psd", repo=self.repo)
        token = header("ada", "obj:-:admin")["Authorization"].removeprefix("Bearer ")
        place = f"127.0.0.1:{self.daemon.port}/-/"
        self.browser.get(f"http://_jwt:{token}@{place}")
        self.wait_for_text("Dashboard", "h1")
        self.assert_sound()
        began = self.text("#updated")
        wait_for(lambda: self.text("#updated") != began, lambda: self.text())
        self.assertNotIn("not refreshed", self.text("#updated"))
        self.click("nav a[href=locks]")
        self.wait_for_text("login.psd")
        self.click(f"tbody a[href$='{lock_id}']")
        self.wait_for_text("by force", "h1")
        self.click("form button")
        self.wait_for_text("The lock is released")
        line = self.forced(lock_id)
        self.assertEqual(line["who"], "ada")
        self.assertTrue(line["principal"].endswith("#sub:ada"), line)
        for scopes, status in (("obj:*:read,write", 403), ("obj:acme/*:admin", 403)):
            for path in ("/-/", "/-/locks", "/-/overview.json", "/-/style.css"):
                reply = self.daemon.request("GET", path, headers=header("wanda", scopes))
                self.assertEqual(reply.status, status, path)
        self.assertEqual(self.daemon.request("GET", "/-/").status, 401)


class OtherSiteTests(BrowserTestCase):
    """What another site can do with an operator's browser: nothing."""

    def setUp(self) -> None:
        """Start the other site."""
        super().setUp()
        self.site = self.directory / "site"
        self.site.mkdir()
        self.other = Pages(self.site)
        self.addCleanup(self.other.close)

    def visit(self, name: str, page: str) -> None:
        """Open a page of the other site."""
        (self.site / name).write_text(f'<link rel="icon" href="data:,">{page}')
        self.browser.get(f"{self.other.origin('localhost')}/{name}")

    def test_forms_frames_and_scripts_of_another_site_do_nothing(self) -> None:
        self.share_pages()
        lock_id = self.lock("frame.psd", repo=self.repo)
        _, page, _ = self.ask("GET", f"/release?id={lock_id}")
        token = page.partition('name="token" value="')[2].partition('"')[0]
        self.assertEqual(len(token), 64)
        # Even with a token that is good.
        self.visit(
            "form.html",
            f"<form method=post action='{self.pages}/release'><input name=id value={lock_id}>"
            f"<input name=token value={token}></form><script>document.forms[0].submit()</script>",
        )
        wait_for(lambda: "another site" in self.text(), lambda: self.browser.page_source)
        self.visit(
            "frame.html",
            f"<iframe src='{self.pages}/release?id={lock_id}'></iframe>"
            f"<script src='{self.pages}/overview.json'></script><p id=result></p><script>"
            f"fetch('{self.pages}/locks').then((r) => r.text()).then((t) => t, (e) => `${{e}}`)"
            ".then((t) => { document.getElementById('result').textContent = t || 'empty'; })"
            "</script>",
        )
        wait_for(lambda: self.text("#result"), lambda: self.browser.page_source)
        self.assertIn("TypeError", self.text("#result"))
        self.browser.switch_to.frame(0)
        self.assertNotIn("frame.psd", self.browser.page_source)
        self.browser.switch_to.default_content()
        self.assertEqual(self.locked(self.repo), ["frame.psd"])
        self.assertEqual(
            self.ask(
                "POST",
                "/release",
                f"id={lock_id}&token={token}",
                Content_Type="application/x-www-form-urlencoded",
            )[0],
            200,
        )
        self.assertEqual(self.locked(self.repo), [])

    def test_a_name_that_leads_here_shows_nothing(self) -> None:
        """Browsers take every name below localhost for this machine, as after a rebinding."""
        self.share_pages()
        self.lock("rebound.psd", repo=self.repo)
        for path in ("/", "/locks", "/overview.json"):
            self.browser.get(f"http://evil.localhost:{self.port}{path}")
            self.assertIn("admin.hosts", self.browser.page_source)
            self.assertNotIn("rebound.psd", self.browser.page_source)


class HostTests(PagesTestCase):
    """By what names the daemon is asked for pages."""

    def test_pages_are_shown_under_names_of_the_server_only(self) -> None:
        self.serve(public_url="https://git.example.com/lfs")
        for host, status in (
            ("127.0.0.1", 200),
            ("localhost:1", 200),
            ("git.example.com", 200),
            ("evil.example", 403),
            ("evil$.example", 403),
            ("", 403),
        ):
            for path in ("/", "/locks", "/overview.json"):
                self.assertEqual(self.ask("GET", path, Host=host)[0], status, (host, path))
            self.assertEqual(self.ask("GET", "/metrics", Host=host)[0], 200, host)

    def test_without_a_public_url_no_other_name_is_taken(self) -> None:
        self.share_pages()
        for host in ("evil.example", "evil$.example", ""):
            for headers in ({"Host": host}, {"Origin": f"http://{host}"}):
                status, body, _ = self.ask("GET", "/overview.json", **headers)
                self.assertEqual((status, list(json.loads(body))), (403, ["message"]), headers)


class LoadTests(PagesTestCase):
    """Much of everything."""

    def test_a_hundred_thousand_locks_are_searched(self) -> None:
        daemon = self.serve()
        database = sqlite3.connect(daemon.directory / "giftless-state" / "locks.sqlite")
        self.addCleanup(database.close)
        with database:
            database.executemany(
                "INSERT INTO giftless_locks (id, repo, path, owner, locked_at, principal)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (f"{n:016x}", f"acme/r{n % 50}", f"art/{n:06}.psd", f"user{n % 99}", n, None)
                    for n in range(100_000)
                ),
            )
        status, body, _ = self.ask("GET", "/locks")
        self.assertEqual((status, body.count("<tr>")), (200, 51))
        for text, found in (("099999", 1), ("000000", 1), ("nothing", 0), ("acme/r7", 50)):
            status, body, seconds = self.ask("GET", f"/locks?q={text}")
            self.assertEqual((status, body.count("Release the lock on")), (200, found), text)
            self.assertLess(seconds, 30)
        # To the last page of a search, without missing any.
        seen, path = 0, "locks?q=acme%2Fr7"
        while path:
            _, body, _ = self.ask("GET", f"/{path}")
            seen += body.count("Release the lock on")
            path = body.partition('<a href="locks?q=acme%2Fr7&amp;cursor=')[2].partition('"')[0]
            path = f"locks?q=acme%2Fr7&cursor={path}" if path else ""
        self.assertEqual(seen, 2000)

    def test_hundreds_of_silent_connections_shut_nobody_out(self) -> None:
        daemon = self.share_pages(workers=1)
        parent = daemon.running.pid
        connections = []
        for number in range(400):
            client = socket.create_connection(("127.0.0.1", self.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" if number % 2 else b"")
            connections.append(client)
        self.assertEqual(self.ask("GET", "/metrics")[0], 200)
        self.assertEqual(self.ask("GET", "/")[0], 200)
        self.assertEqual(daemon.put(b"data", headers=header("ada")), 200)
        self.assertLess(len(os.listdir(f"/proc/{parent}/fd")), 200)
        for client in connections:
            client.close()

    def test_operators_who_ask_one_worker_at_the_same_moment_get_their_pages(self) -> None:
        self.share_pages(workers=1)
        operator = header("ada", "obj:-:admin")
        clients = [
            http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=PATIENCE)
            for _ in range(80)
        ]
        for client in clients:
            self.addCleanup(client.close)
            client.connect()
        for client in clients:
            client.request("GET", "/-/", headers=operator)
        self.assertEqual([client.getresponse().status for client in clients], [200] * 80)

    def test_a_worker_that_hangs_holds_no_page_up(self) -> None:
        daemon = self.share_pages(workers=1)
        self.lock("a.psd")
        self.assertEqual(self.ask("GET", "/locks")[0], 200)
        (worker,) = daemon.workers
        os.kill(worker, signal.SIGSTOP)
        try:
            for _ in range(3):
                status, body, seconds = self.ask("GET", "/")
                self.assertEqual(status, 200)
                self.assertLess(seconds, 30)
            status, body, _ = self.ask("GET", "/locks")
            self.assertEqual(status, 503)
            self.assertIn("a worker", body)
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_until(lambda: self.ask("GET", "/locks")[0] == 200, "the worker to answer again")
