"""Who was let in, for when the other server cannot be asked."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from giftless.interfaces import Bearer, Credential, Password
from giftless.storage.mirror.permissions import DIRECTORY, Permissions
from giftless.storage.mirror.upstreams import Place
from tests.support.blocking import InlineBlocking
from tests.support.run import CoroutineTestCase

RAY = Password("ray", "secret")


class PermissionTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.state = Path(self.mktemp())
        self.permissions = self.worker()
        self.place = self.at("https://one.example/a/b.git/info/lfs")

    def worker(self, most: int = 400) -> Permissions:
        """Return what another worker has, or this one after a restart.

        :param most: how many files a folder may have.
        """
        return Permissions(
            str(self.state), b"k" * 32, 100, InlineBlocking(), self.clock.seconds, most
        )

    def at(self, api: str) -> Place:
        """Return the place of a repository."""
        nobody: Any = None
        return Place(nobody, api)

    def until(self, credential: Credential | None = RAY, api: str = "") -> float | None:
        """Ask another worker until when somebody may read."""
        place = self.at(api) if api else self.place
        return self.run_now(self.worker().until(place, credential))

    def allow(self, credential: Credential | None = RAY) -> None:
        """Let somebody in."""
        self.run_now(self.permissions.allow(self.place, credential))

    def test_it_is_remembered_for_one_caller_and_one_repository(self) -> None:
        self.assertIsNone(self.until())
        self.allow()
        self.assertEqual(self.until(), 1_000_100)
        for other in (None, Password("ray", ""), Password("ra", "y:secret"), Bearer("secret")):
            self.assertIsNone(self.until(other), other)
        self.assertIsNone(self.until(api="https://one.example/a/c.git/info/lfs"))
        self.assertIsNone(self.until(api="https://two.example/a/b.git/info/lfs"))

    def test_it_ends_after_its_time_and_begins_anew_with_each_answer(self) -> None:
        self.allow()
        self.clock.advance(60)
        self.allow()
        self.clock.advance(99)
        self.assertEqual(self.until(), 1_000_160)
        self.clock.advance(1)
        self.assertIsNone(self.until())

    def test_whoever_is_refused_is_forgotten_by_all_workers(self) -> None:
        self.allow()
        self.run_now(self.worker().forget(self.place, RAY))
        self.assertIsNone(self.until())
        self.run_now(self.worker().forget(self.place, RAY))

    def test_whoever_is_let_in_again_is_remembered_again(self) -> None:
        self.allow()
        self.run_now(self.permissions.forget(self.place, RAY))
        self.allow()
        self.assertIsNotNone(self.until())

    def test_credentials_that_are_made_up_do_not_fill_the_disk(self) -> None:
        """A server that lets in everybody lets them all in."""
        self.permissions = self.worker(most=2)
        made_up = [Password(f"user{number}", "") for number in range(700)]
        for credential in made_up:
            self.clock.advance(0.01)
            self.allow(credential)
        files = [path for path in (self.state / DIRECTORY).rglob("*") if path.is_file()]
        self.assertLessEqual(len(files), 2 * 256)
        # Those who were let in last stay.
        self.assertIsNotNone(self.until(made_up[-1]))
        self.assertIsNotNone(self.until(made_up[-2]))
        self.assertIsNone(self.until(made_up[0]))

    def test_a_time_that_lies_ahead_counts_for_nothing(self) -> None:
        self.allow()
        self.clock.advance(-5000)
        self.assertIsNone(self.until())

    def test_the_files_tell_nobody_who_it_is(self) -> None:
        self.allow()
        (path,) = [path for path in (self.state / DIRECTORY).rglob("*") if path.is_file()]
        self.assertNotIn("ray", str(path.relative_to(self.state)))
        self.assertEqual(path.read_bytes(), b"")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(path.parent).st_mode), 0o700)

    def test_what_holds_no_more_is_swept_away(self) -> None:
        self.allow()
        self.clock.advance(50)
        self.allow(None)
        self.clock.advance(60)
        self.run_now(self.worker().sweep())
        self.assertIsNone(self.until())
        self.assertIsNotNone(self.until(None))

    def test_a_disk_that_takes_nothing_refuses_nobody(self) -> None:
        self.state.mkdir()
        (self.state / DIRECTORY).write_text("in the way")
        self.allow()
        self.assertEqual(len(self.flushLoggedErrors()), 0)
