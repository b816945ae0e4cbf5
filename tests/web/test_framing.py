"""Requests whose framing two parties could read differently."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest, ExpectationFailed, LFSError
from giftless.web.framing import connection_options, refusal
from giftless.web.headers import Headers


def refused(
    *headers: tuple[str, str],
    method: bytes = b"GET",
    path: bytes = b"/org/repo/objects/batch",
    version: bytes = b"HTTP/1.1",
    host: str | None = "lfs.example",
) -> LFSError | None:
    """Look at a request with these headers beside its host."""
    collected = Headers()
    if host is not None:
        collected.addRawHeader(b"Host", host.encode("latin-1"))
    for name, value in headers:
        collected.addRawHeader(name.encode(), value.encode("latin-1"))
    return refusal(method, path, version, collected)


class RefusalTests(SynchronousTestCase):
    def assert_refused(self, *headers: tuple[str, str], **options: Any) -> None:
        """Check that a request is refused with 400."""
        self.assertIsInstance(refused(*headers, **options), BadRequest, (headers, options))

    def test_ordinary_requests_are_fine(self) -> None:
        for headers in (
            [],
            [("Connection", "keep-alive")],
            [("Connection", "close")],
            [("Connection", "Upgrade"), ("Upgrade", "h2c")],
            [("Transfer-Encoding", "chunked")],
            [("Transfer-Encoding", "Chunked")],
            [("Expect", "100-continue")],
            [("Expect", "100-Continue")],
            [("Content-Length", "5")],
        ):
            for method in (b"GET", b"HEAD", b"PUT", b"POST", b"OPTIONS"):
                self.assertIsNone(refused(*headers, method=method))

    def test_hosts_may_be_names_and_addresses_with_ports(self) -> None:
        for host in (
            "localhost",
            "a.b-c.d_e",
            "192.0.2.1:8080",
            "[::1]",
            "[2001:db8::1]:80",
            "x~y",
        ):
            self.assertIsNone(refused(host=host))

    def test_a_host_that_is_missing_is_refused(self) -> None:
        self.assert_refused(host=None)
        self.assertIsNone(refused(host=None, version=b"HTTP/1.0"))

    def test_two_hosts_are_refused(self) -> None:
        self.assert_refused(("Host", "evil.example"))
        self.assert_refused(("host", "lfs.example"))
        self.assert_refused(("Host", "lfs.example"), version=b"HTTP/1.0")

    def test_a_malformed_host_is_refused(self) -> None:
        for host in (
            "",
            " ",
            "a b",
            "a,b",
            "a/b",
            "user@a",
            "a:b",
            "a:123456",
            "a:80:80",
            "[::1",
            "::1",
            "a\u00e9",
            "a%41",
            "a?b",
            "a#b",
            "a\tb",
        ):
            self.assert_refused(host=host)
            self.assert_refused(host=host, version=b"HTTP/1.0")

    def test_chunked_is_the_only_transfer_coding(self) -> None:
        """After 'identity' without a length the body would be a second request."""
        for coding in (
            "identity",
            "gzip",
            "gzip, chunked",
            "chunked, identity",
            "",
            "x",
            " chunked;q=1",
        ):
            self.assert_refused(("Transfer-Encoding", coding))
        self.assert_refused(("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity"))

    def test_a_folded_transfer_coding_is_refused(self) -> None:
        for coding in ("\r\n chunked", "chunked\r\n , identity", "x\tchunked"):
            self.assert_refused(("Transfer-Encoding", coding))

    def test_chunks_are_not_for_old_versions(self) -> None:
        self.assert_refused(("Transfer-Encoding", "chunked"), version=b"HTTP/1.0")

    def test_close_and_keep_alive_contradict_each_other(self) -> None:
        self.assert_refused(("Connection", "keep-alive, close"))
        self.assert_refused(("Connection", "Close,x,KEEP-ALIVE"))
        self.assert_refused(("Connection", "close"), ("Connection", "keep-alive"))

    def test_other_expectations_are_417(self) -> None:
        for value in ("200-ok", "", "100-continue, x"):
            self.assertIsInstance(refused(("Expect", value)), ExpectationFailed)

    def test_methods_are_upper_case_letters(self) -> None:
        for method in (b"get", b"Get", b"", b"G ET", b"GET\x00", b"A" * 33, b"M-SEARCH", b"G\xc3"):
            self.assert_refused(method=method)

    def test_a_target_is_a_path(self) -> None:
        for path in (b"", b"*", b"x", b"http://lfs.example/x", b"lfs.example:80", b"//x/y"):
            self.assert_refused(path=path)

    def test_an_encoded_slash_is_refused(self) -> None:
        """One party would see two segments where the other sees one."""
        for path in (b"/a%2Fb", b"/a%2fb", b"/%2F", b"/a/b%2f..%2f"):
            self.assert_refused(path=path)
        self.assertIsNone(refused(path=b"/a%252Fb"))

    def test_a_path_is_utf_8(self) -> None:
        self.assertIsNone(refused(path="/gr\u00f6\u00dfe".encode()))
        self.assertIsNone(refused(path=b"/gr%C3%B6%C3%9Fe/%20"))
        for path in (b"/%ff", b"/%C3", b"/\xff", b"/%ED%A0%80", b"/%C0%AF"):
            self.assert_refused(path=path)

    def test_a_refusal_does_not_depend_on_the_case_of_names(self) -> None:
        self.assert_refused(("TRANSFER-ENCODING", "identity"))
        self.assert_refused(("cOnNeCtIoN", "close, keep-alive"))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["Host", "Connection", "Transfer-Encoding", "Expect", "X"]),
                st.text(st.characters(max_codepoint=255), max_size=20),
            ),
            max_size=4,
        ),
        st.binary(max_size=10),
        st.binary(max_size=20),
    )
    def test_any_head_is_fine_or_refused(
        self, headers: list[tuple[str, str]], method: bytes, path: bytes
    ) -> None:
        error = refused(*headers, method=method, path=path)
        self.assertTrue(error is None or error.code in (400, 417))


class ConnectionOptionsTests(SynchronousTestCase):
    def test_all_headers_are_taken_together(self) -> None:
        headers = Headers()
        headers.addRawHeader(b"Connection", b"Close, x ")
        headers.addRawHeader(b"connection", b"TE,,")
        self.assertLessEqual({b"close", b"x", b"te"}, connection_options(headers))

    def test_there_may_be_none(self) -> None:
        self.assertEqual(connection_options(Headers()), set())
