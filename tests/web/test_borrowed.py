"""A password that a browser adds for another site's page opens nothing; every other one counts."""

from __future__ import annotations

from typing import Any

from giftless.web.cors import CorsOptions
from tests.support.tokens import basic
from tests.web.support import FrontTestCase, batch_body
from tests.web.test_certificates import Noting

LFS = "application/vnd.git-lfs+json"
FORMS = (
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "TEXT/Plain; application/vnd.git-lfs+json",
    "",
)
EVIL = "https://evil.example"
WIKI = "https://wiki.example"
LISTED = CorsOptions(origins=[WIKI])
LENT = CorsOptions(origins=[WIKI], credentials=True)
ANYBODY = CorsOptions(origins=["*"])


class BorrowedPasswordTests(FrontTestCase):
    def ask(
        self,
        kind: str = "text/plain",
        authorization: str = "",
        cors: CorsOptions | None = None,
        public_url: str = "",
        **headers: str,
    ) -> int:
        """Send a batch request with a password.

        :param headers: more headers, with ``_`` for ``-`` in their names.
        :returns: its status.
        """
        noting = Noting()
        self.serve(authenticators=[noting], cors=cors, public_url=public_url)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = authorization or basic("alice", "secret")
        if kind:
            sent["Content-Type"] = kind
        body = batch_body("upload", {"oid": "0" * 64, "size": 1})
        status = self.request("POST", "/org/repo/objects/batch", sent, body).status
        if status == 403:
            self.assertEqual(noting.shown.items, (), "the password was shown")
        return status

    def test_a_form_of_another_site_borrows_no_password(self) -> None:
        for kind in FORMS:
            for site in ("cross-site", "same-site", "Cross-Site"):
                for cors in (None, LISTED, ANYBODY, LENT):
                    status = self.ask(kind, cors=cors, Origin=EVIL, Sec_Fetch_Site=site)
                    self.assertEqual(status, 403, (kind, site))

    def test_without_https_the_origin_tells_it(self) -> None:
        """Browsers send nothing else then."""
        for origin in (EVIL, "null", "https://lfs.example.evil.example", "http://lfs.example:81"):
            self.assertEqual(self.ask(Origin=origin), 403, origin)
        for origin in ("http://lfs.example", "https://LFS.example"):
            self.assertEqual(self.ask(Origin=origin), 200, origin)
        outside = "https://out.example/lfs"
        self.assertEqual(self.ask(public_url=outside, Origin="https://out.example"), 200)

    def test_pages_that_may_use_what_browsers_keep_do(self) -> None:
        for kind in FORMS:
            status = self.ask(kind, cors=LENT, Origin=WIKI, Sec_Fetch_Site="cross-site")
            self.assertEqual(status, 200)
            status = self.ask(kind, cors=LISTED, Origin=WIKI, Sec_Fetch_Site="cross-site")
            self.assertEqual(status, 403)

    def test_what_a_browser_asks_for_first_counts(self) -> None:
        """Whether the page's origin may do that was the answer."""
        for cors in (LISTED, ANYBODY, None):
            foreign: dict[str, Any] = {"Origin": WIKI, "Sec_Fetch_Site": "cross-site"}
            self.assertEqual(self.ask(LFS, cors=cors, **foreign), 200)
            self.assertEqual(self.ask("application/json", cors=cors, **foreign), 200)
            for name in ("Tus_Resumable", "X_Requested_With"):
                self.assertEqual(self.ask("", cors=cors, **foreign, **{name: "1.0.0"}), 200)

    def test_what_no_other_page_has_sent_counts(self) -> None:
        """git-lfs, curl, scripts, the server's own pages, what users type."""
        for kind in (*FORMS, LFS):
            self.assertEqual(self.ask(kind), 200)
            for site in ("same-origin", "none"):
                self.assertEqual(self.ask(kind, Origin=EVIL, Sec_Fetch_Site=site), 200)

    def test_a_token_is_never_borrowed(self) -> None:
        foreign: dict[str, Any] = {"Origin": EVIL, "Sec_Fetch_Site": "cross-site"}
        self.assertEqual(self.ask(authorization="Bearer x", **foreign), 200)
