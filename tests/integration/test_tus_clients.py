"""The libraries that others upload with: tuspy, aiotus, and tus-js-client in a browser."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import aiotus
from tusclient.client import TusClient
from tusclient.exceptions import TusUploadFailed
from tusclient.storage.filestorage import FileStorage
from twisted.trial.unittest import SkipTest

from tests.integration.sharing import SharingTestCase
from tests.integration.support import Daemon, oid_of, stored_objects
from tests.support.chromium import Pages, calm, chromium, complaints, wait_for
from tests.support.faulty import Fault, FaultyProxy
from tests.support.servers import CACHE

KIB = 1024
MIB = 1024 * KIB

#: What they send at once.
CHUNK = 256 * KIB


class ClientTestCase(SharingTestCase):
    """A repository of a daemon that anybody may write to."""

    daemon: Daemon

    def share_server(self, **config: Any) -> None:
        """Use a daemon that tests share."""
        self.daemon = self.share_daemon(log_format="json", **config)

    @property
    def api(self) -> str:
        """Where uploads are created."""
        return self.endpoint(self.daemon.url)

    def endpoint(self, url: str) -> str:
        """Return where uploads are created, by another way to the daemon."""
        return f"{url}/{self.repo}.git/info/lfs/objects/tus"

    def make_file(self, data: bytes, name: str = "film.bin") -> Path:
        """Write a file to upload."""
        path = self.directory / name
        path.write_bytes(data)
        return path

    def assert_arrived(self, *wanted: bytes) -> None:
        """Check that these objects are in the repository, and nothing else."""
        found = {path.name: path.read_bytes() for path in self.stored()}
        self.assertEqual(found.keys(), {oid_of(data) for data in wanted})
        for data in wanted:
            self.assertTrue(found[oid_of(data)] == data, "the bytes differ")

    def stored(self) -> Iterable[Path]:
        """Return the objects of the repository."""
        return stored_objects(self.daemon.store / self.repo)

    def statuses(self, method: str) -> list[int]:
        """Return the statuses of all requests with a method in the repository."""
        return [event["status"] for event in self.daemon.accesses(method, self.repo)]


class TuspyTests(ClientTestCase):
    """``pip install tuspy``."""

    def setUp(self) -> None:
        super().setUp()
        self.share_server()

    def uploader(self, file: Path, **options: Any) -> Any:
        """Prepare an upload in chunks, each with its SHA-1."""
        metadata = {"oid": oid_of(file.read_bytes()), "filename": file.name}
        return TusClient(self.api).uploader(
            str(file), chunk_size=CHUNK, metadata=metadata, upload_checksum=True, **options
        )

    def test_a_paused_upload_goes_on_in_another_process(self) -> None:
        """By the URL that it has written down; the name of the file is kept with the object."""
        data = os.urandom(MIB + 7)
        file = self.make_file(data, "grüße.bin")
        for stop in (3 * CHUNK, None):
            places = FileStorage(str(self.directory / "uploads.json"))
            uploader = self.uploader(file, store_url=True, url_storage=places)
            self.assertEqual(uploader.offset, 0 if stop else 3 * CHUNK)
            uploader.upload(stop_at=stop)
            places.close()
        self.assert_arrived(data)
        self.assertEqual(self.statuses("POST"), [201])
        self.assertEqual(self.statuses("PATCH"), [204] * 5)
        reply = self.daemon.get(oid_of(data), self.repo)
        self.assertIn("gr%C3%BC%C3%9Fe.bin", reply.headers["content-disposition"])

    def test_a_chunk_that_was_altered_is_not_kept(self) -> None:
        data = os.urandom(MIB)
        uploader = self.uploader(self.make_file(data))
        uploader.upload_chunk()
        wrong = staticmethod(lambda chunk: hashlib.sha1(chunk + b"altered"))
        patched = self.patch(type(uploader), "checksum_algorithm", wrong)
        error = self.assertRaises(TusUploadFailed, uploader.upload_chunk)
        patched.restore()
        self.assertEqual(error.status_code, 460)
        again = self.uploader(self.make_file(data), url=uploader.url)
        self.assertEqual(again.offset, CHUNK)
        again.upload()
        self.assert_arrived(data)

    def test_it_goes_on_where_the_connection_broke(self) -> None:
        data = os.urandom(MIB)
        with FaultyProxy(self.daemon.port) as proxy:
            proxy.then(None, None, Fault("cut-upload", after=100 * KIB))
            metadata = {"oid": oid_of(data)}
            client = TusClient(self.endpoint(proxy.url))
            uploader = client.uploader(
                str(self.make_file(data)), metadata=metadata, chunk_size=CHUNK, retries=3
            )
            uploader.retry_delay = 0
            uploader.upload()
            self.assertLess(proxy.sent, MIB + CHUNK)
        self.assert_arrived(data)

    def test_an_empty_file(self) -> None:
        """Its creation is all of it."""
        self.uploader(self.make_file(b"")).upload()
        self.assert_arrived(b"")

    def test_an_object_that_is_there_already(self) -> None:
        """It does not look how far the upload is, and sends the object again."""
        data = os.urandom(MIB)
        self.assertEqual(self.daemon.put(data, self.repo), 200)
        self.uploader(self.make_file(data)).upload()
        self.assert_arrived(data)
        self.assertEqual(self.statuses("PATCH"), [204] * 4)


class AiotusTests(ClientTestCase):
    """``pip install aiotus``."""

    def setUp(self) -> None:
        super().setUp()
        # It tells of each attempt.
        logger, handler = logging.getLogger("aiotus"), logging.NullHandler()
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        self.share_server()

    def upload(self, url: str, *contents: bytes) -> list[Any]:
        """Upload files side by side, each in several requests.

        :returns: where each went to; ``None`` for what failed.
        """

        async def upload(data: bytes) -> Any:
            file = self.make_file(data, oid_of(data))
            metadata = {"oid": oid_of(data).encode(), "filename": b"film+1.bin", "about": None}
            config = aiotus.RetryConfiguration(retry_attempts=4, max_retry_period_seconds=0.1)
            with file.open("rb") as stream:
                return await aiotus.upload(
                    self.endpoint(url), stream, metadata, config=config, chunksize=CHUNK
                )

        async def upload_all() -> list[Any]:
            return await asyncio.gather(*map(upload, contents))

        return asyncio.run(upload_all())

    def test_files_side_by_side(self) -> None:
        """And what was said of each can be asked for."""
        contents = [os.urandom(MIB - number) for number in range(4)]
        places = self.upload(self.daemon.url, *contents)
        self.assert_arrived(*contents)
        self.assertEqual(self.statuses("PATCH"), [204] * 16)
        metadata = asyncio.run(aiotus.metadata(places[0]))
        wanted = {"oid": oid_of(contents[0]).encode(), "filename": b"film+1.bin", "about": None}
        self.assertEqual(metadata, wanted)

    def test_they_go_on_where_connections_broke(self) -> None:
        contents = [os.urandom(MIB - number) for number in range(3)]
        left = [100 * KIB, 50 * KIB, 1 * KIB, 200 * KIB]
        with FaultyProxy(self.daemon.port) as proxy:
            proxy.fault = lambda begun: (
                Fault("cut-upload", after=left.pop()) if left and begun[:5] == b"PATCH" else None
            )
            self.assertNotIn(None, self.upload(proxy.url, *contents))
            self.assertLess(proxy.sent, 3 * MIB + 4 * CHUNK)
        self.assertEqual(left, [])
        self.assert_arrived(*contents)

    def test_an_object_that_is_there_already(self) -> None:
        data = os.urandom(MIB)
        self.assertEqual(self.daemon.put(data, self.repo), 200)
        self.assertNotIn(None, self.upload(self.daemon.url, data))
        self.assertEqual(self.statuses("PATCH"), [])


#: Each file of a page is random bytes; its oid is found out by the browser.
SCRIPT = """
window.make = async (size) => {
  const bytes = new Uint8Array(size);
  for (let pos = 0; pos < size; pos += 65536) {
    crypto.getRandomValues(bytes.subarray(pos, Math.min(pos + 65536, size)));
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const oid = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { oid, file: new File([bytes], oid) };
};
window.seen = { done: [], failed: [], sent: 0 };
window.begin = ({ oid, file }, options) => {
  const upload = new tus.Upload(file, {
    endpoint: window.api,
    metadata: { oid, filename: "grüße.bin" },
    retryDelays: null,
    onSuccess: () => window.seen.done.push(oid),
    onError: (error) => window.seen.failed.push(String(error)),
    onProgress: (sent) => { window.seen.sent = sent; },
    ...options,
  });
  window.upload = upload;
  return upload;
};
"""


class TusJsTests(ClientTestCase):
    """tus-js-client, as npm has it, in a page of another origin."""

    SIZE = 3 * MIB

    def setUp(self) -> None:
        super().setUp()
        script = CACHE / "tus.min.js"
        if not script.exists():
            raise SkipTest("tus-js-client is not installed; 'make stores' installs it")
        self.browser = chromium()
        self.addCleanup(calm, self.browser)
        self.pages = self.share("pages", lambda place: closing(self._pages(place, script)))
        self.share_server(cors={"origins": [self.pages.origin()]})
        self.open()

    def _pages(self, place: Path, script: Path) -> Pages:
        shutil.copy(script, place / "tus.js")
        (place / "page.js").write_text(SCRIPT)
        (place / "index.html").write_text(
            '<!doctype html><meta charset="utf-8">'
            '<script src="tus.js"></script><script src="page.js"></script>'
        )
        return Pages(place)

    def open(self, host: str = "127.0.0.1") -> None:
        """Open the page, under one of the names of its server."""
        self.browser.get(f"{self.pages.origin(host)}/index.html")
        self.browser.execute_script("window.api = arguments[0]", self.api)

    def run_script(self, script: str, *arguments: Any) -> Any:
        """Run the body of an ``async`` function in the page; returns what it does.

        It finds its arguments in ``given``.
        """
        return self.browser.execute_async_script(
            "const given = [...arguments], done = given.pop();"
            f"(async () => {{ {script} }})().then(done, (error) => done(String(error)));",
            *arguments,
        )

    @property
    def seen(self) -> Mapping[str, Any]:
        """What has become of uploads."""
        return self.browser.execute_script("return window.seen")

    def wait_for_done(self, count: int = 1) -> list[str]:
        """Wait until uploads have ended; returns the oids of those that did well."""
        wait_for(
            lambda: len(self.seen["done"]) + len(self.seen["failed"]) >= count,
            lambda: str(self.seen),
        )
        self.assertEqual(self.seen["failed"], [])
        return sorted(self.seen["done"])

    def throttle(self, rate: int) -> None:
        """Let the browser send so many bytes a second; -1 for any number."""
        self.browser.set_network_conditions(
            latency=0, download_throughput=-1, upload_throughput=rate
        )

    def begin(self) -> None:
        """Upload, and come back when some of it has been sent."""
        self.throttle(2 * MIB)
        self.run_script(
            "window.made = await make(given[0]); begin(made, { chunkSize: given[1] }).start()",
            self.SIZE,
            CHUNK,
        )
        wait_for(lambda: len(self.statuses("PATCH")) >= 3, lambda: str(self.seen))

    def assert_whole(self, *oids: str) -> None:
        """Check that these objects are there, byte for byte, and nothing else."""
        found = {path.name: oid_of(path.read_bytes()) for path in self.stored()}
        self.assertEqual(found, {oid: oid for oid in oids})
        self.assertEqual(complaints(self.browser), [])

    def test_a_paused_upload_goes_on(self) -> None:
        """In the same page, and in the page when it was loaded anew."""
        self.begin()
        self.run_script("await upload.abort()")
        self.throttle(-1)
        self.run_script("upload.start()")
        (oid,) = self.wait_for_done()
        self.assert_whole(oid)
        self.assertEqual(self.statuses("POST"), [201])
        # What was under way when it paused may have come in part or whole, answered or not.
        self.assertIn(self.statuses("PATCH").count(204), (11, 12, 13))
        reply = self.daemon.get(oid, self.repo)
        self.assertIn("gr%C3%BC%C3%9Fe.bin", reply.headers["content-disposition"])

    def test_another_upload_finds_what_has_come(self) -> None:
        """By what the library has written into the browser's store."""
        self.begin()
        self.run_script("await upload.abort()")
        self.throttle(-1)
        self.run_script("""
            const again = begin(made, { chunkSize: 262144 });
            const [previous] = await again.findPreviousUploads();
            again.resumeFromPreviousUpload(previous);
            again.start();
        """)
        (oid,) = self.wait_for_done()
        self.assert_whole(oid)
        self.assertEqual(self.statuses("POST"), [201])

    def test_files_side_by_side(self) -> None:
        """Some with their creation, some by POST where only that passes."""
        self.run_script("""
            const options = [
              {}, { uploadDataDuringCreation: true }, { overridePatchMethod: true },
              { uploadDataDuringCreation: true, chunkSize: 100000 },
            ];
            const all = await Promise.all(options.map(() => make(500000)));
            options.forEach((each, number) => begin(all[number], each).start());
        """)
        self.assert_whole(*self.wait_for_done(4))

    def test_an_object_that_is_there_already(self) -> None:
        """It does not look how far the upload is, and sends the object again."""
        self.run_script("window.made = await make(500000); begin(made).start()")
        (oid,) = self.wait_for_done()
        self.run_script("begin(made).start()")
        self.assertEqual(self.wait_for_done(2), [oid, oid])
        self.assertEqual(self.statuses("PATCH"), [204, 204])
        self.assert_whole(oid)

    def test_an_ended_upload_leaves_nothing(self) -> None:
        self.begin()
        self.run_script("await upload.abort(true)")
        self.assertEqual(self.statuses("DELETE"), [204])
        self.assertEqual(self.seen["failed"], [])
        self.assert_whole()
        url = self.browser.execute_script("return upload.url")
        gone = self.daemon.request("HEAD", url, None, {"Tus-Resumable": "1.0.0"})
        self.assertEqual(gone.status, 404)
        left = [path for path in (self.daemon.store / ".giftless").rglob("*") if path.is_file()]
        self.assertLess(sum(path.stat().st_size for path in left), CHUNK, left)

    def test_the_browser_holds_back_another_origin(self) -> None:
        """It does not even send what a page of another origin wants to."""
        self.open("localhost")
        self.run_script("begin(await make(1000)).start()")
        wait_for(lambda: self.seen["failed"], lambda: str(self.seen))
        self.assertEqual(set(self.statuses("OPTIONS")), {403})
        self.assertEqual(self.statuses("POST"), [])
        self.assertTrue(any("blocked by CORS policy" in line for line in complaints(self.browser)))
