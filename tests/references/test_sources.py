"""What is taken for a git repository, and what is shown of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.references.errors import NoReferences
from giftless.references.sources import parse_source, redacted


class SourceTests(SynchronousTestCase):
    def test_urls_and_hosts_are_left_to_git(self) -> None:
        for url in (
            "https://github.com/acme/rocket.git",
            "http://localhost:3000/acme/rocket",
            "ssh://git@example.com:2222/acme/rocket.git",
            "git@github.com:acme/rocket.git",
            "host:path",
            "git://example.com/rocket.git",
        ):
            source = parse_source(url)
            self.assertEqual((source.url, source.local), (url, None))

    def test_directories_are_known(self) -> None:
        directory = tempfile.mkdtemp(prefix="giftless test ")
        self.addCleanup(Path(directory).rmdir)
        for text in (directory, f"file://{directory.replace(' ', '%20')}"):
            self.assertEqual(parse_source(text).local, Path(directory))
        self.assertEqual(parse_source(".").local, Path.cwd())

    def test_credentials_are_not_shown(self) -> None:
        source = parse_source("https://user:secret@example.com/acme/rocket")
        self.assertEqual(source.name, "https://example.com/acme/rocket")
        self.assertIn("secret", source.url)
        self.assertNotIn("secret", repr(source))
        self.assertEqual(redacted("a https://t0ken@b/c d"), "a https://b/c d")

    def test_options_and_helpers_are_refused(self) -> None:
        for text in (
            "",
            "-",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x:y",
            "git@-oProxyCommand=x:y",
            "ext::sh -c touch% /tmp/x",
            "fd::17",
            "::x",
            "transport::address",
            "ftp://example.com/x",
            "rsync://example.com/x",
            "javascript://x",
            "https://example.com/a\nb",
            "/nowhere/at/all",
            "file:///nowhere/at/all",
            "ext::https://user:secret@example.com",
        ):
            error = self.assertRaises(NoReferences, parse_source, text)
            self.assertNotIn("secret", str(error))
            self.assertNotIn("\n", str(error))
