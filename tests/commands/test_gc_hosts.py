"""Which forges ``giftless gc`` asks where a repository is cloned from."""

from __future__ import annotations

from giftless.commands.gc.jobs import Hosts
from giftless.errors import NotFound
from giftless.interfaces import IAuthenticatorFactory, Section
from tests.support.making import part_builder, repo_of
from tests.support.run import CoroutineTestCase


class HostsTests(CoroutineTestCase):
    def setUp(self) -> None:
        parts = part_builder()
        hub: Section = {"type": "github", "orgs": ["*"]}
        lab: Section = {"type": "gitlab", "url": "https://gitlab.example.com", "orgs": ["*"]}
        sections: list[Section] = [
            lab,
            {"type": "anonymous"},
            {"type": "below", "path": "github.com", "auth": [hub, {"type": "anonymous"}]},
            {"type": "below", "path": "empty", "auth": [{"type": "anonymous"}]},
        ]
        for index, section in enumerate(sections):
            parts.build(IAuthenticatorFactory, section, f"auth.{index}")
        self.hosts = Hosts(parts.built)

    def clone_urls(self, path: str) -> list[str | None]:
        hosts, name = self.hosts.of(repo_of(path))
        return [self.run_now(host.clone_url(name, "")) for host in hosts]

    def test_only_the_forge_of_the_path_is_asked(self) -> None:
        """GitLab has groups as deep as the path, and could be asked for any."""
        for path, urls in (
            ("github.com/acme/rocket", ["https://github.com/acme/rocket.git"]),
            ("acme/rocket", ["https://gitlab.example.com/acme/rocket.git"]),
            ("acme/tools/rocket", ["https://gitlab.example.com/acme/tools/rocket.git"]),
            ("github.com/acme/tools/rocket", [None]),
            ("empty/acme/rocket", []),
        ):
            self.assertEqual(self.clone_urls(path), urls)

    def test_another_spelling_is_on_no_forge(self) -> None:
        self.assertRaises(NotFound, self.hosts.of, repo_of("GitHub.com/acme/rocket"))

    def test_there_may_be_none(self) -> None:
        self.assertTrue(self.hosts)
        self.assertFalse(Hosts({}))
