"""The image runs: as nobody in particular, on a root that it cannot write to.

It takes minutes to build, so only ``make soak`` does.
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.containers.running import Container, image
from tests.integration.support import REPO, IntegrationTestCase
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.rounds import rounds

MIB = 1024 * 1024


class ContainerTests(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        if not rounds(0, 1):
            raise SkipTest("the image is built in 'make soak'")
        image()
        self.port = free_port()
        self.volume = self.directory / "volume"
        self.volume.mkdir()

    def start(self, user: str = "", memory: int = 0, **environ: str) -> Container:
        """Start a container in which everybody may write."""
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        container = Container(f"giftless-{uuid.uuid4().hex}", directory)
        self.addCleanup(container.remove)
        variables = {
            "GIFTLESS_ENDPOINTS__0": f"tcp:{self.port}:interface=127.0.0.1",
            "GIFTLESS_ADMIN__ENDPOINTS__0": f"tcp:{free_port()}:interface=127.0.0.1",
            "GIFTLESS_AUTH__0__ACCESS": "read-write",
            **environ,
        }
        container.start(self.volume, variables, user, memory)
        return container

    def started(self, user: str = "", memory: int = 0, **environ: str) -> Container:
        """Start a container, and wait until it serves."""
        container = self.start(user, memory, **environ)
        wait_until(lambda: container.run("giftless", "health").returncode == 0, "its health")
        return container

    def test_git_pushes_and_clones_whoever_it_runs_as(self) -> None:
        git = self.make_git()
        for number, user in enumerate(("", "1000650000:0")):
            self.volume = self.directory / f"volume{number}"
            self.volume.mkdir()
            os.chown(self.volume, 10001, 0)
            self.volume.chmod(0o770)
            container = self.started(user)
            repo = git.create(
                self.directory / f"work{number}", f"http://127.0.0.1:{self.port}/{REPO}-{number}"
            )
            self.assert_round_trip(repo, {"a.bin": os.urandom(3 * MIB)})
            container.signal("TERM")
            container.wait_until_ended()
            self.assertNotRegex(container.log, '"level":"(warn|error|critical)"')

    def test_a_signal_before_python_runs_ends_it(self) -> None:
        os.chown(self.volume, 10001, 0)
        container = self.start()
        wait_until(container.has_begun, "it to begin")
        container.signal("TERM")
        container.wait_until_ended()
        self.assertEqual(container.log, "")

    def test_no_more_workers_than_have_room(self) -> None:
        os.chown(self.volume, 10001, 0)
        container = self.started(memory=700 * MIB)
        self.assertEqual(len(re.findall("worker [0-9]+ is ready", container.log)), 1)

    def test_a_volume_of_somebody_else_is_refused_in_words(self) -> None:
        container = self.start()
        container.wait_until_ended()
        self.assertIn("cannot be used: Permission denied", container.log)
        self.assertIn("which runs as user 10001", container.log)

    def test_a_misspelt_variable_is_named(self) -> None:
        container = self.start(GIFTLESS_STORGE__PATH="/x")
        container.wait_until_ended()
        self.assertIn("giftless: environment GIFTLESS_STORGE__PATH: storge: unknown", container.log)
