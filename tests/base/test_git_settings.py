"""What git's configuration says about connections."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from giftless.base import git_settings
from giftless.base.git_settings import Settings, parse_settings, settings_for
from tests.support.repository import RepositoryTestCase


class ParseTests(SynchronousTestCase):
    def test_no_settings_mean_the_defaults(self) -> None:
        """Without settings everything is as it should be by default."""
        self.assertEqual(parse_settings("", {}), Settings())

    def test_names_may_be_written_in_any_case(self) -> None:
        """Settings are read; names may be written in any way."""
        printed = (
            "http.sslcainfo\n/ca.pem\0http.sslcapath\n~/ca\0http.sslcert\n/c.pem\0"
            "http.sslkey\n/k.pem\0http.proxy\nhttp://p:1\0http.postbuffer\n7\0"
        )
        self.assertEqual(
            parse_settings(printed, {}),
            Settings(True, "/ca.pem", os.path.expanduser("~/ca"), "/c.pem", "/k.pem", "http://p:1"),
        )

    def test_only_a_plain_no_disables_verification(self) -> None:
        """Only a plain no turns verification off."""
        for printed, environ, verify in (
            ("http.sslverify\nfalse\0", {}, False),
            ("http.sslverify\n0\0", {}, False),
            ("http.sslverify\nNo\0", {}, False),
            ("http.sslverify\0", {}, True),
            ("http.sslverify\ntrue\0", {}, True),
            ("", {"GIT_SSL_NO_VERIFY": "true"}, False),
            ("", {"GIT_SSL_NO_VERIFY": "1"}, False),
            ("", {"GIT_SSL_NO_VERIFY": "false"}, True),
            ("", {"GIT_SSL_NO_VERIFY": ""}, True),
        ):
            self.assertEqual(parse_settings(printed, environ).verify, verify, (printed, environ))

    def test_variables_come_first(self) -> None:
        """git's variables count more than its configuration."""
        settings = parse_settings("http.sslcainfo\n/a.pem\0", {"GIT_SSL_CAINFO": "/b.pem"})
        self.assertEqual(settings.ca_file, "/b.pem")

    def test_an_empty_proxy_is_no_proxy(self) -> None:
        """An empty proxy is none, whatever the environment says."""
        self.assertEqual(parse_settings("http.proxy\n\0", {}).proxy, "")


class RepositoryTests(RepositoryTestCase):
    """git itself is asked."""

    def test_the_settings_of_the_url_count(self) -> None:
        """The settings of the server's URL count."""
        self.git("config", "http.proxy", "http://all:1")
        self.git("config", "http.https://lfs.example.proxy", "http://one:1")
        self.git("config", "http.https://lfs.example.sslVerify", "false")
        settings = settings_for("https://lfs.example/p", {})
        self.assertEqual((settings.proxy, settings.verify), ("http://one:1", False))
        settings = settings_for("https://other.example/p", {})
        self.assertEqual((settings.proxy, settings.verify), ("http://all:1", True))

    def test_a_machine_without_git_has_no_settings(self) -> None:
        """Without git there are no settings."""
        self.patch(git_settings, "run_git", lambda *_, **__: None)
        self.assertEqual(settings_for("https://h", {}), Settings())
