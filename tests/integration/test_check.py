"""``giftless check`` beside a real daemon, and with configurations that cannot serve."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from tests.integration.sharing import SharingTestCase
from tests.integration.support import Daemon
from tests.support.certificates import make_certificate
from tests.support.commands import run_command

#: Checks whose result depends on the machine that runs the tests.
MACHINE = {"disk", "inodes", "descriptors", "versions"}


class CheckTestCase(SharingTestCase):
    def check(self, config: Path, *options: str) -> tuple[int, list[dict[str, str]]]:
        """Run the command on a configuration file.

        :returns: its exit status, and what it has found.
        """
        arguments = ["check", "--json", "--config", str(config), *options]
        done = run_command("giftless", *arguments, directory=self.directory)
        self.assertEqual(done.stderr, "")
        *found, last = map(json.loads, done.stdout.splitlines())
        counts = dict.fromkeys(("ok", "warning", "failed", "skipped"), 0)
        for finding in found:
            counts[finding["verdict"]] += 1
        self.assertEqual(last, {"summary": counts})
        self.assertEqual(done.returncode, int(counts["failed"] > 0))
        return done.returncode, found

    def problems(self, config: Path, *options: str) -> list[dict[str, str]]:
        """Return what has failed, each with what to do."""
        _, found = self.check(config, *options)
        failed = [each for each in found if each["verdict"] == "failed"]
        for finding in failed:
            self.assertTrue(finding["operator"], finding)
        return [each for each in failed if each["check"] not in MACHINE]

    def configure(self, **config: Any) -> Path:
        """Write a configuration that nobody serves."""
        path = self.directory / "giftless.yaml"
        settings = {
            "storage": {"type": "local", "path": str(self.directory / "objects")},
            "state_dir": str(self.directory / "state"),
            **config,
        }
        path.touch(0o600)
        path.write_text(yaml.safe_dump(settings))
        return path


class RunningTests(CheckTestCase):
    """The daemon runs with the configuration."""

    def test_a_good_set_up_raises_no_alarm(self) -> None:
        daemon = self.share_daemon()
        before = self.files(daemon)
        _, found = self.check(daemon.directory / "giftless.yaml")
        alarms = [
            each
            for each in found
            if each["verdict"] in ("warning", "failed") and each["check"] not in MACHINE
        ]
        self.assertEqual(alarms, [])
        told = {each["check"] for each in found if each["verdict"] == "ok"}
        self.assertLessEqual(
            {"configuration", "user", "permissions", "parts", "health", "folders", "daemon"}, told
        )
        (runs,) = (each["found"] for each in found if each["check"] == "daemon")
        self.assertIn(str(daemon.running.pid), runs)
        self.assertEqual(self.files(daemon), before)

    def files(self, daemon: Daemon) -> list[Path]:
        """Return the daemon's files, without those that a process holds while it may write."""
        found = (path for path in daemon.directory.rglob("*") if path.is_file())
        return sorted(path for path in found if path.parent.name != "writers")

    def test_people_read_it_in_words(self) -> None:
        daemon = self.share_daemon()
        config = str(daemon.directory / "giftless.yaml")
        done = run_command("giftless", "check", "-c", config, directory=self.directory)
        self.assertIn("ok       health       store: what is written there can be read", done.stdout)
        self.assertRegex(done.stdout, r"\n\n0 failed, \d+ warnings?, \d+ ok, \d+ skipped\n$")


class PublicURLTests(CheckTestCase):
    """What ``public_url`` names is asked while the daemon runs."""

    def public_url(self, url: str) -> tuple[str, str]:
        """Return the verdict and the words on a public URL of the shared daemon."""
        daemon = self.share_daemon()
        config = yaml.safe_load((daemon.directory / "giftless.yaml").read_text())
        config["public_url"] = url
        config["storage"]["path"] = str(self.directory / "objects")
        config["state_dir"] = str(self.directory / "state")
        _, found = self.check(self.configure(**config))
        (finding,) = (each for each in found if each["check"] == "public_url")
        return finding["verdict"], finding["found"]

    def test_it_leads_to_the_daemon(self) -> None:
        verdict, words = self.public_url(self.share_daemon().url)
        self.assertEqual(verdict, "ok", words)

    def test_it_leads_elsewhere(self) -> None:
        daemon = self.share_daemon()
        verdict, words = self.public_url(f"{daemon.url}/other")
        self.assertEqual(verdict, "failed")
        self.assertIn("is not this server", words)

    def test_nobody_answers_there(self) -> None:
        verdict, words = self.public_url("http://127.0.0.1:1")
        self.assertEqual(verdict, "skipped")
        self.assertIn("cannot be asked from here", words)


class BrokenTests(CheckTestCase):
    """Configurations that cannot serve."""

    def test_a_mistake_in_the_file_is_named_with_its_line(self) -> None:
        path = self.configure(storag={"type": "local"})
        (problem,) = self.problems(path)
        self.assertEqual(problem["check"], "configuration")
        self.assertIn("giftless.yaml", problem["found"])

    def test_a_part_that_cannot_be_built_does_not_hide_the_rest(self) -> None:
        (self.directory / "key.pem").write_bytes(b"no key")
        endpoint = f"ssl:8443:privateKey={self.directory}/key.pem"
        path = self.configure(auth=[{"type": "htpasswd"}], endpoints=[endpoint])
        parts, certificates = self.problems(path)
        self.assertIn("auth.0", parts["found"])
        self.assertIn("are no certificate", certificates["found"])

    def test_a_listener_of_ssh_that_cannot_be_made_is_named(self) -> None:
        keys = self.directory / "keys"
        keys.write_bytes(b"")
        (self.directory / "host_key").write_bytes(b"no key")
        os.chmod(self.directory / "host_key", 0o600)
        for ssh, words in (
            ({"host_keys": [str(self.directory / "host_key")]}, "is no private key"),
            ({"host_keys": [str(self.directory / "missing")]}, "cannot be read"),
            ({"endpoints": ["tcp:port"]}, "ssh.endpoints.0: found"),
        ):
            keyring = {"type": "file", "keys_file": str(keys)}
            path = self.configure(
                auth=[{"type": "basic", "access": str(keys)}],
                ssh={"endpoints": ["tcp:2222"], "keys": [keyring], **ssh},
            )
            (problem,) = self.problems(path)
            self.assertEqual(problem["check"], "parts")
            self.assertIn(words, problem["found"])

    def test_a_socket_that_cannot_be_bound_is_named(self) -> None:
        path = self.configure(ssh={"socket": str(self.directory / ("x" * 100))})
        (problem,) = self.problems(path)
        self.assertEqual(problem["check"], "sockets")
        self.assertIn("ssh.socket: cannot listen on unix:…", problem["found"])
        done = run_command(
            "twistd", "giftless", "--check", "--config", str(path), directory=self.directory
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("at most 107 bytes", done.stderr)

    def test_a_store_that_cannot_be_written_is_named(self) -> None:
        (self.directory / "objects").write_text("a file")
        (problem,) = self.problems(self.configure())
        self.assertIn("storage.path", problem["found"])

    def test_readable_secrets_are_named(self) -> None:
        pem = self.directory / "pem"
        pem.write_bytes(make_certificate())
        pem.chmod(0o644)
        endpoint = f"ssl:8443:privateKey={pem}:certKey={pem}"
        _, found = self.check(self.configure(endpoints=[endpoint]))
        said = {(each["check"], each["verdict"]): each for each in found}
        readable = said["permissions", "warning"]
        self.assertIn(f"{pem}: others can read it", readable["found"])
        self.assertEqual(readable["operator"], "run chmod o-rwx on it")
        # It is valid for a day.
        self.assertIn("renew it", said["certificates", "warning"]["operator"])

    def test_another_users_rights_count(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root becomes somebody else")
        path = self.configure()
        (self.directory / "objects").mkdir(0o700)
        problems = self.problems(path, "--user", "nobody")
        self.assertIn("state_dir", problems[0]["found"])
        (self.directory / "state").mkdir()
        os.chown(self.directory / "state", 65534, 65534)
        self.directory.chmod(0o755)
        # The owner of the state is the daemon's user.
        problems = self.problems(path)
        self.assertEqual([each["check"] for each in problems], ["parts", "folders"])
        self.assertIn("storage.path", problems[0]["found"])
        self.assertIn("may not read and write", problems[1]["found"])
