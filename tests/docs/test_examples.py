"""Every configuration that the documentation shows passes ``--check``."""

from __future__ import annotations

import re
import shutil
import subprocess

from tests.docs.pages import ROOT, Directive, code, pages
from tests.integration.support import IntegrationTestCase
from tests.support.certificates import make_certificate
from tests.support.commands import run_command

#: Marks a block of YAML that is only part of a configuration.
FRAGMENT = "fragment"


def configurations() -> list[Directive]:
    """Return all whole configurations that are shown."""
    blocks = [block for page in pages() for block in code(page, "yaml")]
    return [block for block in blocks if FRAGMENT not in block.classes]


class ConfigurationTests(IntegrationTestCase):
    """The daemon accepts what the pages show."""

    def setUp(self) -> None:
        """Make what the configurations speak of, below a directory that stands for ``/``."""
        super().setUp()
        etc = self.directory / "etc" / "giftless"
        etc.mkdir(parents=True)
        for name in ("run/giftless", "var/lib/giftless", "srv"):
            (self.directory / name).mkdir(parents=True)
        shutil.copytree(ROOT / "examples", etc / "plugins")
        pem = make_certificate()
        for name in ("tls.pem", "tls.key"):
            (etc / name).write_bytes(pem)
        for name in ("forge-token", "oidc.secret"):
            (etc / name).write_text("0123456789abcdef")
        (etc / "jwt.key").write_text("0123456789abcdef" * 4)
        (etc / "htpasswd").write_text("")
        for name in ("authorized_keys", "user_ca.pub", "revoked"):
            (etc / name).write_text("")
        for name in ("access.yaml", "gitolite.yaml"):
            (etc / name).write_text('"*":\n  public/**: read\n')

    def check(self, block: Directive) -> subprocess.CompletedProcess[str]:
        """Run ``--check`` on a configuration, with all absolute paths moved."""
        moved = re.sub(r"(?<![\w.])/(?=(?:etc|run|srv|var)/)", f"{self.directory}/", block.content)
        path = self.directory / "giftless.yaml"
        # Not every machine has a user called git.
        path.write_text(moved.replace("trusted: [git]", "trusted: [root]"))
        return run_command(
            *("twistd", "--pidfile=", "giftless", "--config", str(path), "--check"),
            directory=self.directory,
        )

    def test_every_configuration_passes_the_check(self) -> None:
        """``twistd giftless --check`` finds no fault, and no plugin that is broken."""
        blocks = configurations()
        self.assertGreater(len(blocks), 5)
        for block in blocks:
            result = self.check(block)
            self.assertEqual(result.returncode, 0, f"{block.where}: {result.stderr}")
            self.assertIn("the configuration is fine", result.stdout)
            self.assertNotIn("left out", result.stdout + result.stderr, block.where)

    def test_faults_are_found(self) -> None:
        """The same check fails for a configuration with a fault."""
        block = Directive("here", "yaml", {}, "endpointz: []")
        self.assertEqual(self.check(block).returncode, 1)
