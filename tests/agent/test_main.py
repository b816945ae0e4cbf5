"""The agent as a process, with a test in the place of git-lfs."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.agent.server import Answer, Asked, PartServer, Server
from tests.agent.test_install import COMMAND
from tests.support.processes import PATIENCE

KIB = 1024
DATA = os.urandom(300 * KIB)
OID = hashlib.sha256(DATA).hexdigest()


class ProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        subprocess.run(["git", "init", "--quiet"], cwd=self.directory, check=True)
        self.release = threading.Event()
        self.addCleanup(self.release.set)
        self.reached = threading.Event()

    def start(self, init: dict[str, Any] | None = None) -> subprocess.Popen[bytes]:
        """Start an agent that has answered the first message."""
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "no_proxy": "*",
        }
        agent = subprocess.Popen(
            [COMMAND],
            cwd=self.directory,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(agent.communicate)
        self.addCleanup(agent.kill)
        self.say(agent, event="init", operation="upload", concurrenttransfers=4, **(init or {}))
        self.assertEqual(self.hear(agent), {})
        return agent

    def say(self, agent: subprocess.Popen[bytes], **message: object) -> None:
        assert agent.stdin is not None
        agent.stdin.write(json.dumps(message).encode() + b"\n")
        agent.stdin.flush()

    def hear(self, agent: subprocess.Popen[bytes]) -> Any:
        assert agent.stdout is not None
        return json.loads(agent.stdout.readline())

    def hear_all(self, agent: subprocess.Popen[bytes]) -> tuple[list[int], Any]:
        """Read until a transfer ends.

        :returns: the bytes so far that were told, and the last message.
        """
        counts = []
        while (message := self.hear(agent))["event"] == "progress":
            counts.append(message["bytesSoFar"])
        return counts, message

    def temporaries(self) -> list[str]:
        return [
            path.name
            for path in (self.directory / ".git" / "lfs" / "tmp").glob("*")
            if path.name != "giftless-connections"
        ]

    def say_upload(self, agent: subprocess.Popen[bytes], server: PartServer) -> None:
        path = self.directory / "object"
        path.write_bytes(DATA)
        header = {"Authorization": "Bearer token"}
        action = {"href": f"{server.http.url}/parts", "header": header}
        self.say(agent, event="upload", oid=OID, size=len(DATA), path=str(path), action=action)

    def say_download(self, agent: subprocess.Popen[bytes], server: Server) -> None:
        action = {"href": f"{server.url}/object"}
        self.say(agent, event="download", oid=OID, size=len(DATA), action=action)

    def hanging(self) -> Server:
        """Make a server that does not answer until it is released."""

        def answer(asked: Asked) -> Answer:
            self.reached.set()
            self.release.wait(PATIENCE)
            return Answer(200, DATA)

        return Server(self, answer)

    def test_objects_go_up_and_down(self) -> None:
        """Objects go up and down one after the other, and it ends when it is told to."""
        server = PartServer(self, DATA, 64 * KIB)
        agent = self.start()
        self.say_upload(agent, server)
        counts, last = self.hear_all(agent)
        self.assertEqual(last, {"event": "complete", "oid": OID})
        self.assertEqual((counts, counts[-1]), (sorted(set(counts)), len(DATA)))
        self.assertEqual(server.stored, DATA)
        self.say_download(agent, Server(self, lambda asked: Answer(200, DATA)))
        counts, last = self.hear_all(agent)
        self.assertEqual(counts[-1], len(DATA))
        self.assertEqual(last["event"], "complete")
        self.assertEqual(Path(last["path"]).read_bytes(), DATA)
        self.assertEqual(self.temporaries(), [Path(last["path"]).name])
        self.say(agent, event="terminate")
        # git-lfs would have moved the file away, if the digest was right.
        self.assert_ends(agent, 0)

    def test_a_failed_transfer_leaves_nothing(self) -> None:
        """A transfer that fails is told, leaves nothing behind, and the next one works."""
        agent = self.start()
        self.say_download(agent, Server(self, lambda asked: Answer(404, b'{"message": "gone"}')))
        _, last = self.hear_all(agent)
        self.assertEqual(last["error"]["code"], 404)
        self.assertIn("404 gone", last["error"]["message"])
        self.assertEqual(self.temporaries(), [])
        self.say(agent, event="download", oid=OID, size=1, action=None)
        _, last = self.hear_all(agent)
        self.assertIn("standalonetransferagent", last["error"]["message"])
        self.say_download(agent, Server(self, lambda asked: Answer(200, DATA)))
        self.assertIn("path", self.hear_all(agent)[1])

    def assert_ends(self, agent: subprocess.Popen[bytes], status: int) -> None:
        """Check that it ends soon, and that nothing is left of the download."""
        self.assertEqual(agent.wait(PATIENCE), status)
        self.assertEqual(self.temporaries(), [])

    def downloading(self) -> subprocess.Popen[bytes]:
        """Start an agent that waits for a server, with a file of its own."""
        agent = self.start()
        self.say_download(agent, self.hanging())
        self.assertTrue(self.reached.wait(PATIENCE))
        self.assertEqual(len(self.temporaries()), 1)
        return agent

    def test_git_lfs_is_gone(self) -> None:
        """When git-lfs is killed, the agent ends at once, though the server hangs."""
        agent = self.downloading()
        assert agent.stdin is not None
        agent.stdin.close()
        agent.stdin = None
        self.assert_ends(agent, 0)

    def test_a_terminate_message_removes_what_is_unfinished(self) -> None:
        """An agent that is told to end removes its unfinished file."""
        agent = self.downloading()
        self.say(agent, event="terminate")
        self.assert_ends(agent, 0)

    def test_a_signal_removes_what_is_unfinished(self) -> None:
        """So does one that gets a signal: Ctrl-C in a terminal goes to all of them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.reached.clear()
            agent = self.downloading()
            agent.send_signal(number)
            self.assert_ends(agent, 128 + number)

    def test_a_closed_output_ends_the_agent(self) -> None:
        """When nobody reads its answers it ends."""
        agent = self.start()
        assert agent.stdout is not None
        agent.stdout.close()
        self.say_download(agent, Server(self, lambda asked: Answer(200, DATA)))
        self.assert_ends(agent, 0)
        agent.stdout = None

    def test_a_malformed_message_ends_the_agent(self) -> None:
        """What is no message ends it, with a line on stderr, where git-lfs looks."""
        agent = self.start()
        self.say(agent, event="dance")
        self.assertEqual(agent.wait(PATIENCE), 1)
        assert agent.stderr is not None
        said = agent.stderr.read()
        self.assertIn(b"giftless-transfer-agent: this is no message of git-lfs", said)
        self.assertEqual(said.count(b"\n"), 1)

    def test_answers_before_it_loads(self) -> None:
        """The HTTP client is loaded after the first answer, and Twisted never."""
        code = (
            "import sys, giftless.agent.main\n"
            "print(sorted({'urllib3', 'ssl', 'twisted', 'argparse'} & set(sys.modules)))"
            "\nimport giftless.agent.session\nprint('twisted' in sys.modules)"
        )
        printed = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertEqual(printed, "[]\nFalse\n")
