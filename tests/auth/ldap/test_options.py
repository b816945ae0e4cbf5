"""Options of a directory: what goes together, and what keeps the server from starting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.ldap.options import LDAPOptions, Server, open_to_listeners, servers_of
from giftless.base.schema import convert
from giftless.errors import ConfigError
from tests.auth.ldap.support import build
from tests.support.making import environment

GOOD: dict[str, Any] = {"urls": ["ldap://127.0.0.1"], "user_base": "ou=people,dc=example,dc=com"}


def options_of(**others: Any) -> LDAPOptions:
    return convert({**GOOD, **others}, LDAPOptions, "auth.0")


class URLTests(SynchronousTestCase):
    def servers(self, *urls: str, **others: Any) -> list[Server]:
        return servers_of(options_of(urls=list(urls), **others))

    def test_passwords_are_encrypted_on_their_way_to_other_machines(self) -> None:
        for url, start_tls in (
            ("ldap://ldap.example.com", True),
            ("ldap://192.0.2.1:1389", True),
            ("ldap://[2001:db8::1]", True),
            ("ldap://localhost.example.com", True),
            ("ldap://127.0.0.1:389", False),
            ("ldap://[::1]", False),
            ("ldap://localhost", False),
            ("ldaps://ldap.example.com", False),
            ("ldapi://%2Frun%2Fslapd%2Fldapi", False),
        ):
            (server,) = self.servers(url)
            self.assertEqual(server.start_tls, start_tls, url)
            self.assertEqual(list(open_to_listeners([server])), [])

    def test_plain_text_has_to_be_asked_for(self) -> None:
        servers = self.servers("ldap://ldap.example.com", "ldaps://b", encryption="plaintext")
        self.assertEqual(list(open_to_listeners(servers)), ["ldap://ldap.example.com"])

    def test_this_machine_is_spoken_to_in_tls_if_that_is_asked_for(self) -> None:
        (server,) = self.servers("ldap://localhost", encryption="start_tls")
        self.assertTrue(server.start_tls)

    def test_what_is_no_url_of_a_server_is_refused_and_not_shown(self) -> None:
        for url in (
            "ldap.example.com",
            "http://ldap.example.com",
            "ldap://",
            "ldap://user:secret@host",
            "ldap://host/dc=example",
            "ldap://host?x",
            "ldap://host:0",
            "ldap://host:99999",
            "ldap://one,two",
            f"ldap://{'x' * 64}.example.com",
            "ldap://one ldap://two",
            "ldap://[::1",
        ):
            error = self.assertRaises(ConfigError, self.servers, "ldaps://good", url)
            self.assertEqual(error.path, "urls.1")
            self.assertNotIn(url.removeprefix("ldap://") or "://", error.problem[:40])

    def test_a_directory_has_a_server(self) -> None:
        error = self.assertRaises(ConfigError, self.servers)
        self.assertEqual(error.path, "auth.0.urls")
        self.assertIn("found an empty list, allowed is a list of 1 or more", error.problem)

    def test_a_file_of_authorities_that_is_missing_is_refused(self) -> None:
        error = self.assertRaises(ConfigError, self.servers, "ldaps://a", ca_file="/nowhere/ca")
        self.assertEqual(error.path, "ca_file")


class TogetherTests(SynchronousTestCase):
    """Which options need or exclude each other."""

    def problem(self, **others: Any) -> str:
        error = self.assertRaises(ConfigError, build, {**GOOD, **others}, environment())
        self.assertNotIn("hidden", str(error))
        return error.path

    def test_what_does_not_go_together_is_refused(self) -> None:
        account = {"bind_dn": "cn=reader,dc=example,dc=com", "password": "hidden"}
        build({**GOOD, **account}, environment())
        template = "uid={user},dc=example,dc=com"
        for path, others in (
            ("bind_dn", {"bind_dn": "cn=reader,dc=example,dc=com"}),
            ("bind_dn", {"password": "hidden"}),
            ("bind_dn", {**account, "bind_dn": "reader@example.com"}),
            ("password_file", {**account, "password_file": "/nowhere"}),
            ("user_base", {"user_base": ""}),
            ("user_base", {"user_base": "people"}),
            ("user_filter", {"user_filter": "(uid=*)"}),
            ("bind_template", {"bind_template": template}),
            ("bind_template", {**account, "bind_template": template, "user_base": ""}),
            ("bind_template", {"bind_template": "{user}@example.com", "user_base": ""}),
            ("group_base", {"group_filter": "(member={dn})"}),
            ("group_base", {"group_base": "groups"}),
            ("group_filter", {"group_base": "dc=x", "group_filter": "(member=x)"}),
            ("grants.developers", {"grants": {"developers": {"**": "all"}}}),
        ):
            self.assertEqual(self.problem(**others), path, others)

    def test_nothing_of_the_options_is_shown(self) -> None:
        self.assertEqual(repr(options_of(password="hidden")), "<LDAPOptions>")

    def test_a_file_with_more_than_a_password_is_refused(self) -> None:
        file = Path(self.mktemp())
        for content in (b"", b"\n", b"hidden\nmore\n"):
            file.write_bytes(content)
            path = self.problem(bind_dn="cn=r,dc=x", password_file=str(file))
            self.assertEqual(path, "password_file")
