"""Which server has a repository."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.addresses import parse_networks
from giftless.errors import ConfigError, NotFound
from giftless.interfaces import Bearer, Password
from giftless.storage.mirror.upstreams import UpstreamOptions, Upstreams, authorization
from tests.support.making import repo_of


def upstreams(*options: UpstreamOptions) -> Upstreams:
    """Make the servers of some options."""
    nobody: Any = None
    return Upstreams([(each.checked(), nobody) for each in options])


class UpstreamTests(SynchronousTestCase):
    def test_the_longest_prefix_decides(self) -> None:
        found = upstreams(
            UpstreamOptions(url="https://all.example/"),
            UpstreamOptions(url="https://hub.example", prefix="/hub/"),
            UpstreamOptions(url="https://deep.example/x", prefix="hub/acme", path="lfs/{repo}"),
        )
        for path, api in (
            ("a/b", "https://all.example/a/b.git/info/lfs"),
            ("hub/a/b", "https://hub.example/a/b.git/info/lfs"),
            ("hub/acme", "https://hub.example/acme.git/info/lfs"),
            ("hub/acme/b", "https://deep.example/x/lfs/b"),
            ("hubble/b", "https://all.example/hubble/b.git/info/lfs"),
            ("hub/a/b?c=d#e", "https://hub.example/a/b%3Fc%3Dd%23e.git/info/lfs"),
            ("hub/a/{repo}", "https://hub.example/a/%7Brepo%7D.git/info/lfs"),
            ("hub/é/%2e%2e", "https://hub.example/%C3%A9/%252e%252e.git/info/lfs"),
        ):
            self.assertEqual(found.find(repo_of(path)).api, api)

    def test_a_repository_of_nobody_is_not_found(self) -> None:
        found = upstreams(UpstreamOptions(url="https://hub.example", prefix="hub"))
        for path in ("a/b", "hub"):
            self.assertRaises(NotFound, found.find, repo_of(path))

    def test_options_that_cannot_work_are_refused(self) -> None:
        for path, options in (
            ("url", UpstreamOptions(url="ftp://x")),
            ("url", UpstreamOptions(url="https://user:word@x")),
            ("path", UpstreamOptions(url="https://x", path="no/place")),
            ("path", UpstreamOptions(url="https://x", path="{repo}/{other}")),
            ("path", UpstreamOptions(url="https://x", path="{repo}?a=b")),
            ("prefix", UpstreamOptions(url="https://x", prefix="a/../b")),
            ("networks.0", UpstreamOptions(url="https://x", networks=["nowhere"])),
        ):
            with self.assertRaises(ConfigError) as caught:
                parse_networks("networks", options.checked().networks)
            self.assertEqual(caught.exception.path, path)
        same = UpstreamOptions(url="https://x", prefix="a")
        with self.assertRaises(ConfigError) as caught:
            upstreams(same, UpstreamOptions(url="https://y", prefix="a/"))
        self.assertEqual(caught.exception.path, "upstreams.1.prefix")

    def test_credentials_are_shown_as_they_were_sent(self) -> None:
        self.assertEqual(authorization(None), {})
        self.assertEqual(authorization(Bearer("t")), {"Authorization": "Bearer t"})
        self.assertEqual(authorization(Password("é", "a:b")), {"Authorization": "Basic w6k6YTpi"})
