"""What ``twistd giftless`` does before it becomes the daemon."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime import twistd
from giftless.runtime.daemon import Daemon
from giftless.runtime.instance import Instance
from giftless.runtime.twistd import Options


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        self.directory.mkdir()
        self.patch(os, "environ", {"PATH": "/bin"})

    def service(self, check: bool = False, **twistd: Any) -> Daemon:
        """Make the daemon."""
        config = self.directory / "giftless.yaml"
        settings = {
            "storage": {"type": "local", "path": str(self.directory / "objects")},
            "state_dir": str(self.directory / "state"),
        }
        config.write_text(yaml.safe_dump(settings))
        options = Options()
        options["config"] = str(config)
        options["check"] = check
        parent: Any = {"nodaemon": True, **twistd}
        options.parent = parent
        return options.getService(reactor)

    def made(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def test_every_part_is_built_before_the_terminal_is_left(self) -> None:
        self.assertIsInstance(self.service(nodaemon=False), Daemon)
        self.assertEqual(self.made(), ["giftless.yaml", "objects", "state"])

    def test_the_workers_build_the_parts_in_the_foreground(self) -> None:
        self.assertIsInstance(self.service(nodaemon=True), Daemon)
        self.assertEqual(self.made(), ["giftless.yaml"])

    def test_nothing_is_made_that_belongs_to_the_wrong_user(self) -> None:
        self.assertIsInstance(self.service(nodaemon=False, uid=65534), Daemon)
        self.assertEqual(self.made(), ["giftless.yaml"])

    def test_the_parent_does_not_import_what_only_workers_need(self) -> None:
        """That takes half of the time to start, and 10 MB."""
        program = (
            "import giftless.runtime.twistd, sys;"
            " print(*(name for name in ('klein', 'treq', 'giftless.runtime.instance')"
            " if name in sys.modules))"
        )
        found = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, text=True
        )
        self.assertEqual(found.stdout.split(), [])

    def test_check_as_the_user_who_will_run(self) -> None:
        """``--check`` becomes the user first: what it makes is not root's, nor what it may."""
        became: list[tuple[Any, ...]] = []
        self.patch(twistd, "switchUID", lambda *user: became.append((*user, self.made())))
        self.patch(Instance, "run_checks", lambda _: [])
        end = self.assertRaises(SystemExit, self.service, check=True, uid=65534, gid=1234)
        self.assertEqual(end.code, 0)
        self.assertEqual(became, [(65534, 1234, ["giftless.yaml"])])
        self.assertEqual(self.made(), ["giftless.yaml", "objects", "state"])

    def test_group_of_the_user(self) -> None:
        """Without ``--gid`` it is the user's own group, as for ``twistd`` itself."""
        user = pwd.getpwall()[-1]
        became: list[tuple[int, int]] = []
        self.patch(twistd, "switchUID", lambda *user: became.append(user))
        self.patch(Instance, "run_checks", lambda _: [])
        self.assertRaises(SystemExit, self.service, check=True, uid=user.pw_uid, gid=None)
        self.assertEqual(became, [(user.pw_uid, pwd.getpwuid(user.pw_uid).pw_gid)])

    def test_only_root_becomes_somebody_else(self) -> None:
        """Who may not check as the user is told so, in one line."""

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        self.patch(twistd, "switchUID", refuse)
        end = self.assertRaises(SystemExit, self.service, check=True, uid=65534, gid=65534)
        self.assertRegex(str(end.code), r"\Agiftless: cannot run as uid 65534, gid 65534: .*\Z")
        self.assertEqual(self.made(), ["giftless.yaml"])
