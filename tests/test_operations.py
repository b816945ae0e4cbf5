"""What operators install: the commented configuration and the units of systemd."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from giftless.app import plugins
from giftless.app.config import Config
from giftless.app.cpus import number_of_workers
from giftless.base.units import Duration, Share, Size
from giftless.interfaces import (
    IAuthenticatorFactory,
    IBuilder,
    ICatalogueFactory,
    IKeyringFactory,
    ILockStoreFactory,
    IObserverFactory,
    IStorageFactory,
)
from giftless.runtime.plans import PATIENCE as DAEMON_PATIENCE
from giftless.runtime.supervision.process import HEARTBEAT, SILENT
from giftless.usecases.locks import LockPolicy
from tests import run
from tests.support import order
from tests.support.ports import free_port
from tests.support.processes import PATIENCE

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "etc" / "giftless.yaml"
UNITS = ROOT / "systemd"

TWISTD = [
    sys.executable,
    "-c",
    "from twisted.scripts.twistd import run; run()",
    "--nodaemon",
    "--pidfile=",
    "giftless",
]

#: Runs a program as systemd does: the socket is descriptor 3, LISTEN_PID its own.
AS_SYSTEMD = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
    " os.execv(sys.argv[2], sys.argv[2:])"
)

#: What the installed file sets otherwise than the code's defaults.
INSTALLED = {
    "state_dir": "/var/lib/giftless/state",
    "storage": "/var/lib/giftless/objects",
}


def environment(**overrides: str) -> dict[str, str]:
    """Return an environment for a daemon: this one, and ``overrides`` of giftless's own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIFTLESS_")}
    paths = [str(Path(plugins.__file__).parent.parent), *sys.path]
    return {**own, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **overrides}


def uncommented() -> dict[str, list[Any]]:
    """Read the example with every ``#key: value`` switched on.

    :returns: for each key what it may be, the first one being what it is.
    """
    text = re.sub(r"(?m)^( *)#(?=- |[a-z_0-9]+:)", r"\1", EXAMPLE.read_text())
    document: dict[str, list[Any]] = {}
    for part in re.split(r"(?m)^(?=[a-z])", text):
        for key, value in (yaml.safe_load(part) or {}).items():
            document.setdefault(key, []).append(value)
    return document


def built_in(interface: type[IBuilder]) -> dict[str, type[msgspec.Struct]]:
    """Return the options of giftless's own plugins of a kind, by name."""
    return {
        name: factory.Options
        for name, factory in plugins.find(interface).items()
        if factory.Options.__module__.startswith("giftless.")
    }


def defaults(struct: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    """Yield the keys of an options class with their defaults, ``NODEFAULT`` if needed."""
    for field in msgspec.structs.fields(struct):
        if field.default_factory is not msgspec.NODEFAULT:
            yield field.encode_name, field.default_factory()
        else:
            yield field.encode_name, field.default


class ExampleConfigurationTests(SynchronousTestCase):
    """``etc/giftless.yaml`` against the code."""

    def assert_complete(self, section: dict[str, Any], struct: type[msgspec.Struct]) -> None:
        """Fail unless a section has every key of ``struct``, no other, and the defaults."""
        expected = dict(defaults(struct))
        self.assertEqual(sorted(section), sorted(expected), struct.__name__)
        for key, default in expected.items():
            if isinstance(default, msgspec.Struct):
                self.assert_complete(section[key], type(default))
            elif default is not msgspec.NODEFAULT:
                found = section[key]
                if isinstance(default, Duration | Size | Share):
                    found = type(default).of(found)
                self.assertEqual(found, default, f"{struct.__name__}: {key}")

    def test_top_level_keys(self) -> None:
        """Every key is there with its default, but for paths and plugins."""
        document = {key: values[0] for key, values in uncommented().items()}
        self.assertEqual(document["state_dir"], INSTALLED["state_dir"])
        plain = dict(defaults(Config))
        for key in ("state_dir", "storage", "auth", "locks", "catalogue", "observers"):
            self.assertIn(key, document)
            document[key] = plain[key]
        document["ssh"]["keys"] = plain["ssh"].keys
        self.assert_complete(document, Config)

    def test_every_store_is_in_the_example(self) -> None:
        """Every built-in store is there with every option of it, local as installed."""
        sections = {section.pop("type"): section for section in uncommented()["storage"]}
        own = built_in(IStorageFactory)
        self.assertEqual(next(iter(sections)), "local")
        self.assertEqual(sections["local"]["path"], INSTALLED["storage"])
        sections["local"]["path"] = dict(defaults(own["local"]))["path"]
        self.assertEqual(sorted(sections), sorted(own))
        for name, options in own.items():
            self.assert_complete(sections[name], options)

    def test_every_observer_is_in_the_example(self) -> None:
        """Every built-in observer is there with every option of it."""
        sections = {section.pop("type"): section for section in uncommented()["observers"][0]}
        own = built_in(IObserverFactory)
        self.assertEqual(sorted(sections), sorted(own))
        for name, options in own.items():
            self.assert_complete(sections[name], options)

    def test_every_lock_store_is_in_the_example(self) -> None:
        """Every built-in lock store is there with every option, and what all have once."""
        sections = {section.pop("type"): section for section in uncommented()["locks"]}
        own = built_in(ILockStoreFactory)
        self.assertEqual(next(iter(sections)), "sqlite")
        shared = LockPolicy.__struct_fields__
        policy = {key: sections["sqlite"].pop(key) for key in shared}
        self.assert_complete(policy, LockPolicy)
        self.assertEqual(sorted(sections), sorted(own))
        for name, options in own.items():
            self.assert_complete(sections[name], options)

    def test_every_catalogue_is_in_the_example(self) -> None:
        """Every built-in catalogue is there with every option of it."""
        sections = {section.pop("type"): section for section in uncommented()["catalogue"]}
        own = built_in(ICatalogueFactory)
        self.assertEqual(next(iter(sections)), "sqlite")
        self.assertEqual(sorted(sections), sorted(own))
        for name, options in own.items():
            self.assert_complete(sections[name], options)

    def test_every_authenticator_is_in_the_example(self) -> None:
        """Every built-in authenticator is there with every option of it."""
        (auth,) = uncommented()["auth"]
        sections = {section.pop("type"): section for section in auth}
        own = built_in(IAuthenticatorFactory)
        self.assertEqual(sorted(sections), sorted(own))
        for name, options in own.items():
            self.assert_complete(sections[name], options)

    def test_every_keyring_is_in_the_example(self) -> None:
        """Every built-in keyring is there with every option of it."""
        sections = {section.pop("type"): section for section in uncommented()["ssh"][0]["keys"]}
        own = built_in(IKeyringFactory)
        self.assertEqual(sorted(sections), sorted(own))
        for name, options in own.items():
            self.assert_complete(sections[name], options)

    def test_commented_as_promised(self) -> None:
        """As installed, the file lets everybody read and nobody write."""
        document = yaml.safe_load(EXAMPLE.read_text())
        self.assertEqual(document["auth"], [{"type": "anonymous"}])
        self.assertEqual(sorted(document), ["auth", "endpoints", "state_dir", "storage"])

    def test_the_example_passes_the_check(self) -> None:
        """The file passes ``--check``, with its paths and port moved by the environment."""
        base = Path(self.mktemp()).resolve()
        base.mkdir()
        done = subprocess.run(
            [*TWISTD, "--config", str(EXAMPLE), "--check"],
            cwd=base,
            env=environment(
                GIFTLESS_STORAGE__PATH=str(base / "objects"),
                GIFTLESS_STATE_DIR=str(base / "state"),
                # Somebody else may have the port of the example.
                GIFTLESS_ENDPOINTS__0=f"tcp:{free_port()}:interface=127.0.0.1",
            ),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertEqual(sorted(path.name for path in base.iterdir()), ["objects", "state"])


def unit(name: str) -> dict[str, list[str]]:
    """Read a unit file's settings, whatever their section: key to values."""
    settings: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``systemd-analyze``.

    :raises SkipTest: where there is none.
    """
    program = shutil.which("systemd-analyze")
    if program is None:
        raise SkipTest("systemd-analyze is not installed")
    return subprocess.run(
        [program, "--no-pager", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class UnitTests(SynchronousTestCase):
    """``systemd/giftless.service`` and its socket."""

    def test_systemd_finds_no_mistake_in_the_units(self) -> None:
        """``systemd-analyze verify`` has nothing to say."""
        names = ("giftless.service", "giftless.socket", "giftless-gc.service", "giftless-gc.timer")
        units = (str(UNITS / name) for name in names)
        done = analyze("verify", "--man=no", *units)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_systemd_rates_the_exposure_as_low(self) -> None:
        """``systemd-analyze security`` rates the service at 2.0 or better."""
        done = analyze("security", "--offline=true", str(UNITS / "giftless.service"))
        rating = re.search(r"Overall exposure level for giftless.service: ([\d.]+)", done.stdout)
        assert rating is not None, done.stdout + done.stderr
        self.assertLessEqual(float(rating[1]), 2.0)

    def test_lookups_without_a_thread_are_permitted(self) -> None:
        """The unit lets ``openat2`` and ``statx`` through (``storage.local.cached``)."""
        self.assertIn("@system-service", unit("giftless.service")["SystemCallFilter"])
        permitted = analyze("syscall-filter", "@system-service").stdout.split()
        self.assertIn("@file-system", permitted)
        calls = analyze("syscall-filter", "@file-system").stdout.split()
        self.assertLessEqual({"openat2", "statx"}, set(calls))

    def test_time_to_stop(self) -> None:
        """systemd waits for longer than the daemon does for running transfers."""
        self.assertGreater(int(unit("giftless.service")["TimeoutStopSec"][0]), 60 + DAEMON_PATIENCE)
        self.assertEqual(Config().shutdown_timeout, 60)

    def test_memory_is_what_the_limits_come_to(self) -> None:
        """For the workers of the default configuration, twice during a reload."""
        options, mib = Config(), 1024 * 1024
        workers = number_of_workers(options)
        wanted = 64 * mib + 2 * workers * (192 * mib + options.limits.memory)
        self.assertEqual(unit("giftless.service")["MemoryMax"], [f"{wanted // mib}M"])

    def test_patience_of_the_watchdog(self) -> None:
        """systemd waits until a worker that hangs has been replaced."""
        settings = unit("giftless.service")
        self.assertEqual((settings["Type"], settings["NotifyAccess"]), (["notify"], ["main"]))
        self.assertGreater(int(settings["WatchdogSec"][0]), HEARTBEAT * (SILENT + 2))

    def test_same_configuration_is_checked_and_run(self) -> None:
        """What is checked before the start is what is started, and what is installed."""
        settings = unit("giftless.service")
        self.assertEqual(
            settings["ExecStartPre"][0].removesuffix(" --check"),
            settings["ExecStart"][0].replace(" --nodaemon", ""),
        )
        self.assertIn(" --config /etc/giftless/giftless.yaml", settings["ExecStart"][0])

    def test_tried_until_it_can_start(self) -> None:
        """No number of failures or restarts makes systemd give up, and close the socket."""
        settings = unit("giftless.service")
        self.assertEqual(settings["StartLimitIntervalSec"], ["0"])
        self.assertEqual(settings["Restart"], ["on-failure"])

    def test_reload_is_waited_for(self) -> None:
        """systemd hears that the daemon reloads before the command for it has ended."""
        (command,) = unit("giftless.service")["ExecReload"]
        # A small system has no other "kill" than the shell's.
        self.assertRegex(command, r"\A/bin/sh -c 'kill -HUP \$\{MAINPID\} && sleep [0-9.]+'\Z")

    def test_commands_reach_what_the_service_keeps(self) -> None:
        """A user of ``DynamicUser=`` alone reaches its directories, while the service runs."""
        for name in ("giftless.service", "giftless-gc.service"):
            settings = unit(name)
            self.assertNotIn("DynamicUser", settings)
            self.assertEqual((settings["User"], settings["Group"]), (["giftless"], ["giftless"]))

    def test_what_is_read_only_stays_so(self) -> None:
        """What ``ExecPaths=`` names, systemd 252 leaves writable; and ``/run`` as well."""
        settings = unit("giftless.service")
        self.assertNotIn("ExecPaths", settings)
        self.assertEqual(settings["ProtectSystem"], ["strict"])
        self.assertIn("/run", settings["ReadOnlyPaths"][0].split())

    def test_installed_paths_are_writable(self) -> None:
        """Objects and state lie in the one directory that the service may write to."""
        self.assertEqual(unit("giftless.service")["StateDirectory"], ["giftless"])
        for path in INSTALLED.values():
            self.assertEqual(Path(path).parts[:4], ("/", "var", "lib", "giftless"))


class SocketActivationTests(SynchronousTestCase):
    """A ``systemd:`` endpoint, with the variables that systemd sets."""

    def test_socket_is_adopted(self) -> None:
        """The daemon serves on a socket that it is handed, also over IPv6."""
        base = Path(self.mktemp()).resolve()
        base.mkdir()
        try:
            listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError as error:
            raise SkipTest(f"no IPv6 here: {error}") from None
        self.addCleanup(listener.close)
        daemon = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, str(listener.fileno()), *TWISTD],
            pass_fds=[listener.fileno()],
            cwd=base,
            env=environment(
                LISTEN_FDS="1",
                LISTEN_FDNAMES="giftless.socket",
                GIFTLESS_ENDPOINTS__0="systemd:domain=INET6:index=0",
            ),
            stdout=(base / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        # The kernel takes the connection at once; the daemon answers when it is up.
        with socket.create_connection(listener.getsockname()[:2], timeout=PATIENCE) as client:
            client.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            reply = client.makefile("rb").read()
        self.assertIn(b"HTTP/1.1 404 ", reply, (base / "log").read_text())
        daemon.terminate()
        daemon.wait(timeout=PATIENCE)
        self.assertIn("Server Shut Down.", (base / "log").read_text())

    def run_without_socket(self, *arguments: str) -> tuple[int, str]:
        """Run the daemon with the endpoint, but without a socket."""
        base = Path(self.mktemp())
        base.mkdir()
        done = subprocess.run(
            [*TWISTD, *arguments],
            cwd=base,
            env=environment(GIFTLESS_ENDPOINTS__0="systemd:domain=INET:index=0"),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stderr

    def test_check_needs_no_socket(self) -> None:
        """``ExecStartPre`` is handed no socket, and the check passes without one."""
        self.assertEqual(self.run_without_socket("--check"), (0, ""))

    def test_no_socket_no_service(self) -> None:
        """Without its socket the daemon says so in one line and ends with status 1."""
        status, message = self.run_without_socket()
        self.assertEqual(status, 1)
        self.assertIn("systemd passed no such socket", message)
        self.assertEqual(message.count("\n"), 1)


class MakeTests(SynchronousTestCase):
    """What ``make`` does."""

    def test_every_module_runs(self) -> None:
        """It is taken once, in whatever folder it is."""
        files = [
            ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for path in (ROOT / "tests").rglob("test_*.py")
        ]
        self.assertEqual(sorted(order.modules()), sorted(files))

    def test_the_modules_that_are_taken_first_are_there(self) -> None:
        """What is renamed loses its place in the list, and all tests take longer."""
        first = [name for batch in order.FIRST for name in batch]
        self.assertEqual(order.modules()[: len(first)], first)

    def test_each_module_is_in_one_batch(self) -> None:
        for names in (order.modules(), order.modules(soak=True)):
            batches = order.batches(names)
            self.assertEqual(" ".join(batches).split(), names)
            self.assertLessEqual(max(map(len, batches)), run.WIDTH)

    def test_a_soak_runs_the_modules_with_long_rounds(self) -> None:
        """Modules that repeat nothing are left out."""
        names = order.modules(soak=True)
        self.assertIn("tests.integration.test_reloads", names)
        # Their rounds are in what they import.
        self.assertIn("tests.integration.test_multipart", names)
        self.assertIn("tests.integration.test_mirror_others", names)
        self.assertNotIn("tests.test_operations", names)

    def test_an_old_python_is_named_in_one_line(self) -> None:
        """A Python that is too old is named in one line, before anything is made."""
        folder = Path(self.mktemp()).resolve()
        (folder / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci" / "venv", folder / ".ci")
        old = folder / "python3"
        old.write_text(
            textwrap.dedent("""\
                #!/bin/sh
                case "$2" in *print*) echo 3.9.2;; *) exit 1;; esac
                """)
        )
        old.chmod(0o755)
        done = subprocess.run(
            [folder / ".ci" / "venv"],
            env={**os.environ, "PYTHON": str(old)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr,
            f"giftless: needs Python 3.11 or newer, but '{old}' is 3.9.2; set PYTHON\n",
        )
        self.assertFalse((folder / ".venv").exists())
