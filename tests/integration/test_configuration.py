"""Starting the daemon: its configuration, and what it says when that is wrong."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.integration.support import Daemon, IntegrationTestCase, oid_of, stored_objects
from tests.support.commands import run_command
from tests.support.ports import free_port
from tests.support.processes import ENDED, PATIENCE, installed, wait_until


def elsewhere(port: int | None = None) -> dict[str, str]:
    """Return the environment of a daemon that listens on another port than its file says.

    :param port: this port; a free one if there is none.
    """
    return {"GIFTLESS_ENDPOINTS__0": f"tcp:{port or free_port()}:interface=127.0.0.1"}


class StartTestCase(IntegrationTestCase):
    """Tests of starts that end by themselves.

    :ivar environ: what its daemons find in their environment.
    """

    environ: Mapping[str, str] = {}

    def twistd(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``twistd -n giftless`` to its end, in the test's directory."""
        return run_command(
            *("twistd", "-n", "--pidfile=", "giftless", *arguments),
            directory=self.directory,
            environ={**self.environ, **(environ or {})},
        )

    def write(self, text: str) -> str:
        """Write a configuration file and return its name.

        Somebody else may have the default port, which is another mistake.
        """
        if "endpoints" not in text:
            self.environ = elsewhere()
        (self.directory / "bad.yaml").write_text(text)
        return "bad.yaml"


class ErrorTests(StartTestCase):
    """Configuration errors: one line that says it all, status 1, no traceback."""

    def assert_refused(
        self, text: str, *parts: str, environ: Mapping[str, str] | None = None
    ) -> None:
        """Check that a start ends with one line that has all ``parts`` in order."""
        result = self.twistd("--config", self.write(text), environ=environ)
        self.assert_one_line(result, *parts)

    def assert_one_line(self, result: subprocess.CompletedProcess[str], *parts: str) -> None:
        """Check status and output of a start that was refused."""
        self.assertEqual(result.returncode, 1, result)
        self.assertNotIn("Traceback", result.stdout + result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertRegex(result.stderr, ".*".join(map(re.escape, ("giftless: ", *parts))))

    def test_an_unknown_key_comes_with_a_suggestion(self) -> None:
        """An unknown key comes with the one that was meant and all that exist."""
        self.assert_refused(
            "storrage: {type: local}",
            "bad.yaml: storrage: unknown key; did you mean 'storage'? allowed here: access, ",
            "trusted_proxies",
        )

    def test_unknown_nested_key(self) -> None:
        """So does one in a section of a plugin."""
        self.assert_refused(
            "storage: {type: local, pathh: x}",
            "bad.yaml: storage.pathh: unknown key; did you mean 'path'?",
            "allowed here: multipart_expiry, part_size, path, prefix",
        )

    def test_a_wrong_type_is_shown(self) -> None:
        """A value of the wrong type is shown, with what is allowed."""
        self.assert_refused(
            "limits: {idle_timeout: soon}",
            "bad.yaml: limits.idle_timeout: found text, allowed is a whole number, at least 1",
        )

    def test_a_wrong_item_is_named_by_index(self) -> None:
        """A wrong item of a list is named by its index."""
        self.assert_refused(
            "trusted_proxies: [127.0.0.1, localhost]",
            "bad.yaml: trusted_proxies.1: found text, allowed is an address",
        )

    def test_a_wrong_choice_comes_with_the_right_ones(self) -> None:
        """A choice that does not exist comes with those that do."""
        self.assert_refused(
            "auth: [{type: anonymous, access: write}]",
            "bad.yaml: auth.0.access: found text, allowed is one of: read, read-write",
        )

    def test_a_bad_endpoint_comes_with_an_example(self) -> None:
        """An endpoint that Twisted cannot parse is shown with an example."""
        self.assert_refused(
            "endpoints: ['tcp:8080', 'carrier-pigeon:7']",
            "bad.yaml: endpoints.1: found text that cannot be used, allowed is",
            "tcp:8080:interface=127.0.0.1",
        )

    def test_bad_public_url(self) -> None:
        """A URL that cannot be handed out is refused."""
        self.assert_refused(
            "public_url: lfs.example.com",
            "bad.yaml: public_url: found text that does not begin with http",
        )

    def test_a_missing_type_comes_with_the_plugins(self) -> None:
        """A section without a type comes with the plugins that exist."""
        self.assert_refused("storage: {path: x}", "bad.yaml: storage.type: ", "available:", "local")

    def test_an_unknown_type_comes_with_the_plugins(self) -> None:
        """A type that no plugin has comes with those that exist."""
        self.assert_refused(
            "auth: [{type: kerberos}]",
            "bad.yaml: auth.0.type: found text, available:",
            "anonymous",
        )

    def test_a_prefix_that_leads_outside_is_refused(self) -> None:
        """A prefix that leads out of the store is refused."""
        self.assert_refused(
            "storage: {type: local, prefix: ../other}", "bad.yaml: storage.prefix: is not a plain"
        )

    def test_an_unusable_storage_path_names_the_reason(self) -> None:
        """A storage path that cannot be made names the reason."""
        (self.directory / "file").touch()
        self.assert_refused(
            "storage: {type: local, path: file/below}",
            "bad.yaml: storage.path: 'file/below' cannot be used: Not a directory; give",
        )

    def test_unusable_state_directory(self) -> None:
        """A state directory that cannot be made names the reason."""
        (self.directory / "file").touch()
        self.assert_refused(
            "state_dir: file/below",
            "bad.yaml: state_dir: 'file/below' cannot be used: Not a directory; give",
        )

    def test_unwritable_state_directory(self) -> None:
        """A state directory that cannot be written to names the reason."""
        self.assert_refused(
            "state_dir: /proc/self", "bad.yaml: state_dir: '/proc/self' cannot be used: "
        )

    def test_an_unreadable_secret_names_the_reason(self) -> None:
        """A secret's file that is not there names the reason."""
        self.assert_refused(
            "secret_file: nowhere",
            "bad.yaml: secret_file: cannot be read: No such file or directory",
        )

    def test_a_short_secret_is_refused_and_not_shown(self) -> None:
        """A secret that can be guessed is refused, and not shown."""
        result = self.twistd("--config", self.write("secret: change-me"))
        self.assert_one_line(result, "bad.yaml: secret: ", "needs 32")
        self.assertNotIn("change-me", result.stderr)

    def test_missing_plugin_path(self) -> None:
        """A plugin directory that does not exist is named."""
        self.assert_refused(
            "plugin_path: [nowhere]",
            "bad.yaml: plugin_path.0: is no directory, allowed is an existing one",
        )

    def test_a_missing_configuration_file_is_named(self) -> None:
        """A configuration file that is not there is named."""
        self.assert_one_line(
            self.twistd("--config", "nowhere.yaml"),
            "nowhere.yaml: cannot be read: No such file or directory",
        )

    def test_directory_for_file(self) -> None:
        """A directory in place of the file is named."""
        self.assert_one_line(self.twistd("--config", "."), ".: cannot be read: Is a directory")

    def test_a_file_that_is_no_yaml_is_named(self) -> None:
        """A file that is no YAML is named, with the place of the mistake."""
        self.assert_refused("endpoints: [", "bad.yaml: is not valid YAML: ", "line 1")

    def test_not_a_mapping(self) -> None:
        """A file without keys is named."""
        self.assert_refused("- tcp:8080", "bad.yaml: found a list, but the file must be a mapping")

    def test_a_wrong_variable_is_located_in_the_environment(self) -> None:
        """A wrong value from the environment is located in the environment."""
        self.assert_refused(
            "threads: 4",
            "environment GIFTLESS_THREADS: threads: found text, allowed is a whole number"
            " from 1 to 1000",
            environ={"GIFTLESS_THREADS": "many"},
        )

    def test_an_unknown_variable_comes_with_a_suggestion(self) -> None:
        """A variable that overrides no key comes with the key that was meant."""
        self.assert_refused(
            "{}",
            "environment GIFTLESS_STORAGE__PREFFIX: storage.preffix: unknown key;"
            " did you mean 'prefix'?",
            environ={"GIFTLESS_STORAGE__PREFFIX": "team-a"},
        )

    def test_port_in_use(self) -> None:
        """An endpoint that is taken is named, with its key."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            endpoint = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
            self.assert_refused(
                f"endpoints: ['{endpoint}']",
                f"bad.yaml: endpoints.0: cannot listen on {endpoint}: ",
                "in use",
            )

    def test_an_absent_systemd_socket_is_named(self) -> None:
        """A socket that systemd did not pass is named, with what to do."""
        self.assert_refused(
            "endpoints: ['systemd:domain=INET:index=0']",
            "bad.yaml: endpoints.0: cannot listen on systemd:domain=INET:index=0: ",
            "start the .socket unit",
        )

    def test_an_unreadable_certificate_is_named(self) -> None:
        """An endpoint whose certificate cannot be read is named."""
        self.assert_refused(
            "endpoints: ['ssl:0:privateKey=nowhere.pem']",
            "bad.yaml: endpoints.0: found text that cannot be used",
            "No such file or directory",
        )


class CheckTests(StartTestCase):
    """``--check``."""

    def test_a_good_configuration_passes_without_listening(self) -> None:
        """A good configuration is built but not listened on; the status is 0."""
        name = self.write(f"endpoints: ['tcp:{free_port()}:interface=127.0.0.1']")
        result = self.twistd("--config", name, "--check")
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("bad.yaml", result.stdout)
        self.assertNotIn("listens on", result.stdout)
        self.assertEqual(result.stderr, "")
        self.assertTrue((self.directory / "giftless-data").is_dir())

    def test_an_absent_systemd_socket_passes(self) -> None:
        """Sockets of systemd are not missed: it passes them to the daemon only."""
        name = self.write("endpoints: ['systemd:domain=INET:index=0']")
        self.assertEqual(self.twistd("--config", name, "--check").returncode, 0)

    def test_a_bad_configuration_ends_as_a_start_does(self) -> None:
        """A bad one ends as a start does, and backends are built to find out."""
        (self.directory / "file").touch()
        name = self.write("storage: {type: local, path: file/below}")
        result = self.twistd("--config", name, "--check")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Agiftless: bad.yaml: storage.path: .*\n\Z")

    def test_the_embedded_defaults_are_checked_without_a_file(self) -> None:
        """Without a file the defaults are checked, and said to be these."""
        result = self.twistd("--check", environ=elsewhere())
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("embedded defaults", result.stdout)


class HelpTests(StartTestCase):
    """``--help``."""

    def test_the_help_names_every_option(self) -> None:
        """The help names every option, and the environment."""
        result = self.twistd("--help")
        self.assertEqual(result.returncode, 0)
        for word in ("--config", "--check", "--version", "GIFTLESS_CONFIG", "GIFTLESS_STORAGE"):
            self.assertIn(word, result.stdout)


class EnvironmentTests(StartTestCase):
    """The environment over the file."""

    def test_the_environment_overrides_the_file(self) -> None:
        """``GIFTLESS_STORAGE__PREFIX`` sets ``storage.prefix``."""
        daemon = self.start_daemon(environ={"GIFTLESS_STORAGE__PREFIX": "team-a"})
        self.assertEqual(daemon.put(b"x"), 200)
        (path,) = stored_objects(daemon.store)
        self.assertEqual(path, daemon.store / "team-a" / "acme" / "rocket" / oid_of(b"x"))

    def test_the_environment_names_the_file(self) -> None:
        """``GIFTLESS_CONFIG`` names the file."""
        daemon = self.make_daemon()
        path = daemon.write_config()
        port = daemon.port
        other = Daemon(
            self.directory, config=None, environ={"GIFTLESS_CONFIG": str(path)}, port=port
        )
        self.addCleanup(other.kill)
        other.start()
        self.assertEqual(other.put(b"x"), 200)
        self.assertEqual(len(list(stored_objects(daemon.store))), 1)


class EmbeddedDefaultsTests(StartTestCase):
    """The daemon without any configuration."""

    def test_a_daemon_without_a_file_serves_everybody(self) -> None:
        """It serves objects under ./giftless-data to everybody, and says so."""
        port = free_port()
        daemon = self.start_daemon(
            config=None,
            port=port,
            environ=elsewhere(port),
        )
        url = f"{daemon.url}/acme/rocket.git/info/lfs"
        repo = self.make_git().create(self.directory / "work", url)
        self.assert_round_trip(repo, {"a.bin": b"default"})
        path = daemon.directory / "giftless-data" / "acme" / "rocket" / oid_of(b"default")
        self.assertEqual(path.read_bytes(), b"default")
        secret = daemon.directory / "giftless-state" / "secret"
        self.assertEqual(secret.stat().st_mode & 0o777, 0o600)
        self.assertEqual(daemon.stop(), ENDED)
        (line,) = (line for line in daemon.stdout.splitlines() if "no configuration file" in line)
        self.assertIn("./giftless-data", line)
        self.assertIn("read and write", line)
        self.assertIn(f"git config -f .lfsconfig lfs.url {daemon.url}/ORG/REPO.git/info/lfs", line)

    def test_the_default_endpoint_is_on_the_loopback_interface(self) -> None:
        """It would be at 127.0.0.1:8080, if that is not taken."""
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                other.bind(("127.0.0.1", 8080))
                other.listen()
            except OSError:
                pass  # somebody else has it: just as good
            result = self.twistd()
        self.assertEqual(result.returncode, 1)
        self.assertIn("tcp:8080:interface=127.0.0.1", result.stderr)
        self.assertIn("in use", result.stderr)


class BackgroundTests(StartTestCase):
    """``twistd giftless`` without ``-n``."""

    def start(self, daemon: Daemon) -> subprocess.CompletedProcess[str]:
        """Start a daemon that leaves its terminal."""
        installation = installed()
        name = daemon.write_config().name
        return subprocess.run(
            installation.command("--pidfile", "pid", "giftless", "--config", name),
            cwd=daemon.directory,
            env=dict(installation.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def kill(self, pid: int) -> None:
        """Kill the daemon, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def test_the_command_ends_when_the_daemon_listens(self) -> None:
        """The command ends when the daemon listens; log and process id are in files."""
        daemon = self.make_daemon(config={"log_format": "json"})
        result = self.start(daemon)
        pid = int((daemon.directory / "pid").read_text())
        self.addCleanup(self.kill, pid)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        data = os.urandom(4 * 1024 * 1024)
        self.assertEqual(daemon.put(data), 200)
        self.assertEqual(daemon.get(oid_of(data)).body, data)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not (daemon.directory / "pid").exists(), "the daemon to end")
        log = (daemon.directory / "twistd.log").read_text()
        statuses = [json.loads(line).get("status") for line in log.splitlines()]
        self.assertEqual([status for status in statuses if status], [200, 200])

    def test_port_in_use(self) -> None:
        """A daemon that cannot listen makes the command fail, with the reason."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            daemon = self.make_daemon(port=other.getsockname()[1])
            result = self.start(daemon)
        self.assertEqual(result.returncode, 1)
        # Of the reason, twistd has room for the beginning.
        self.assertIn("giftless.yaml: endpoints.0: cannot listen on tcp:", result.stderr)
        self.assertRegex(
            (daemon.directory / "twistd.log").read_text(),
            "giftless.yaml: endpoints.0: cannot listen on tcp:.* in use",
        )


class SecretTests(StartTestCase):
    """The secret that actions are signed with."""

    def test_actions_are_good_after_a_restart(self) -> None:
        """Actions are good after a restart, since the secret is kept."""
        daemon = self.start_daemon()
        reply = daemon.batch("upload", (oid_of(b"later"), 5))
        upload = reply.json["objects"][0]["actions"]["upload"]
        self.assertEqual(daemon.stop(), ENDED)
        daemon.start()
        path = upload["href"].removeprefix(daemon.url)
        self.assertEqual(daemon.request("PUT", path, b"later", upload["header"]).status, 200)

    def test_a_given_secret_is_used_and_not_written(self) -> None:
        """A secret from the environment is used, and none is written."""
        secret = os.urandom(16).hex()
        daemons = [
            self.start_daemon(
                name,
                environ={"GIFTLESS_SECRET": secret},
                config={"auth": [{"type": "anonymous", "access": access}]},
            )
            for name, access in (("one", "read-write"), ("two", "read"))
        ]
        reply = daemons[0].batch("upload", (oid_of(b"later"), 5))
        upload = reply.json["objects"][0]["actions"]["upload"]
        path = upload["href"].removeprefix(daemons[0].url)
        # The second daemon lets nobody write who has no token.
        self.assertEqual(daemons[1].request("PUT", path, b"later").status, 403)
        self.assertEqual(daemons[1].request("PUT", path, b"later", upload["header"]).status, 200)
        for daemon in daemons:
            self.assertFalse(Path(daemon.directory, "giftless-state", "secret").exists())
            self.assertNotIn(secret, daemon.stdout + daemon.stderr)
