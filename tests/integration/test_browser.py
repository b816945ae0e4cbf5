"""The example page in a real browser, against a real daemon of another origin."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from giftless.base.access_log import CLIENT_CLOSED
from tests.docs.pages import ROOT
from tests.integration.support import Daemon, oid_of, stored_objects
from tests.integration.test_auth_jwt import TokenTestCase
from tests.support.chromium import Pages, calm, chromium, complaints, text_of, wait_for
from tests.support.processes import wait_until

PAGE = ROOT / "examples" / "browser"

MIB = 1024 * 1024

#: The size of parts where it matters little, in bytes: a browser takes long for many bytes.
PART = MIB // 4

#: Goes to a field, and empties it.
_EMPTIED = """
const field = document.getElementById(arguments[0]);
field.focus();
field.value = "";
"""


class PageTestCase(TokenTestCase):
    """A browser, the page, and a daemon that lets the page in."""

    def setUp(self) -> None:
        """Take the browser, and the page's server, which remember nothing."""
        super().setUp()
        self.pages = self.share("pages", lambda _: closing(Pages(PAGE)))
        self.browser = chromium()
        self.addCleanup(calm, self.browser)
        kept = {"origin": self.pages.origin(), "storageTypes": "local_storage"}
        self.browser.execute_cdp_cmd("Storage.clearDataForOrigin", kept)
        self.browser.execute_cdp_cmd("Network.clearBrowserCache", {})
        self.pages.asked.clear()

    def serve(self, **settings: Any) -> None:
        """Start a daemon of this test's own, and make a token that may write."""
        self._use(self.start_daemon(config=self._config(**settings)))

    def share_server(self) -> None:
        """Use the daemon that tests share, and make a token that may write."""
        self._use(self.share_daemon(**self._config()))

    def _config(self, **settings: Any) -> dict[str, Any]:
        secret = self.share("secret", lambda _: nullcontext(base64.b64encode(os.urandom(48))))
        return {
            "auth": [{"type": "jwt", "key": secret.decode()}],
            "log_format": "json",
            "cors": {"origins": [self.pages.origin()]},
            "storage": {"type": "local", "path": "objects", "part_size": PART},
            **settings,
        }

    def _use(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.writer = self.token("--scope", f"obj:{self.repo}/*:read,write")

    def make_file(self, data: bytes, name: str = "film.bin") -> Path:
        """Write a file to upload."""
        path = self.directory / name
        path.write_bytes(data)
        return path

    # -- the page

    def open(self, host: str = "127.0.0.1") -> None:
        """Open the page, under one of the names of its server."""
        self.browser.get(f"{self.pages.origin(host)}/index.html")

    def field(self, name: str) -> WebElement:
        """Return an element by its id."""
        return self.browser.find_element(By.ID, name)

    def text(self, name: str) -> str:
        """Return what can be read in an element; empty if it is not shown."""
        return text_of(self.browser, f"#{name}")

    def enter(self, **values: str) -> None:
        """Paste into fields: to type a token takes long.

        The driver's own way to empty a field and to go there takes ten times as long.
        """
        for name, value in values.items():
            self.browser.execute_script(_EMPTIED, name)
            self.browser.execute_cdp_cmd("Input.insertText", {"text": value})

    def upload(self, file: Path, token: str | None = None) -> None:
        """Fill in everything, and begin."""
        token = self.writer if token is None else token
        self.enter(server=self.daemon.url, repository=self.repo, token=token)
        self.pick(file)

    def pick(self, file: Path) -> None:
        """Pick a file, and begin."""
        self.field("file").send_keys(str(file))
        self.field("start").click()

    def wait_for_phase(self, phase: str) -> None:
        """Wait until the page says what it is at."""
        wait_for(
            lambda: self.text("phase") == phase,
            lambda: f"for {phase!r}: {self.field('phase').text!r}, {self.text('problem')!r}",
        )

    def wait_for_problem(self) -> str:
        """Wait until the page complains.

        :returns: what it says.
        """
        wait_for(lambda: self.text("problem"), lambda: self.text("work"))
        return self.text("problem")

    def throttle(self, rate: int) -> None:
        """Let the browser send so many bytes a second; -1 for any number."""
        self.browser.set_network_conditions(
            latency=0, download_throughput=-1, upload_throughput=rate
        )

    def complaints(self) -> list[str]:
        """Return the errors and warnings in the browser's console since it was asked last."""
        return complaints(self.browser)

    # -- what the daemon has seen

    @property
    def objects_directory(self) -> Path:
        """Where the repository's objects are."""
        return self.daemon.store / self.repo

    def accesses(self, method: str) -> list[dict[str, Any]]:
        """Return the access lines of a method in the repository, up to now."""
        return self.daemon.accesses(method, self.repo)

    def sent(self) -> list[str]:
        """Return the paths of the parts that were stored, in order."""
        return [
            event["path"]
            for event in self.accesses("PUT")
            if "/parts/" in event["path"] and event["status"] == 200
        ]

    def posted(self, end: str) -> list[int]:
        """Return the statuses of POST requests to paths with an end."""
        return [
            event["status"] for event in self.accesses("POST") if event["path"].endswith(f"/{end}")
        ]

    def wait_for_parts(self, count: int) -> None:
        """Wait until so many parts were stored."""
        # To look takes a request, and a part takes half a second.
        wait_until(lambda: len(self.sent()) >= count, f"{count} parts", 0.25)

    def assert_arrived(self, data: bytes) -> None:
        """Check that the object is there, byte for byte, and nothing else."""
        self.assertEqual(self.text("oid"), oid_of(data))
        (path,) = stored_objects(self.objects_directory)
        self.assertTrue(path.read_bytes() == data, "the bytes differ")


class UploadTests(PageTestCase):
    """Files arrive."""

    def test_a_large_file_goes_up_in_parts(self) -> None:
        """A file of ten parts and a rest; the link leads to it, by its name."""
        data = os.urandom(10 * MIB + 12345)
        storage = {"type": "local", "path": "objects", "part_size": MIB}
        self.serve(actions={"verify": "always"}, storage=storage)
        self.open()
        self.upload(self.make_file(data, "grüße.bin"))
        self.wait_for_phase("Done")
        self.assert_arrived(data)
        self.assertEqual(len(self.sent()), 11)
        for end in ("batch", "commit", "verify"):
            self.assertEqual(self.posted(end), [200], end)

        self.browser.find_element(By.CSS_SELECTOR, "#download button").click()
        wait_for(lambda: self.text("link"), lambda: self.text("problem"))
        reply = self.daemon.request("GET", str(self.field("link").get_attribute("href")))
        self.assertTrue(reply.body == data, "the bytes differ")
        self.assertIn("gr%C3%BC%C3%9Fe.bin", reply.headers["content-disposition"])
        # Neither the policy of the page nor the browser's minds anything.
        self.assertEqual(self.complaints(), [])

    def test_a_small_file_is_one_request(self) -> None:
        """What fits one part is one request, and so is nothing at all."""
        self.share_server()
        self.open()
        for data in (b"small", b""):
            self.upload(self.make_file(data))
            self.wait_for_phase("Done")
            wait_for(lambda: self.text("oid") == oid_of(data), lambda: self.text("oid"))  # noqa: B023
            self.assertEqual((self.objects_directory / oid_of(data)).read_bytes(), data)
        self.assertEqual([e["status"] for e in self.accesses("PUT")], [200, 200])
        self.assertEqual(self.posted("commit"), [])

    def test_a_server_without_parts_gets_the_file_whole(self) -> None:
        """A server without parts gets the file whole."""
        data = os.urandom(3 * PART)
        self.serve(transfers=["basic"])
        self.open()
        self.upload(self.make_file(data))
        self.wait_for_phase("Done")
        self.assert_arrived(data)
        self.assertEqual([e["status"] for e in self.accesses("PUT")], [200])
        self.assertEqual(self.posted("verify"), [])

    def test_what_the_server_has_is_not_sent(self) -> None:
        data = os.urandom(3 * PART)
        self.share_server()
        bearer = {"Authorization": f"Bearer {self.writer}"}
        self.assertEqual(self.daemon.put(data, self.repo, headers=bearer), 200)
        self.open()
        self.upload(self.make_file(data))
        self.wait_for_phase("Done")
        self.assert_arrived(data)
        self.assertEqual(len(self.accesses("PUT")), 1)

    def test_the_digest_of_the_page_is_sha256(self) -> None:
        """The page's SHA-256 is SHA-256, wherever a block ends and in whatever pieces."""
        self.open()
        data = bytes(os.urandom(260))
        digests = self.browser.execute_async_script(
            """
            const [bytes, done] = [Uint8Array.from(arguments[0]), arguments[1]];
            import("./sha256.js").then(({ Sha256 }) => {
              const digests = [];
              for (let length = 0; length <= bytes.length; length++) {
                const hash = new Sha256();
                const step = 1 + (length * 7) % 90;
                for (let pos = 0; pos < length; pos += step) {
                  hash.update(bytes.subarray(pos, Math.min(pos + step, length)));
                }
                digests.push(hash.digest());
              }
              done(digests);
            });
            """,
            list(data),
        )
        wanted = [hashlib.sha256(data[:length]).hexdigest() for length in range(len(data) + 1)]
        self.assertEqual(digests, wanted)


class ResumeTests(PageTestCase):
    """What has arrived is not sent again."""

    DATA = os.urandom(20 * PART)

    def begin(self) -> Path:
        """Upload, and come back when a third has arrived, and no more than half.

        A part takes half a second, which leaves time to do something meanwhile.
        """
        self.open()
        self.throttle(2 * PART)
        file = self.make_file(self.DATA)
        self.upload(file)
        self.wait_for_parts(6)
        return file

    def assert_resumed(self) -> None:
        """Check that each part was stored once, some before and some after the stop."""
        self.wait_for_phase("Done")
        self.assert_arrived(self.DATA)
        wait_until(lambda: self.posted("commit") == [200], "the end of the log")
        batches = [e for e in self.accesses("POST") if e["path"].endswith("/objects/batch")]
        self.assertEqual([e["status"] for e in batches], [200, 200])
        events = self.daemon.events
        before, after = (
            [
                (event["path"], event["status"])
                for event in some
                if event.get("method") == "PUT" and self.repo in event["path"]
            ]
            for some in (events[: events.index(batches[1])], events[events.index(batches[1]) :])
        )
        again = {path for path, _ in after}
        self.assertEqual([status for _, status in after], [200] * len(again))
        # A part that had arrived is not sent again, though its answer may have come too late.
        answered = {path for path, status in before if status == 200}
        late = {path for path, status in before if status == CLIENT_CLOSED} - again
        self.assertEqual(len(answered) + len(late) + len(again), 20)
        self.assertEqual(len(answered | late | again), 20)
        self.assertGreaterEqual(len(answered), 6)
        self.assertLess(len(answered | late), 15)

    def test_a_reloaded_page_resumes_the_upload(self) -> None:
        """The page asks for the file again, and need not hash it again."""
        self.share_server()
        file = self.begin()
        self.browser.refresh()
        self.assertIn("film.bin", self.text("unfinished"))
        self.assertEqual(self.field("server").get_attribute("value"), self.daemon.url)
        self.throttle(-1)
        self.field("file").send_keys(str(file))
        self.assertEqual(self.text("start"), "Resume upload")
        self.field("start").click()
        self.assert_resumed()
        self.assertEqual(self.pages.asked.count("/hash-worker.js"), 1)
        self.browser.refresh()
        self.assertEqual(self.text("unfinished"), "")

    def test_another_tab_resumes_without_the_token(self) -> None:
        """The token is this tab's alone; the rest is remembered for all."""
        self.share_server()
        self.begin()
        self.assertEqual(self.field("token").get_attribute("value"), self.writer)
        self.browser.refresh()
        self.assertEqual(self.field("token").get_attribute("value"), self.writer)
        kept = self.browser.execute_script("return JSON.stringify(localStorage)")
        self.assertIn(oid_of(self.DATA), kept)
        self.assertNotIn(self.writer.split(".")[2], kept)
        self.browser.switch_to.new_window("tab")
        self.open()
        self.assertIn("film.bin", self.text("unfinished"))
        self.assertEqual(self.field("token").get_attribute("value"), "")
        self.field("forget").click()
        self.browser.refresh()
        self.assertEqual(self.text("unfinished"), "")

    def test_a_paused_upload_can_be_resumed(self) -> None:
        self.share_server()
        self.begin()
        self.field("pause").click()
        self.wait_for_phase("Paused")
        self.throttle(-1)
        self.field("resume").click()
        self.assert_resumed()

    def test_a_cancelled_upload_leaves_nothing(self) -> None:
        """Nothing is left of it, neither here nor there."""
        self.serve()
        self.begin()
        self.field("cancel").click()
        wait_until(lambda: self.posted("abort") == [200], "the upload to be thrown away")
        self.wait_for_phase("Cancelled")
        self.assertEqual(list(stored_objects(self.objects_directory)), [])
        left = [p for p in (self.daemon.store / ".giftless").rglob("*") if p.is_file()]
        # A part that was under way may have arrived since; it goes when uploads expire.
        self.assertLess(sum(p.stat().st_size for p in left), 2 * PART, left)
        self.browser.refresh()
        self.assertEqual(self.text("unfinished"), "")

    def test_a_server_that_dies(self) -> None:
        """The page waits for it; that it knows no token any more, it takes for expiry."""
        self.serve()
        self.begin()
        self.daemon.kill()
        stored = len(self.sent())
        shutil.rmtree(self.daemon.directory / "giftless-state")
        self.throttle(-1)
        wait_for(lambda: "next try" in self.text("detail"), lambda: self.text("work"))
        self.daemon.start()
        self.wait_for_phase("Done")
        self.assert_arrived(self.DATA)
        # What was stored and not answered was sent again by nobody.
        self.assertLessEqual(len(self.sent()), 20)
        self.assertGreater(len(self.sent()), stored)
        # The log has it when the connection is over, which takes its time.
        wait_until(
            lambda: [e for e in self.accesses("PUT") if e["status"] == 403],
            "a token to be refused",
        )


class RefusalTests(PageTestCase):
    """What goes wrong is said in words that help."""

    def test_a_wrong_token_is_explained(self) -> None:
        self.share_server()
        self.open()
        file = self.make_file(b"data")
        self.upload(file, self.writer[:-4] + "AAAA")
        problem = self.wait_for_problem()
        self.assertIn("does not accept this token", problem)
        self.assertIn(f'giftless token --scope "obj:{self.repo}/*:read,write"', problem)
        self.upload(file, "")
        wait_for(lambda: "wants a token" in self.text("problem"), lambda: self.text("problem"))
        self.upload(file, self.token("--scope", f"obj:{self.repo}/*:read"))
        wait_for(lambda: "not allow" in self.text("problem"), lambda: self.text("problem"))
        self.assertEqual(list(stored_objects(self.objects_directory)), [])
        # And with the right one, it goes on without a reload.
        self.upload(file)
        self.wait_for_phase("Done")
        self.assert_arrived(b"data")

    def test_the_browser_holds_back_another_origin(self) -> None:
        """The browser does not even send what a page of another origin wants to."""
        self.share_server()
        self.open("localhost")
        self.upload(self.make_file(b"data"))
        problem = self.wait_for_problem()
        self.assertIn("cors.origins", problem)
        self.assertIn(self.pages.origin("localhost"), problem)
        self.assertEqual({e["status"] for e in self.accesses("OPTIONS")}, {403})
        self.assertEqual(self.accesses("POST") + self.accesses("PUT"), [])
        self.assertTrue(any("blocked by CORS policy" in line for line in self.complaints()))

    def test_an_object_that_is_not_there(self) -> None:
        """A link to it is refused with the server's own words."""
        self.share_server()
        self.open()
        values = {"wanted-oid": oid_of(b"absent"), "wanted-size": "6"}
        self.enter(server=self.daemon.url, repository=self.repo, token=self.writer, **values)
        self.browser.find_element(By.CSS_SELECTOR, "#download button").click()
        self.assertIn("does not exist", self.wait_for_problem())
        self.assertEqual(self.text("link"), "")

    def test_a_file_that_changed(self) -> None:
        """Its oid is remembered, and wrong: it is sent once, nothing appears, and that is it."""
        self.share_server()
        for data in (b"the first", os.urandom(3 * PART)):
            self.open()
            file = self.make_file(data)
            stat = file.stat()
            upload = {
                "name": file.name,
                "size": stat.st_size,
                "lastModified": int(stat.st_mtime * 1000),
                "oid": oid_of(b"something"),
            }
            self.browser.execute_script(
                "localStorage.setItem('giftless.upload', arguments[0])", json.dumps(upload)
            )
            self.browser.refresh()
            before = len(self.accesses("PUT"))
            self.upload(file)
            self.wait_for_problem()
            self.assertEqual(list(stored_objects(self.objects_directory)), [])
            self.assertLessEqual(len(self.accesses("PUT")) - before, 3)
            self.assertEqual(self.text("start"), "Upload")
            self.field("start").click()
            self.wait_for_phase("Done")
            self.assert_arrived(data)
            next(stored_objects(self.objects_directory)).unlink()
