"""What people type, and what is refused of it."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.setup import values
from giftless.setup.proxies import check_path

FORMS = (
    values.Text(),
    values.Path(),
    values.ServicePath(),
    values.URL(),
    values.PublicURL(),
    values.Names(),
    values.LDAPServers(),
    values.Grants(),
    values.Listen(),
    values.Address(),
    values.Workers(),
    values.Choice("yes", "no"),
    values.Choices("a", "b"),
)

#: Text that something could obey.
_TYPED = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            ["https://", "a", ".", ":", "/", "=", ",", "*", "1", "\n", "\x1b", "[", "]"]
        ),
        max_size=12,
    ).map("".join),
)


class ValueTests(SynchronousTestCase):
    @given(st.sampled_from(FORMS), _TYPED)
    def test_what_is_taken_can_be_shown_and_typed_again(
        self, form: values.Form, typed: str
    ) -> None:
        with contextlib.suppress(ValueError):
            value = form.parse(typed)
            self.assertEqual(form.parse(form.show(value)), value)

    def test_what_would_be_obeyed_is_refused(self) -> None:
        for form, texts in (
            (values.Text(), ("a\nb", "\x1b[0m", "\u202e", "\ud800", "x" * 2001)),
            (values.Path(), ("/a\nb", "/a\x00")),
            (
                values.PublicURL(),
                (
                    *("https://a;b", "https://a/{", "https://a/$x", "https://a b", "ftp://a"),
                    *("https://u@a", "https://a?x", "https://a/../b", "//a", "https://a:0"),
                    *("https://a:99999", "https://a/%2f", "https://[::1;]", 'https://a/"'),
                ),
            ),
            (values.Listen(), ("0", "65536", "a:1", "1.2.3.4.5:80", "[::g]:1", ":80", "\u0661")),
            (values.Address(), ("a", "10.0.0.0/33", "unix")),
            (values.Workers(), ("0", "1001", "-1", "two", "\u0661", "1" * 5000)),
            (values.Grants(), ("a", "a=b", "=*:write", "a=*:all", "a=//:read", "a=:read")),
            (values.LDAPServers(), ("http://a", "ldap://", "ldap://a b", "ldap://u@a")),
            (values.Password(), ("é" * 37, "a\nb")),
            (values.ServicePath(), ("/home/lfs", "/tmp/../root/x", "/run/lfs", "/tmp")),
        ):
            for text in texts:
                with self.assertRaises(ValueError, msg=text):
                    form.parse(text)

    def test_no_path_is_taken_that_a_proxy_would_obey(self) -> None:
        check_path("/etc/ssl/a b\"'c;#.pem")
        for char in "$%{}\\`*?[]":
            self.assertRaises(ValueError, check_path, f"/etc/{char}.pem")
