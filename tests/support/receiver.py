"""A receiver of webhooks, in a process of its own (``tests/support/receiving.py``).

It verifies nothing: whoever reads its file does (:meth:`Receiver.verified`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import standardwebhooks

from tests.support.ports import free_port
from tests.support.processes import is_running, wait_until

#: A secret for tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """The process, and what it has received in all its lives.

    :ivar file: where it writes.
    """

    file: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hooks?from=giftless"

    def target(self, **options: Any) -> dict[str, Any]:
        """Return the options of a target that sends to it."""
        return {
            "name": "ci",
            "url": self.url,
            "secrets": [SECRET],
            "networks": ["127.0.0.0/8"],
            **options,
        }

    def start(self) -> Receiver:
        """Start it, and wait until it listens."""
        script = Path(__file__).with_name("receiving.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), str(self.file)], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def answer(self, status: int) -> None:
        """Let it answer with a status from now on."""
        Path(f"{self.file}.status").write_text(str(status))

    def kill(self) -> None:
        """Kill it (``kill -9``)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def requests(self) -> list[dict[str, Any]]:
        """Return what it has received: ``headers`` and ``body``; one may come twice."""
        if not self.file.exists():
            return []
        # The last line may be half written.
        *lines, _ = self.file.read_text().split("\n")
        return [json.loads(line) for line in lines]

    def verified(self, secret: str = SECRET) -> dict[str, dict[str, Any]]:
        """Verify all of it with the official library.

        :returns: what each message says, by its id, in the order of arrival.
        """
        verifier = standardwebhooks.Webhook(secret)
        found: dict[str, dict[str, Any]] = {}
        for request in self.requests():
            headers: Mapping[str, str] = request["headers"]
            said = verifier.verify(request["body"], dict(headers))
            assert found.setdefault(headers["webhook-id"], said) == said
        return found

    def wait_for(self, number: int) -> dict[str, dict[str, Any]]:
        """Wait until so many messages have arrived; see :meth:`verified`."""

        def arrived() -> bool:
            ids = {request["headers"]["webhook-id"] for request in self.requests()}
            return len(ids) >= number

        wait_until(arrived, f"{number} messages")
        return self.verified()


def kill_one(pids: list[int]) -> None:
    """Kill the first of these processes (``kill -9``), and wait until it is gone."""
    os.kill(pids[0], 9)
    wait_until(lambda: not is_running(pids[0]), "the process to be gone")
