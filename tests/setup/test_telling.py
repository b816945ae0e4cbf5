"""What is said at the end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.setup.answers import Edge
from giftless.setup.telling import line_for_users, next_steps
from tests.setup.support import Desk

URL = "https://lfs.example.com"


class StepTests(SynchronousTestCase):
    def steps(self, desk: Desk, **given: str) -> str:
        """Run setup, and return what is to be run next."""
        options = {name.replace("_", "-"): value for name, value in given.items()}
        exists = bool(desk.text)
        answers, *_ = desk.ask(options)
        return "\n".join(next_steps(answers, desk.layout, desk.run(**given), exists))

    def test_a_proxy_is_linked_when_it_is_new(self) -> None:
        desk = Desk()
        desk.run(tls="none")
        said = self.steps(desk, tls="proxy", public_url=URL)
        self.assertIn("/etc/nginx/conf.d/giftless.conf", said)
        said = self.steps(desk, proxy="apache", certificate="/c", certificate_key="/k")
        self.assertIn("/etc/apache2/sites-enabled/giftless.conf", said)
        self.assertNotIn("/etc/apache2/sites", self.steps(desk, certificate="/d"))


class LineTests(SynchronousTestCase):
    def test_it_has_the_url_that_clients_reach(self) -> None:
        for edge, url, root in (
            (None, "https://a.example.com/lfs/", "https://a.example.com/lfs"),
            (None, "", "https://HOST"),
            (Edge("proxy", "127.0.0.1:8080"), "", "https://HOST"),
            (Edge("proxy", "127.0.0.1:8080", URL), URL, URL),
            (Edge("none", "127.0.0.1:8080"), "", "http://127.0.0.1:8080"),
            (Edge("files", "[::1]:8443"), "", "https://[::1]:8443"),
        ):
            line = line_for_users(edge, url)
            self.assertIn(f" {root}/ORG/REPO.git/info/lfs", line.replace("'", ""))
