"""Which clients are sent ``102 Processing``: those that need it, and bear it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.web.headers import Headers
from giftless.web.interim import interim_limit
from tests.support.blocking import ManualBlocking
from tests.support.making import oid_of, writer
from tests.web.support import (
    CLIENT,
    GIT_LFS,
    Connection,
    FrontTestCase,
    KeyAuthenticator,
    storage_url,
)

DATA = b"some bytes"
URL = storage_url(oid_of(DATA))

AGENT = ("User-Agent", GIT_LFS)
LENGTH = ("Content-Length", str(len(DATA)))


class UploadTests(FrontTestCase):
    """Uploads whose objects take ten minutes to be stored."""

    def signs(self, *headers: tuple[str, str], version: str = "HTTP/1.1", **options: Any) -> int:
        """Return how many signs of life an upload gets.

        :param headers: those of the request in their order, without Host.
        """
        blocking = ManualBlocking()
        self.serve(blocking=blocking, authenticators=[KeyAuthenticator({"w": writer()})], **options)
        connection = self.connect(CLIENT)
        shown = ("Authorization", "Bearer w")
        lines = [f"PUT {URL} {version}", "Host: lfs.example", *map(": ".join, (*headers, shown))]
        connection.send("\r\n".join([*lines, "", ""]).encode() + DATA)
        self.pass_time(600)
        count = self.take_signs(connection)
        while blocking.waiting:
            blocking.do_next()
        self.assertEqual(connection.response().status, 200)
        return count

    def take_signs(self, connection: Connection) -> int:
        """Take the interim responses that have come."""
        count = 0
        while connection.received:
            self.assertEqual(connection.response().status, 102)
            count += 1
        return count

    def test_git_lfs_gets_as_many_as_its_go_bears(self) -> None:
        """Those built with Go before 1.24 bear five, and those before 1.11 none."""
        for agent, wanted in (
            (GIT_LFS, 24),
            ("git-lfs/3.7.0 (GitHub; linux amd64; go 1.24.0)", 24),
            ("git-lfs/3.7.0 (Vendor; windows arm64; go 1.24.4; git 92dddf56)", 24),
            ("git-lfs/3.6.1 (GitHub; linux amd64; go 1.23.11 (Red Hat 1.23.11-1.el9))", 5),
            ("git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)", 5),
            ("git-lfs/2.6.0 (GitHub; linux amd64; go 1.11)", 5),
            ("git-lfs/2.5.0 (GitHub; linux amd64; go 1.10.3)", 0),
            ("git-lfs/1.5.6 (GitHub; linux amd64; go 1.7.4)", 0),
            ("git-lfs/3.7.0 (GitHub; linux amd64; go devel +0123abcd)", 0),
            ("git-lfs/3.7.0 (GitHub; linux amd64; go 1.9999)", 0),
            ("git-lfs/3.7.0 (GitHub; linux amd64)", 0),
            ("git-lfs/3.7.0", 0),
        ):
            self.assertEqual(self.signs(("User-Agent", agent), LENGTH), wanted, agent)

    def test_other_clients_get_none(self) -> None:
        """Most of them take an interim response for the answer."""
        for agent in (
            "git/2.51.0",
            "JGit/7.8.1",
            "python-requests/2.32.5",
            "python-urllib3/2.8.0",
            "giftless-transfer-agent/1.0.0",
            "Mozilla/5.0",
            f"x {GIT_LFS}",
            "",
        ):
            self.assertEqual(self.signs(("User-Agent", agent), LENGTH), 0, agent)
        self.assertEqual(self.signs(LENGTH), 0)
        self.assertEqual(self.signs(AGENT, ("User-Agent", "curl/8.0"), LENGTH), 0)

    def test_any_sign_of_a_proxy_is_enough(self) -> None:
        """Proxies that nobody has listed are known by what they add or move."""
        for sign in (
            ("Via", "1.1 proxy"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "lfs.example"),
            ("Forwarded", "for=192.0.2.1"),
            ("X-Real-IP", "192.0.2.1"),
            ("CDN-Loop", "x"),
            ("Connection", "close"),
        ):
            self.assertEqual(self.signs(AGENT, LENGTH, sign), 0, sign)
        self.assertEqual(self.signs(AGENT, LENGTH, trusted=[CLIENT.host]), 0)
        self.assertEqual(self.signs(AGENT, LENGTH, version="HTTP/1.0"), 0)

    def test_a_request_in_the_order_of_nginx_comes_from_nginx(self) -> None:
        """nginx adds nothing by itself, but writes the length first."""
        self.assertEqual(self.signs(LENGTH, AGENT), 0)

    def test_all_that_git_lfs_sends_is_its_own(self) -> None:
        self.assertEqual(
            self.signs(
                AGENT,
                LENGTH,
                ("Accept", "application/vnd.git-lfs+json"),
                ("Content-Type", "application/octet-stream"),
                ("Cookie", "x"),
                ("Accept-Encoding", "gzip"),
            ),
            24,
        )


class LimitTests(SynchronousTestCase):
    @given(
        st.binary(max_size=40) | st.binary(max_size=20).map(lambda rest: GIT_LFS.encode() + rest)
    )
    def test_any_name_of_a_client_is_understood_or_means_none(self, agent: bytes) -> None:
        headers = Headers({b"host": [b"h"], b"user-agent": [agent]})
        self.assertIn(interim_limit(headers), (0, 10_000))
