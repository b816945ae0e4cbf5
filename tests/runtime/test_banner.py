"""What a terminal shows when the daemon has started."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.app.config import DEFAULT_FRONT, AdminOptions, Config, Loaded
from giftless.runtime.banner import Place, banner, server_url
from giftless.runtime.sockets.endpoints import ADMIN, Listening


def place(description: str, host: str, port: int, front: str = DEFAULT_FRONT) -> Place:
    """Make an endpoint with a socket of TCP."""
    return Listening(description, front, "endpoints.0"), (host, port)


PLAIN = place("tcp:8080:interface=127.0.0.1", "127.0.0.1", 8080)
UNIX: Place = (Listening("unix:/run/giftless.sock", DEFAULT_FRONT, "endpoints.1"), None)


def loaded(source: str = "/etc/giftless.yaml", **options: Any) -> Loaded:
    """Return a configuration."""
    return Loaded(Config(**options), source, "")


class URLTests(SynchronousTestCase):
    def test_the_public_url_comes_first(self) -> None:
        options = loaded(public_url="https://lfs.example.org/")
        self.assertEqual(server_url(options, [PLAIN]), "https://lfs.example.org")

    def test_the_first_endpoint_with_an_address_is_the_next(self) -> None:
        other = place("tcp:1", "192.0.2.1", 1, "ssh")
        self.assertEqual(server_url(loaded(), [UNIX, other, PLAIN]), "http://127.0.0.1:8080")

    def test_endpoints_with_tls_are_https(self) -> None:
        secure = place("ssl:443:privateKey=key.pem", "192.0.2.1", 443)
        self.assertEqual(server_url(loaded(), [secure]), "https://192.0.2.1:443")

    def test_addresses_of_ipv6_are_in_brackets(self) -> None:
        self.assertEqual(
            server_url(loaded(), [place("tcp6:8080", "2001:db8::1", 8080)]),
            "http://[2001:db8::1]:8080",
        )

    def test_an_address_that_stands_for_all_is_this_machines(self) -> None:
        for any_address, own in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]")):
            self.assertEqual(
                server_url(loaded(), [place("tcp:8080", any_address, 8080)]), f"http://{own}:8080"
            )

    def test_without_any_address_the_host_is_left_open(self) -> None:
        self.assertEqual(server_url(loaded(), [UNIX]), "http://HOST")


class BannerTests(SynchronousTestCase):
    def lines(self, options: Loaded, *places: Place) -> list[str]:
        """Return the banner's lines that say something."""
        text = banner(options, places or (PLAIN,))
        self.assertTrue(text.endswith("\n"))
        return [line for line in text.splitlines() if line]

    def fact(self, name: str, options: Loaded, *places: Place) -> str:
        """Return what the banner says of something; empty if it does not mention it."""
        found = [line for line in self.lines(options, *places) if line.startswith(f"  {name} ")]
        return found[0].removeprefix(f"  {name}").strip() if found else ""

    def test_the_first_start_fits_on_half_a_screen(self) -> None:
        text = banner(loaded(""), [PLAIN])
        self.assertLessEqual(len(text.splitlines()), 12)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_the_command_stands_alone_on_its_line(self) -> None:
        self.assertIn(
            "  git config -f .lfsconfig lfs.url http://127.0.0.1:8080/ORG/REPO.git/info/lfs",
            self.lines(loaded("")),
        )

    def test_the_command_is_quoted_for_the_shell(self) -> None:
        options = loaded(public_url="https://lfs.example/$(id)")
        self.assertIn(" 'https://lfs.example/$(id)/ORG/REPO.git/info/lfs'", banner(options, []))

    def test_local_objects_are_in_a_directory(self) -> None:
        self.assertEqual(self.fact("Objects", loaded("")), os.path.abspath("giftless-data"))
        options = loaded(storage={"type": "local", "path": "/srv/lfs"})
        self.assertEqual(self.fact("Objects", options), "/srv/lfs")

    def test_other_stores_are_named_without_their_secrets(self) -> None:
        for section, words in (
            ({"type": "s3", "bucket": "big", "secret_key": "hidden"}, "s3 big"),
            ({"type": "azure", "container": "big", "account_key": "hidden"}, "azure big"),
            ({"type": "mirror", "inner": {"type": "local", "path": "/x"}}, "mirror"),
        ):
            self.assertEqual(self.fact("Objects", loaded(storage=section)), words)

    def test_who_has_no_file_is_told_that_everybody_may_write(self) -> None:
        self.assertIn("read and write", self.fact("Access", loaded("")))
        self.assertEqual(self.fact("Access", loaded()), "")

    def test_the_dashboard_has_a_url(self) -> None:
        options = loaded(admin=AdminOptions(endpoints=["tcp:9090"]))
        admin = place("tcp:9090", "127.0.0.1", 9090, ADMIN)
        self.assertEqual(self.fact("Dashboard", options, PLAIN, admin), "http://127.0.0.1:9090/")

    def test_a_dashboard_on_a_socket_of_unix_is_named(self) -> None:
        options = loaded(admin=AdminOptions(endpoints=["unix:/run/admin.sock"]))
        admin: Place = (Listening("unix:/run/admin.sock", ADMIN, "admin.endpoints.0"), None)
        self.assertEqual(self.fact("Dashboard", options, PLAIN, admin), "unix:/run/admin.sock")

    def test_who_has_no_dashboard_is_told_how_to_have_one(self) -> None:
        self.assertIn(
            "GIFTLESS_ADMIN__ENDPOINTS__0=tcp:9090:interface=127.0.0.1",
            self.fact("Dashboard", loaded("")),
        )
        words = self.fact("Dashboard", loaded("giftless.yaml"))
        self.assertIn('admin: {endpoints: ["tcp:9090:interface=127.0.0.1"]}', words)
        self.assertIn("giftless.yaml", words)

    def test_a_path_cannot_drive_the_terminal(self) -> None:
        options = loaded(storage={"type": "local", "path": "/a\x1b[31m\n\u202e\udc80b"})
        self.assertEqual(self.fact("Objects", options), "/a\\x1b[31m\\n\\u202e\\udc80b")
