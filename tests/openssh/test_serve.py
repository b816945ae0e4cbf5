"""``giftless ssh-serve``: what it asks the daemon, and how it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.app.config import Config
from giftless.auth.realms import Realm
from giftless.base.ssh_greeting import MAX_LINE, Admitted, Greeting, Session
from giftless.openssh import command_line, serve, server
from giftless.runtime.sockets.endpoints import session_socket
from tests.openssh.stand_in import PATIENCE, StandIn, answering, saying
from tests.support.processes import installed

#: What a process does that runs the command.
SCRIPT = "from giftless.cli import main; main()"

#: What somebody may write into a command line to have it taken for something else.
HOSTILE = (
    "git-lfs-transfer acme/rocket download",
    "git-lfs-transfer 'acme/rocket.git' upload",
    'git-lfs-transfer "acme/ro\\"cket" upload',
    "git-lfs-authenticate acme/$(id) download",
    "git-lfs-authenticate `id` download; id",
    'git-lfs-transfer acme/rocket download\n{"ask": "keys"}\n',
    "git-lfs-transfer acme\\0/rocket\\x00 download",
    "\r\n\t\x01\x1b[31m\x7f",
    '"}\n{"ask":"session","user":"root","realm":"basic","command":""}\n',
    "équipe/fusée",
    "\u2028\u2029\ufeff\U0001f680",
    "-" * 1000,
    "%s%n$HOME~*?[a]{b,c}&&||<>|",
    "",
)


class SessionTestCase(SynchronousTestCase):
    """A test case with a directory for the socket.

    :ivar environ: the environment of the command.
    """

    def setUp(self) -> None:
        # The path of a Unix socket must be short.
        self.directory = Path(self.mktemp()).parent.parent
        self.socket = self.directory / "s"
        self.socket.unlink(missing_ok=True)
        self.environ: dict[str, str] = {}
        self.patch(os, "environ", self.environ)

    def stand_in(self, answer: Any, deaf: bool = False) -> StandIn:
        """Start what stands in for the daemon."""
        daemon = StandIn(self.socket, answer, deaf)
        self.addCleanup(daemon.close)
        return daemon

    def run_command(self, *arguments: str) -> tuple[int | str | None, bytes, bytes]:
        """Run the command in this process.

        :returns: what it exits with, and what it writes to stdout and to stderr.
        """
        written = {1: b"", 2: b""}

        def write(target: int, data: bytes) -> None:
            written[target] += data

        self.patch(serve, "write", write)
        with self.assertRaises(SystemExit) as caught:
            serve.main(arguments)
        return caught.exception.code, written[1], written[2]

    def serve(self, command: str, *options: str) -> tuple[int | str | None, bytes, bytes]:
        """Serve alice, who has sent a command."""
        self.environ["SSH_ORIGINAL_COMMAND"] = command
        return self.run_command("--socket", str(self.socket), *options, "alice")


class QuestionTests(SessionTestCase):
    def test_it_says_who_wants_what_from_where(self) -> None:
        daemon = self.stand_in(answering(Admitted()))
        self.environ["SSH_CONNECTION"] = "198.51.100.7 50000 192.0.2.1 22"
        command = "git-lfs-authenticate acme/rocket download"
        self.assertEqual(self.serve(command), (0, b"", b""))
        self.serve(command, "--realm", "gitea:git.example.com")
        first, second = daemon.asked
        self.assertEqual(first, Session("alice", "basic", command, "198.51.100.7"))
        self.assertEqual(second, Session("alice", "gitea:git.example.com", command, "198.51.100.7"))

    def test_it_says_all_that_a_session_has(self) -> None:
        """It writes JSON without msgspec, which takes long to import."""
        daemon = self.stand_in(answering(Admitted()))
        self.serve("git-lfs-authenticate acme/rocket download")
        self.assertEqual(set(json.loads(daemon.lines[0])), {"ask", *Session.__struct_fields__})
        self.assertEqual(server.MAX_QUESTION, MAX_LINE)

    def test_whatever_a_command_line_has_in_it_arrives_as_it_is(self) -> None:
        """And as one line: nothing in it is taken for another question."""
        daemon = self.stand_in(answering(Admitted()))
        for command in HOSTILE:
            self.assertEqual(self.serve(command), (0, b"", b""))
        self.assertEqual(daemon.asked, [Session("alice", "basic", each) for each in HOSTILE])

    @given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200))
    def test_any_text_is_one_line(self, command: str) -> None:
        """As :func:`giftless.openssh.server.ask` writes it."""
        question = {"ask": "session", "user": "alice", "realm": "basic", "command": command}
        line = json.dumps(question).encode()
        self.assertNotIn(b"\n", line)
        self.assertEqual(
            msgspec.json.decode(line, type=Greeting), Session("alice", "basic", command)
        )

    def test_a_command_that_is_not_utf_8_is_refused(self) -> None:
        self.environ["SSH_ORIGINAL_COMMAND"] = b"git-lfs-transfer \xff upload".decode(
            errors="surrogateescape"
        )
        status, _, _ = self.run_command("--socket", "/nowhere", "alice")
        self.assertEqual(status, "giftless: the command is not UTF-8")
        status, _, _ = self.run_command("--socket", "/nowhere", "\udcff")
        self.assertEqual(status, "giftless: the user's name is not UTF-8")

    def test_a_command_that_is_too_long_is_refused(self) -> None:
        daemon = self.stand_in(answering(Admitted()))
        length = MAX_LINE - 200
        self.assertEqual(self.serve("x" * length)[0], 0)
        for command in ("x" * MAX_LINE, '"' * length, "\n" * length, "x" * (2 << 20)):
            self.assertEqual(self.serve(command)[0], "giftless: this command is too long")
        self.assertEqual(len(daemon.asked), 1)

    def test_an_address_that_is_none_is_left_out(self) -> None:
        for said, address in (
            ("198.51.100.7 50000 192.0.2.1 22", "198.51.100.7"),
            ("2001:db8::7 50000 2001:db8::1 22", "2001:db8::7"),
            ("fe80::7%eth0 50000 fe80::1%eth0 22", "fe80::7"),
            ("UNKNOWN 65535 UNKNOWN 65535", ""),
            ("", ""),
            ("$(id) 1 2 3", ""),
        ):
            self.assertEqual(command_line.client_address(said), address)

    def test_the_realm_is_that_of_passwords_unless_told(self) -> None:
        self.assertEqual(serve.DEFAULT_REALM, str(Realm("basic")))

    def test_it_takes_one_user(self) -> None:
        for arguments in ((), ("",), ("alice", "bob")):
            status, _, _ = self.run_command("--socket", "/nowhere", *arguments)
            self.assertRegex(str(status), "needs one argument: the user")
        status, _, _ = self.run_command("--nonsense", "alice")
        self.assertRegex(str(status), "nonsense")


class AnswerTests(SessionTestCase):
    def test_it_writes_what_it_is_told_and_exits_as_it_is_told(self) -> None:
        """Nothing else is on stdout: git-lfs reads JSON there."""
        told = Admitted(stdout='{"href": "https://é.example"}', stderr="", status=0)
        self.stand_in(answering(told))
        self.assertEqual(self.serve("x"), (0, told.stdout.encode(), b""))

    def test_a_refusal_is_a_line_on_stderr_and_a_status(self) -> None:
        for words in ("giftless: não", "giftless: não\n"):
            daemon = StandIn(self.socket, answering(Admitted(status=127, stderr=words)))
            self.assertEqual(self.serve("x"), (127, b"", "giftless: não\n".encode()))
            daemon.close()
            self.socket.unlink()

    def test_no_daemon_is_a_failure(self) -> None:
        self.assertRegex(str(self.serve("x")[0]), "cannot be reached by .*: No such file")
        self.socket.write_bytes(b"")
        self.assertRegex(str(self.serve("x")[0]), "cannot be reached by .*: Connection refused")
        status, _, _ = self.run_command("--socket", "x" * 200, "alice")
        self.assertRegex(str(status), "cannot be reached by .* too long")

    def test_a_daemon_that_hangs_up_does_not_trust_this_user(self) -> None:
        """It does so at once, or when it has the question."""
        words = f"it hangs up; is {os.getuid()}, .*, in ssh.trusted"
        daemon = StandIn(self.socket, lambda question, connection: None)
        self.assertRegex(str(self.serve("x")[0]), words)
        daemon.close()
        self.socket.unlink()
        self.stand_in(lambda question, connection: None, deaf=True)
        self.assertRegex(str(self.serve("x")[0]), words)

    def test_a_daemon_that_answers_nonsense_is_a_failure(self) -> None:
        for line in (b"\n", b"[]\n", b"nonsense\n", b"{\n", b"\xff\n", b"[" * 100_000 + b"\n"):
            daemon = StandIn(self.socket, saying(line))
            self.assertRegex(str(self.serve("x")[0]), "it answers nonsense")
            daemon.close()
            self.socket.unlink()

    def test_a_daemon_that_ends_while_it_answers_is_a_failure(self) -> None:
        self.stand_in(saying(b'{"open"'))
        self.assertRegex(str(self.serve("x")[0]), "it has ended while it answered")

    def test_a_daemon_that_does_not_answer_is_not_waited_for_forever(self) -> None:
        self.patch(server, "_ANSWER_SECONDS", 0.01)
        waiting = socket.socket(socket.AF_UNIX)
        self.addCleanup(waiting.close)
        waiting.bind(str(self.socket))
        waiting.listen()
        self.assertEqual(
            self.serve("x")[0], "giftless: the server does not answer; try again later"
        )


class WhereTests(SessionTestCase):
    """Where the socket is."""

    def path(self, options: Mapping[str, str] = {}, **environ: str) -> str:
        """Return where it is looked for."""
        return command_line.socket_path(options, environ)

    def configure(self, settings: Any) -> str:
        """Write a configuration."""
        file = Path(self.mktemp())
        file.write_text(yaml.safe_dump(settings))
        return str(file)

    def test_the_option_counts_most(self) -> None:
        """Whoever runs the command may not be able to read the configuration."""
        options = {"socket": "/run/a", "config": "/nowhere"}
        self.assertEqual(self.path(options, GIFTLESS_SSH__SOCKET="/run/b"), "/run/a")

    def test_the_environment_counts_more_than_the_file(self) -> None:
        file = self.configure({"ssh": {"socket": "/run/c"}, "state_dir": "/state"})
        environ = {"GIFTLESS_SSH__SOCKET": "/run/b"}
        self.assertEqual(self.path({"config": file}, **environ), "/run/b")
        self.assertEqual(self.path({"config": file}), "/run/c")
        self.assertEqual(self.path(GIFTLESS_CONFIG=file), "/run/c")

    def test_it_is_in_the_state_directory_unless_told(self) -> None:
        file = self.configure({"state_dir": "/state", "ssh": {"trusted": ["git"]}})
        self.assertEqual(self.path({"config": file}), "/state/ssh.sock")
        self.assertEqual(
            self.path({"config": file}, GIFTLESS_STATE_DIR="/other"), "/other/ssh.sock"
        )
        self.assertEqual(self.path(), f"{Config().state_dir}/ssh.sock")
        self.assertEqual(self.path(), session_socket(Config()))

    def test_a_file_that_is_no_configuration_is_a_failure(self) -> None:
        with self.assertRaisesRegex(SystemExit, "cannot be read.*give --socket"):
            self.path({"config": "/nowhere"})
        file = Path(self.mktemp())
        file.write_text("a: [")
        with self.assertRaisesRegex(SystemExit, "not valid YAML"):
            self.path({"config": str(file)})
        others: tuple[Any, ...] = ([], "text", {"ssh": []}, {"ssh": {"socket": None}})
        for settings in others:
            self.assertEqual(self.path({"config": self.configure(settings)}), self.path())


class ProcessTests(SessionTestCase):
    """The command as a process."""

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it."""
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, "ssh-serve", "-s", str(self.socket), *arguments],
            env={**installed().environ, "SSH_ORIGINAL_COMMAND": "git-lfs-transfer a/b upload"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_it_relays_a_session_in_constant_memory(self) -> None:
        """What the client says goes to the daemon, and back."""
        peaks: list[int] = []

        def echo(question: Greeting, connection: socket.socket) -> None:
            connection.sendall(msgspec.json.encode(Admitted(open=True)) + b"\nbegun ")
            while data := connection.recv(1 << 20):
                connection.sendall(data)
            status = Path(f"/proc/{process.pid}/status").read_text()
            peaks.append(int(status.partition("VmHWM:")[2].split()[0]) * 1024)

        self.stand_in(echo)
        process = self.start("alice")
        data = os.urandom(1 << 20) * 64
        stdout, stderr = process.communicate(data, PATIENCE)
        self.assertEqual((process.returncode, stderr), (0, b""))
        self.assertEqual(len(stdout), 6 + len(data))
        self.assertTrue(stdout == b"begun " + data)
        self.assertLess(peaks[0], 32 << 20)

    def test_it_ends_when_its_client_is_gone(self) -> None:
        """The daemon is told, although it has nothing to say."""

        def wait(question: Greeting, connection: socket.socket) -> None:
            connection.sendall(msgspec.json.encode(Admitted(open=True)) + b"\nready")
            self.assertEqual(connection.recv(1), b"")

        self.stand_in(wait)
        process = self.start("alice")
        assert process.stdin is not None and process.stdout is not None
        self.assertEqual(process.stdout.read(5), b"ready")
        process.stdout.close()
        self.assertEqual(process.wait(PATIENCE), 1)
        process.stdin.close()
        self.assertIn(b"the session is cut", process.stderr.read())  # type: ignore[union-attr]
        process.stdout = process.stdin = None

    def test_it_imports_nothing_that_takes_long(self) -> None:
        """A client waits for it: msgspec alone takes longer than all the rest."""
        script = (
            "import sys\nfrom giftless.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit as end: print(end)\n"
            "print(*sys.modules, sep='\\n')"
        )
        for command in (["ssh-serve", "alice"], ["ssh-keys"]):
            printed = subprocess.run(
                [sys.executable, "-c", script, command[0], "-s", "/nowhere", *command[1:]],
                env=installed().environ,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()
            self.assertIn("cannot be reached by /nowhere", printed[0])
            self.assertIn("giftless.openssh.server", printed)
            slow = {"twisted", "zope", "msgspec", "yaml", "ssl", "asyncio", "argparse", "logging"}
            loaded = {name.partition(".")[0] for name in printed[1:]}
            # Whatever a coverage tool imports is its own.
            if "coverage" not in loaded:
                self.assertEqual(loaded & slow, set())
