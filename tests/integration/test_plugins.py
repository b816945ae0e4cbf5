"""Plugin files of third parties in an installed giftless, and pushes through them."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import venv
from contextlib import closing
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from tests.integration.support import Daemon, IntegrationTestCase, oid_of
from tests.support.commands import start_twistd
from tests.support.processes import ENDED, PATIENCE, Installation, base_environ

ROOT = Path(__file__).parents[2]

PASSWORD = "a password for all of us"

#: The files in ``examples/``.
EXAMPLES = {
    "byte_counter",
    "checked_uploads",
    "lru_cache",
    "masked_storage",
    "shared_password",
    "sqlite_keyring",
    "sqlite_storage",
    "transit_keys",
}

#: A key of SSH, as files of keys have it.
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJzOSf0gMl4WHNP9dQDbJW3nB8TX6OcTLcFHbGbX8lG7"

#: Runs the command that is installed.
COMMAND = "from giftless.cli import main; main()"

#: A plugin file that has a mistake.
BROKEN = "import a_module_that_nobody_has\n"

#: A plugin file whose plugin lacks what its interface demands.
INCOMPLETE = """
from giftless.interfaces import IStorageFactory
from zope.interface import implementer

@implementer(IStorageFactory)
class Unfinished:
    name = "unfinished"

unfinished = Unfinished()
"""


@functools.cache
def install() -> Path:
    """Put the giftless that is installed here into a new virtual environment, once.

    Everything else it takes from the Python that runs the tests.

    :returns: the environment.
    """
    directory = Path(tempfile.mkdtemp(prefix="giftless-test-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    environment = directory / "venv"
    venv.create(environment, symlinks=True)
    site = site_packages(environment)
    parents = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "parent.pth").write_text("\n".join(parents) + "\n")
    # What pip has noted that it installed, but for scripts, which name their Python.
    for path in distribution("giftless").files or ():
        if ".." not in path.parts:
            target = site / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path.locate(), target)
    # What is run is what was installed, whatever else is on this machine.
    found = subprocess.run(
        [environment / "bin" / "python", "-c", "import giftless; print(giftless.__file__)"],
        cwd="/",
        env=own_environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    if Path(found.stdout.strip()).parent.parent != site:
        raise AssertionError(f"another giftless is found: {found.stdout}")
    return environment


def own_environ() -> dict[str, str]:
    """Return the environment of an installation that has a giftless of its own."""
    return {name: text for name, text in base_environ().items() if name != "PYTHONPATH"}


def site_packages(environment: Path) -> Path:
    """Return where a virtual environment's packages are."""
    places = {"base": str(environment), "platbase": str(environment)}
    return Path(sysconfig.get_path("purelib", "venv", places))


class PluginTests(IntegrationTestCase):
    """Drop-ins, in both places."""

    def setUp(self) -> None:
        """Use the installation, in which tests leave no file of theirs."""
        super().setUp()
        environment = install()
        self.site = site_packages(environment)
        self.installation = Installation(str(environment / "bin" / "python"), own_environ())

    @property
    def installed_folder(self) -> Path:
        """The plugin folder of the installed package."""
        return self.site / "twisted" / "plugins"

    def drop_in(self, folder: Path, **files: str) -> None:
        """Write plugin files, to be removed after the test."""
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            path = folder / f"{name}.py"
            path.write_text(text)
            self.addCleanup(path.unlink)

    def drop_in_examples(self, folder: Path) -> None:
        """Copy the examples."""
        examples = {path.stem: path.read_text() for path in (ROOT / "examples").glob("*.py")}
        self.assertEqual(set(examples), EXAMPLES)
        self.drop_in(folder, **examples)

    def start_installed(
        self, forked: bool = True, environ: dict[str, str] | None = None, **config: Any
    ) -> Daemon:
        """Start the installed daemon.

        :param forked: whether its parent may be forked from its Python.
        """
        return self.start_daemon(
            installation=self.installation,
            environ=environ or {},
            config=config,
            forked=forked,
        )

    def assert_examples_serve(self, **config: Any) -> None:
        """Push and clone through the examples."""
        database = self.directory / "objects.sqlite"
        daemon = self.start_installed(
            storage={"type": "sqlite", "path": str(database)},
            auth=[
                {"type": "shared-password", "user": "team"},
                {"type": "anonymous", "access": "read"},
            ],
            environ={"GIFTLESS_AUTH__0__PASSWORD": PASSWORD},
            **config,
        )
        git = self.make_git()
        repo = git.create(self.directory / "work", f"{daemon.url}/acme/rocket.git/info/lfs")
        files = {"one.bin": b"1", "three.bin": os.urandom(3 * 1024 * 1024)}
        repo.commit(files)
        # Nobody in particular may not push.
        refused = repo.try_push()
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(daemon.get(oid_of(b"1"), "acme/rocket").status, 404)

        store = git.home / "credentials"
        repo.git("config", "credential.helper", f"store --file={store}")
        store.write_text(f"http://team:wrong-password@127.0.0.1:{daemon.port}\n")
        self.assertNotEqual(repo.try_push().returncode, 0)
        password = PASSWORD.replace(" ", "%20")
        store.write_text(f"http://team:{password}@127.0.0.1:{daemon.port}\n")
        repo.push()

        # Everybody may read.
        clone = repo.clone(self.directory / "clone")
        for name, data in files.items():
            self.assertEqual(clone.read(name), data)
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT path, size FROM objects").fetchall()
        expected = [(f"acme/rocket/{oid_of(data)}", len(data)) for data in files.values()]
        self.assertEqual(sorted(rows), sorted(expected))
        self.assertEqual(daemon.stop(), ENDED)
        self.assertIn(" team PUT ", daemon.stdout)
        self.assertNotIn(PASSWORD, daemon.stdout + daemon.stderr)
        self.assertNotIn("Traceback", daemon.stdout + daemon.stderr)

    def test_plugins_serve_from_an_installed_folder(self) -> None:
        """The examples serve from the ``twisted/plugins/`` of an installed giftless."""
        self.drop_in_examples(self.installed_folder)
        self.assert_examples_serve(forked=False)

    def test_plugins_serve_from_the_plugin_path(self) -> None:
        """They serve from a directory that ``plugin_path`` names."""
        folder = self.directory / "plugins"
        self.drop_in_examples(folder)
        self.assert_examples_serve(plugin_path=[str(folder)])

    def test_wrappers_an_observer_and_a_transfer_serve_git(self) -> None:
        """The other examples, one around the other, with real git on top."""
        folder, kept, cache, counts = (self.directory / name for name in "pkco")
        self.drop_in_examples(folder)
        daemon = self.start_installed(
            plugin_path=[str(folder)],
            storage={
                "type": "lru-cache",
                "path": str(cache),
                "store": {"type": "masked", "store": {"type": "local", "path": str(kept)}},
            },
            observers=[{"type": "byte-counter", "path": str(counts)}],
            transfers=["checked-uploads"],
        )
        git = self.make_git()
        url = f"{daemon.url}/acme/rocket.git/info/lfs"
        repo = git.create(self.directory / "work", url)
        files = {"one.bin": b"1", "three.bin": os.urandom(3 * 1024 * 1024)}
        repo.commit(files)
        repo.push()
        for data in files.values():
            stored = (kept / "acme" / "rocket" / oid_of(data)).read_bytes()
            self.assertEqual(len(stored), len(data) + 16)
            self.assertNotIn(data * 40 if len(data) == 1 else data[:64], stored)
        for number in (1, 2):
            clone = repo.clone(self.directory / f"clone{number}")
            for name, data in files.items():
                self.assertEqual(clone.read(name), data)
        self.assertEqual(set(os.listdir(cache)), {oid_of(data) for data in files.values()})

        # To try it again would take half a minute.
        repo.git("config", "lfs.transfer.maxretries", "1")
        program = b"\x7fELF" + bytes(100_000)
        repo.commit({"program.bin": program})
        refused = repo.try_push()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("this server keeps no programs", refused.stdout + refused.stderr)
        self.assertFalse((kept / "acme" / "rocket" / oid_of(program)).exists())

        self.assertEqual(daemon.stop(), ENDED)
        self.assertNotIn("Traceback", daemon.stdout + daemon.stderr)
        self.assertIn(" PUT /acme/rocket.git/info/lfs/objects/checked/", daemon.stdout)
        (file,) = counts.glob("*.json")
        size = sum(map(len, files.values()))
        self.assertEqual(
            json.loads(file.read_text()), {"acme/rocket": {"stored": size, "served": 2 * size}}
        )

    def test_unknown_without_the_files(self) -> None:
        """Without the files their types do not exist."""
        config = {"storage": {"type": "sqlite", "path": "x"}}
        daemon = self.make_daemon(installation=self.installation, config=config)
        error = self.assertRaises(AssertionError, daemon.start)
        _, found, available = str(error).partition("storage.type: found text, available: ")
        self.assertTrue(found, error)
        self.assertIn("local", available.splitlines()[0])
        self.assertNotIn("sqlite", available.splitlines()[0])

    def assert_rest_serves(self, folder: Path, **config: Any) -> None:
        """Check that bad plugin files are named in the log, and the rest serves."""
        self.drop_in(folder, broken_drop_in=BROKEN, incomplete_drop_in=INCOMPLETE)
        daemon = self.start_installed(**config)
        self.assertEqual(daemon.put(b"served"), 200)
        self.assertEqual(daemon.get(oid_of(b"served")).body, b"served")
        self.assertEqual(daemon.stop(), ENDED)
        log = daemon.stdout
        self.assertIn(f"plugin file {folder / 'broken_drop_in.py'} could not be imported", log)
        self.assertIn("No module named 'a_module_that_nobody_has'", log)
        # Only the check imports the code of plugins that nobody chose.
        with open(os.devnull, "w") as stdout, tempfile.TemporaryFile("w+") as file:
            check = start_twistd(
                self.installation,
                ["giftless", "--check", "--config", str(daemon.write_config())],
                daemon.directory,
                self.installation.environ,
                stdout.fileno(),
                file.fileno(),
            )
            status = check.wait(PATIENCE)
            file.seek(0)
            stderr = file.read()
        self.assertEqual(status, 0, stderr)
        self.assertRegex(
            stderr, "(?m)^giftless: plugin 'unfinished' cannot be used: .*(Options|build)"
        )

    def test_bad_files_in_the_installed_folder(self) -> None:
        """Bad files in the installed folder are named, and the rest serves."""
        self.assert_rest_serves(self.installed_folder)

    def test_bad_files_in_plugin_path(self) -> None:
        """Bad files in ``plugin_path`` are named, and the rest serves."""
        folder = self.directory / "plugins"
        self.assert_rest_serves(folder, plugin_path=[str(folder)])

    def test_good_beside_bad(self) -> None:
        """Good plugins in a folder with bad ones serve."""
        folder = self.directory / "plugins"
        self.drop_in_examples(folder)
        self.drop_in(folder, broken_drop_in=BROKEN, incomplete_drop_in=INCOMPLETE)
        database = str(self.directory / "objects.sqlite")
        daemon = self.start_installed(
            storage={"type": "sqlite", "path": database}, plugin_path=[str(folder)]
        )
        self.assertEqual(daemon.put(b"served"), 200)
        self.assertEqual(daemon.get(oid_of(b"served")).body, b"served")

    def test_a_keyring_tells_sshd_whose_a_key_is(self) -> None:
        folder = self.directory / "plugins"
        self.drop_in_examples(folder)
        keys, socket = self.directory / "keys.db", self.directory / "ssh.sock"
        with closing(sqlite3.connect(keys)) as database, database:
            database.execute("CREATE TABLE keys (line TEXT PRIMARY KEY, user TEXT NOT NULL)")
            database.execute("INSERT INTO keys VALUES (?, 'alice')", (KEY,))
        (self.directory / "access.yaml").write_text("alice: {org/*: write}\n")
        self.start_installed(
            auth=[{"type": "basic", "access": str(self.directory / "access.yaml")}],
            ssh={"socket": str(socket), "keys": [{"type": "sqlite", "path": str(keys)}]},
            plugin_path=[str(folder)],
        )
        told = subprocess.run(
            [self.installation.python, "-c", COMMAND, "ssh-keys", "--socket", str(socket)],
            env=self.installation.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertRegex(told.stdout, f'^restrict,command=".* alice" {re.escape(KEY)}$')

    def test_two_of_one_name(self) -> None:
        """Two plugins of one name end the start with one line."""
        folder = self.directory / "plugins"
        text = (ROOT / "examples" / "sqlite_storage.py").read_text()
        self.drop_in(folder, one=text, two=text)
        daemon = self.make_daemon(
            installation=self.installation,
            config={
                "plugin_path": [str(folder)],
                "storage": {"type": "sqlite", "path": "objects.sqlite"},
            },
        )
        self.assertRaises(AssertionError, daemon.start)
        self.assertEqual(daemon.stderr.count("\n"), 1, daemon.stderr)
        self.assertIn("'sqlite'", daemon.stderr)
        self.assertEqual(daemon.wait(), 1)
