"""Downloads from a real server that fails in many ways."""

from __future__ import annotations

import itertools
import os
import re
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.agent import http, retrying
from giftless.agent.downloading import Downloader, Temporary, divide
from giftless.agent.errors import TransferError
from giftless.agent.http import Client
from giftless.agent.progress import Progress
from giftless.agent.protocol import Action, Download
from giftless.agent.slots import Slots
from giftless.agent.workers import Workers
from giftless.base.git_settings import Settings
from tests.agent.server import Answer, Asked, Cut, Server

KIB = 1024
DATA = os.urandom(1000 * KIB + 7)
RANGE_SIZE = 100 * KIB


class DivideTests(SynchronousTestCase):
    @given(st.integers(0, 10**6), st.integers(1, 10**6))
    def test_every_byte_once(self, size: int, range_size: int) -> None:
        """Ranges follow each other from the first byte to the last; none is too long."""
        range_size = max(range_size, size // 100 + 1)
        position = 0
        for span in divide(size, range_size):
            self.assertEqual(span.start, position)
            self.assertLessEqual(span.end - span.start, range_size)
            self.assertTrue(span.end > span.start or size == 0)
            position = span.end
        self.assertEqual(position, size)


class DownloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(retrying, "FIRST_PAUSE", 0.001)
        self.patch(retrying, "LONGEST_PAUSE", 0.002)
        self.server = Server(self, self.answer)
        self.path = Path(self.mktemp())
        self.path.touch()
        self.reports: list[int] = []
        self.ranges = True  # whether the server serves them
        self.data = DATA

    def answer(self, asked: Asked) -> Answer:
        """Answer as an HTTP server does."""
        if asked.headers.get("authorization") != "Bearer token":
            return Answer(403, b"<Error><Message>Access Denied</Message></Error>")
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", ""))
        if found is None or not self.ranges:
            return Answer(200, self.data)
        start, last = int(found[1]), int(found[2])
        headers = {"Content-Range": f"bytes {start}-{last}/{len(self.data)}"}
        return Answer(206, self.data[start : last + 1], headers)

    def download(self, connections: int = 4, range_size: int = RANGE_SIZE) -> None:
        request = Download("ab" * 32, len(self.data))
        progress = Progress(len(self.data), lambda count, since: self.reports.append(count))
        action = Action(f"{self.server.url}/object", {"Authorization": "Bearer token"})
        workers = Workers(connections, Slots(Path(self.mktemp()), connections - 1))
        client = Client(connections, lambda url: Settings(proxy=""))
        Downloader(request, action, client, workers, progress, range_size).run(self.path)
        progress.close(complete=True)

    def refused(self) -> TransferError:
        error: TransferError = self.assertRaises(TransferError, self.download)
        return error

    def assert_downloaded(self) -> None:
        self.assertEqual(self.path.read_bytes(), self.data)
        self.assertEqual(self.reports[-1:], [len(self.data)] if self.data else [])
        self.assertEqual(self.reports, sorted(set(self.reports)))

    @property
    def asked_ranges(self) -> list[str | None]:
        return [asked.headers.get("range") for asked in self.server.asked]

    def test_each_range_is_asked_for_once(self) -> None:
        """Each range is asked for once, several at a time."""
        together = threading.Barrier(3)
        arrivals = itertools.count()
        plain = self.answer

        def answer(asked: Asked) -> Answer:
            # The first goes ahead; the next three wait for each other.
            if 1 <= next(arrivals) <= 3:
                together.wait(30)
            return plain(asked)

        self.server.answer = answer
        self.download(connections=3)
        self.assert_downloaded()
        self.assertEqual(len(set(self.asked_ranges)), 11)
        self.assertEqual(len(self.asked_ranges), 11)
        self.assertEqual(self.server.most, 3)

    def test_a_small_object_is_asked_for_whole(self) -> None:
        """What fits one range is asked for as a whole."""
        for data in (b"", b"1", DATA[:RANGE_SIZE]):
            self.data = data
            self.reports.clear()
            self.server.asked.clear()
            self.download()
            self.assert_downloaded()
            self.assertEqual(self.asked_ranges, [None])

    def test_a_server_without_ranges_is_read_once(self) -> None:
        """A server that sends all of it is read once, from the beginning to the end."""
        self.ranges = False
        self.download()
        self.assert_downloaded()
        self.assertEqual(self.asked_ranges, ["bytes=0-102399", None])

    def test_a_broken_range_is_resumed(self) -> None:
        """A range whose connection breaks is resumed where it broke, however often it does."""
        plain = self.answer

        def answer(asked: Asked) -> Answer:
            whole = plain(asked)
            if len(whole.body) <= 10 * KIB:
                return whole
            return Answer(206, whole.body[: 10 * KIB], whole.headers, len(whole.body))

        self.server.answer = answer
        self.download()
        self.assert_downloaded()
        self.assertIn("bytes=10240-102399", self.asked_ranges)
        self.assertEqual(len(self.asked_ranges), 101)

    def test_a_stalled_range_is_asked_for_again(self) -> None:
        """A server that stops in the middle is left, and asked for the rest."""
        self.patch(http, "_TIMEOUT", 0.1)
        plain = self.answer

        def answer(asked: Asked) -> Answer:
            whole = plain(asked)
            if asked.headers.get("range") == "bytes=102400-204799":
                return Answer(206, whole.body[:1000], whole.headers, len(whole.body), stall=60)
            return whole

        self.server.answer = answer
        self.download()
        self.assert_downloaded()
        (rest,) = set(self.asked_ranges) - {
            f"bytes={span.start}-{span.end - 1}" for span in divide(len(DATA), RANGE_SIZE)
        }
        assert rest is not None
        self.assertTrue(rest.endswith("-204799"))

    def test_a_broken_whole_download_begins_again(self) -> None:
        """Without ranges it begins again, and the count stands still until it is there."""
        self.ranges = False
        plain = self.answer

        def answer(asked: Asked) -> Answer:
            whole = plain(asked)
            if len(self.server.asked) == 2:
                return Answer(200, whole.body[: 500 * KIB], {}, len(whole.body))
            return whole

        self.server.answer = answer
        self.download()
        self.assert_downloaded()
        self.assertEqual(self.asked_ranges, ["bytes=0-102399", None, "bytes=512000-1024006"])

    def test_a_download_that_never_ends_is_given_up(self) -> None:
        """It is not begun for ever."""
        self.ranges = False
        self.server.answer = lambda asked: Answer(200, DATA[:1000], {}, len(DATA))
        self.assertIn("tried 8 times", self.refused().message)

    def test_failures_that_pass_are_waited_out(self) -> None:
        """Failures that pass are waited out."""
        plain = self.answer
        for status in (500, 503, 429, None):
            failed = False

            def answer(asked: Asked, status: int | None = status) -> Answer:
                nonlocal failed
                if not failed and asked.headers.get("range") == "bytes=102400-204799":
                    failed = True
                    if status is None:
                        raise Cut
                    return Answer(status)
                return plain(asked)

            self.reports.clear()
            self.server.answer = answer
            self.download()
            self.assert_downloaded()
            self.assertTrue(failed)

    def test_a_refusal_fails_at_once(self) -> None:
        """What cannot get better fails at once, with the server's words."""
        plain = self.answer
        for status in (403, 404, 410, 416):

            def answer(asked: Asked, status: int = status) -> Answer:
                if asked.headers.get("range") == "bytes=102400-204799":
                    return Answer(status, b"<Error><Message>it is\n gone</Message></Error>")
                return plain(asked)

            self.server.answer = answer
            error = self.refused()
            self.assertEqual(error.code, status)
            self.assertIn(f"{status} it is gone", error.message)

    def test_a_wrong_range_is_an_error(self) -> None:
        """Other bytes than those that were asked for are an error."""
        for sent in (
            "bytes 1-102400/1024007",
            "bytes 0-102399/9",
            "bytes */1024007",
            "",
            "lines 1",
        ):
            self.server.answer = (
                lambda asked, sent=sent: Answer(  # type: ignore[misc]
                    206, DATA[:RANGE_SIZE], {"Content-Range": sent}
                )
            )
            self.refused()

    def test_too_many_bytes_are_not_written(self) -> None:
        """More bytes than the object has are an error, and are not written."""
        self.data = DATA[:1000]
        self.server.answer = lambda asked: Answer(200, DATA)
        self.assertIn("more bytes", self.refused().message)
        self.assertEqual(self.path.stat().st_size, 1000)

    def test_too_few_bytes_are_an_error(self) -> None:
        """Fewer bytes are an error in the end."""
        self.data = DATA[:1000]
        self.server.answer = lambda asked: Answer(200, DATA[:999])
        self.assertIn("ended the download early", self.refused().message)

    def test_a_redirection_does_not_get_the_token(self) -> None:
        """A download follows a redirection, but its token stays with whom it is for."""
        other = Server(self, lambda asked: Answer(200, DATA[:1000]))
        self.data = DATA[:1000]
        self.server.answer = lambda asked: Answer(
            302, headers={"Location": f"{other.url.replace('127.0.0.1', 'localhost')}/there"}
        )
        self.download()
        self.assert_downloaded()
        self.assertNotIn("authorization", other.asked[0].headers)

    def test_a_full_disk_is_named(self) -> None:
        """A disk that takes no more is named."""
        self.path = Path("/dev/full")
        self.data = DATA[:1000]
        error = self.refused()
        self.assertIn("cannot write /dev/full", error.message)


class TemporaryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_the_name_begins_with_the_oid(self) -> None:
        """The oid comes first, which git-lfs tidies up by; no two names are the same."""
        one, two = Temporary(self.folder, "ab" * 32), Temporary(self.folder, "ab" * 32)
        self.assertTrue(one.path.name.startswith("ab" * 32 + "-"))
        self.assertNotEqual(one.path, two.path)

    def test_the_permissions_are_the_usual_ones(self) -> None:
        """It is as any other file of the user's."""
        plain = self.folder / "plain"
        plain.touch()
        self.assertEqual(Temporary(self.folder, "ab").path.stat().st_mode, plain.stat().st_mode)

    def test_removing_it_twice_is_harmless(self) -> None:
        """It is removed, and removing it twice is harmless."""
        temporary = Temporary(self.folder, "ab")
        temporary.remove()
        temporary.remove()
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_missing_folder_is_named(self) -> None:
        """A folder that is gone is named."""
        error = self.assertRaises(TransferError, Temporary, self.folder / "gone", "ab")
        self.assertIn("No such file", error.message)
