"""The image: its recipe, and what is configured in it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from giftless import __version__
from giftless.app.config import Config
from giftless.cli import COMMANDS
from giftless.interfaces import IAuthenticatorFactory, ILockStoreFactory, IStorageFactory
from tests.containers.configuring import IMAGE_CONFIG, SECRET, configured, options
from tests.docs.pages import ROOT
from tests.support.servers import find_command

DOCKERFILE = ROOT / "Dockerfile"

#: What a wheel is built of.
NEEDED = (
    *("LICENSE", "MANIFEST.in", "README.rst", "pyproject.toml", "setup.py"),
    *("giftless", "twisted", "etc/giftless.yaml", "systemd"),
)

#: The libraries of the image and of the Debian package.
REQUIREMENTS = "etc/requirements.txt"


def instructions(name: str) -> list[str]:
    """Return the arguments of an instruction of the recipe, wherever it stands."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return re.findall(rf"^{name} (.*)$", text.replace("\\\n", ""), re.MULTILINE)


class RecipeTests(SynchronousTestCase):
    def test_hadolint_finds_nothing(self) -> None:
        command = find_command("hadolint")
        found = subprocess.run([command, DOCKERFILE], capture_output=True, text=True, check=False)
        self.assertEqual((found.returncode, found.stdout), (0, ""))

    def test_image_and_chart_have_the_version_of_the_package(self) -> None:
        chart = yaml.safe_load((ROOT / "etc/helm/giftless/Chart.yaml").read_text())
        self.assertEqual(instructions("ARG")[0], f"VERSION={__version__}")
        self.assertEqual((chart["version"], chart["appVersion"]), (__version__, __version__))

    def test_all_that_a_wheel_is_built_of_reaches_the_builder(self) -> None:
        """Without MANIFEST.in, no schema of a database is in the wheel."""
        first, *rules = [
            line
            for line in (ROOT / ".dockerignore").read_text().splitlines()
            if line and not line.startswith("#")
        ]
        self.assertEqual(first, "*")
        for name in (*NEEDED, REQUIREMENTS, str(IMAGE_CONFIG.relative_to(ROOT))):
            self.assertIn(f"!{name}", rules)
        for rule in rules:
            if rule.startswith("!"):
                self.assertTrue((ROOT / rule[1:]).exists(), rule)

    def test_libraries_are_those_of_the_debian_package(self) -> None:
        """Each with its digest; giftless itself brings no others."""
        libraries, itself = [run for run in instructions("RUN") if "pip install" in run]
        package = (ROOT / ".ci" / "deb").read_text()
        options = "--require-hashes --only-binary :all: --no-binary python-ldap"
        for recipe in (libraries, package.replace("\\\n", "")):
            self.assertIn(options, " ".join(recipe.split()))
            self.assertIn(REQUIREMENTS, recipe)
        self.assertIn(" --no-deps .", itself)

    def test_nobody_is_root(self) -> None:
        (user,) = instructions("USER")
        self.assertRegex(user, r"^[1-9]\d{3,}:[1-9]\d{3,}$")
        (made,) = [run for run in instructions("RUN") if "useradd" in run]
        uid, gid = user.split(":")
        self.assertIn(f"useradd --uid {uid} --gid {gid} ", " ".join(made.split()))

    def test_variables_of_the_image_override_no_file(self) -> None:
        names = re.findall(r"GIFTLESS_\w+", " ".join(instructions("ENV")))
        self.assertEqual(names, ["GIFTLESS_CONFIG"])

    def test_the_health_check_is_a_command(self) -> None:
        (check,) = instructions("HEALTHCHECK")
        program, name = json.loads(check.partition("CMD ")[2])
        self.assertEqual(program, "giftless")
        self.assertIn(name, [command for command, _, _ in COMMANDS])

    def test_signals_reach_the_daemon(self) -> None:
        """There is no shell in between, but what passes signals on."""
        (entry,) = instructions("ENTRYPOINT")
        self.assertEqual(json.loads(entry)[:3], ["tini", "--", "twistd"])
        self.assertEqual(shlex.split(instructions("STOPSIGNAL")[0]), ["SIGTERM"])


class ConfigurationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def load(self, **environ: str) -> Config:
        """Load what is configured in the image, with variables."""
        variables = {f"GIFTLESS_{name}": value for name, value in environ.items()}
        return configured(IMAGE_CONFIG.read_text(), variables, self.directory)

    def test_without_variables_everybody_may_read(self) -> None:
        config = self.load()
        self.assertEqual(config.auth, [{"type": "anonymous", "access": "read"}])
        self.assertEqual((config.workers, config.log_format), ("auto", "json"))

    def test_only_the_volume_is_written(self) -> None:
        config = self.load()
        (volume,) = instructions("VOLUME")
        for path in (config.state_dir, config.storage["path"]):
            self.assertTrue(path.startswith(f"{volume}/"), path)

    def test_clients_connect_from_outside_and_operators_do_not(self) -> None:
        config = self.load()
        (port,) = instructions("EXPOSE")
        self.assertEqual(config.endpoints, [f"tcp:{port}:interface=\\:\\:"])
        self.assertEqual(config.admin.endpoints, ["tcp:9090:interface=127.0.0.1"])

    def test_variables_alone_lead_to_a_bucket_a_database_and_a_forge(self) -> None:
        config = self.load(
            SECRET_FILE="/run/secrets/giftless",
            STORAGE__TYPE="s3",
            STORAGE__BUCKET="lfs",
            STORAGE__ACCESS_KEY_ID="id",
            STORAGE__SECRET_ACCESS_KEY_FILE="/run/secrets/store",
            LOCKS__TYPE="postgresql",
            LOCKS__CONNINFO_FILE="/run/secrets/conninfo",
            CATALOGUE__TYPE="postgresql",
            CATALOGUE__CONNINFO_FILE="/run/secrets/conninfo",
            AUTH__0__TYPE="github",
            AUTH__0__ORGS="[acme]",
        )
        storage: Any = options(IStorageFactory, config.storage)
        self.assertEqual((storage.bucket, storage.secret_access_key), ("lfs", SECRET))
        self.assertEqual(options(ILockStoreFactory, config.locks).conninfo, SECRET)
        self.assertEqual(options(IAuthenticatorFactory, config.auth[0]).orgs, ["acme"])
