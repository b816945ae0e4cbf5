"""How the credentials of a request are parsed."""

from __future__ import annotations

import base64
import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.interfaces import ActionToken, Bearer, Credential, Credentials, Password, Unreadable
from giftless.web.credentials import parse_action_token, parse_credentials

#: Any bytes, and headers that are nearly good.
HEADERS = st.binary(max_size=60) | st.builds(
    bytes.__add__,
    st.sampled_from([b"Basic ", b"basic\t", b" Bearer ", b"BEARER  ", b"Digest "]),
    st.binary(max_size=60) | st.binary(max_size=30).map(base64.b64encode),
)

#: White space that may stand around a header's value, and behind its scheme.
SPACE = st.text(" \t", max_size=3).map(str.encode)


def basic(user_and_password: bytes) -> bytes:
    """Return the value of a Basic header."""
    return b"Basic " + base64.b64encode(user_and_password)


def in_any_case(word: str) -> st.SearchStrategy[bytes]:
    """Return a strategy for a word in upper and lower case."""
    return st.tuples(*(st.sampled_from([c.lower(), c.upper()]) for c in word)).map(
        lambda characters: "".join(characters).encode()
    )


class HeaderTests(SynchronousTestCase):
    """One ``Authorization`` header."""

    def parse(self, header: bytes) -> Credential:
        """Parse the only header of a request."""
        (item,) = parse_credentials([header], None, "192.0.2.1").items
        return item

    @given(HEADERS)
    def test_every_header_becomes_a_credential(self, header: bytes) -> None:
        credentials = parse_credentials([header], None, "192.0.2.1")
        self.assertTrue(credentials.given)
        for item in credentials.items:
            self.assertIsInstance(item, Password | Bearer | Unreadable)

    @given(
        st.text().filter(lambda user: ":" not in user),
        st.text(),
        in_any_case("basic"),
        st.tuples(SPACE, SPACE, SPACE),
    )
    def test_user_and_password_are_read_as_they_were_sent(
        self, user: str, password: str, scheme: bytes, space: tuple[bytes, bytes, bytes]
    ) -> None:
        value = base64.b64encode(f"{user}:{password}".encode())
        before, between, after = space
        header = before + scheme + b" " + between + value + after
        self.assertEqual(self.parse(header), Password(user, password))

    @given(
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1).filter(
            lambda token: token == token.strip(",")
        ),
        in_any_case("bearer"),
        st.tuples(SPACE, SPACE, SPACE),
    )
    def test_a_token_is_read_as_it_was_sent(
        self, token: str, scheme: bytes, space: tuple[bytes, bytes, bytes]
    ) -> None:
        before, between, after = space
        header = before + scheme + b" " + between + token.encode() + after
        self.assertEqual(self.parse(header), Bearer(token))

    def test_a_password_may_have_colons_and_be_empty(self) -> None:
        self.assertEqual(self.parse(basic(b"alice:a:b:")), Password("alice", "a:b:"))
        self.assertEqual(self.parse(basic(b"alice:")), Password("alice", ""))
        self.assertEqual(self.parse(basic(b":")), Password("", ""))

    def test_basic_that_is_malformed_cannot_be_read(self) -> None:
        for header in (
            b"Basic !!!!",
            b"Basic YTpi YTpi",
            b"Basic YTp",
            b"Basic \xff",
            basic(b"no colon"),
            basic(b"not UTF-8: \xff"),
        ):
            self.assertEqual(self.parse(header), Unreadable("basic"), header)

    def test_a_token_that_is_malformed_cannot_be_read(self) -> None:
        for header in (b"Bearer two words", b"Bearer caf\xc3\xa9", b"Bearer \xff"):
            self.assertEqual(self.parse(header), Unreadable("bearer"), header)

    def test_other_schemes_cannot_be_read(self) -> None:
        for scheme in ("Digest", "Negotiate", "token", "Bearer2"):
            item = self.parse(f"{scheme} a.b.c".encode())
            self.assertEqual(item, Unreadable(scheme.lower()))

    def test_a_single_word_cannot_be_read_and_is_not_kept(self) -> None:
        """It may be a token that somebody sends without a scheme."""
        for header in (
            b"",
            b" ",
            b"ghp_0123456789",
            b"Basic",
            b"Bearer ",
            b"Bearer\ta.b.c",
            b"\xff",
        ):
            self.assertEqual(self.parse(header), Unreadable(""), header)


#: Values that a proxy may join, with what becomes of each.
PARTS = st.one_of(
    st.builds(
        lambda user, password: (basic(f"{user}:{password}".encode()), Password(user, password)),
        st.text().filter(lambda user: ":" not in user),
        st.text(),
    ),
    st.from_regex(r"[A-Za-z0-9._~+/-]+=*", fullmatch=True).map(
        lambda token: (b"Bearer " + token.encode(), Bearer(token))
    ),
    st.sampled_from(
        [
            (b"Negotiate YIIZ0123==", Unreadable("negotiate")),
            (b'Digest username="x", realm="y", nonce="z", qop=auth', Unreadable("digest")),
            (b"AWS4-HMAC-SHA256 Credential=a/b, Signature=c", Unreadable("aws4-hmac-sha256")),
        ]
    ),
)


class JoinedTests(SynchronousTestCase):
    """Several credentials in one header, as proxies join those of one name."""

    @given(st.lists(PARTS, min_size=1, max_size=5), st.sampled_from([b", ", b",", b",\t ", b" , "]))
    def test_what_is_joined_is_told_apart(
        self, parts: list[tuple[bytes, Credential]], comma: bytes
    ) -> None:
        header = comma.join(value for value, _ in parts)
        wanted = tuple(item for _, item in parts)
        self.assertEqual(parse_credentials([header], None, "").items, wanted)

    def test_commas_without_anything_between_them_mean_nothing(self) -> None:
        for header in (b"Bearer a,", b", Bearer a", b",,Bearer a, ,", b"\t,Bearer a"):
            self.assertEqual(parse_credentials([header], None, "").items, (Bearer("a"),), header)

    def test_a_long_header_of_commas_is_read_at_once(self) -> None:
        for header in (b"," * 65536, b", a" * 20000, b",\t" * 32768, b"Bearer " + b"a," * 30000):
            self.assertTrue(parse_credentials([header], None, "").given)


class ActionTokenTests(SynchronousTestCase):
    """The header that actions have."""

    @given(st.lists(st.binary(max_size=40), min_size=1, max_size=3))
    def test_it_is_one_token_whatever_it_holds(self, headers: list[bytes]) -> None:
        (item,) = parse_action_token(headers, "192.0.2.1").items
        self.assertEqual(item, ActionToken(b",".join(headers).decode("latin-1")))
        self.assertNotIn("token", repr(item))


class RequestTests(SynchronousTestCase):
    """All credentials of a request."""

    def test_a_request_without_credentials_has_none(self) -> None:
        credentials = parse_credentials([], None, "192.0.2.1")
        self.assertEqual(credentials, Credentials((), "192.0.2.1"))
        self.assertFalse(credentials.given)

    def test_several_headers_stay_in_order_and_the_query_comes_last(self) -> None:
        headers = [b"Bearer one", b"Negotiate two", basic(b"three:four")]
        self.assertEqual(
            parse_credentials(headers, "five", "").items,
            (
                Bearer("one"),
                Unreadable("negotiate"),
                Password("three", "four"),
                Bearer("five", in_url=True),
            ),
        )

    def test_an_empty_token_in_the_url_is_a_credential(self) -> None:
        credentials = parse_credentials([], "", "")
        self.assertEqual(credentials.items, (Bearer("", in_url=True),))
        self.assertTrue(credentials.given)

    @given(st.lists(HEADERS, max_size=4), st.none() | st.text(max_size=10), st.text(max_size=10))
    def test_nothing_that_is_sent_gets_lost(
        self, headers: list[bytes], token: str | None, address: str
    ) -> None:
        credentials = parse_credentials(headers, token, address)
        single = [parse_credentials([header], None, address).items for header in headers]
        shown = () if token is None else (Bearer(token, in_url=True),)
        self.assertEqual(credentials.items, (*itertools.chain(*single), *shown))
        self.assertTrue(all(single))
        self.assertEqual(credentials.address, address)
