"""The command line of ``giftless fsck``."""

from __future__ import annotations

import os
from typing import Any

from twisted.python import usage

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.app.space import build_space
from giftless.base.units import Size
from giftless.commands import CONFIG, Command, CommandError
from giftless.commands.fsck.running import Plan, Run
from giftless.commands.object_commands import JSON_LINES
from giftless.commands.parts import Interrupted, use_parts
from giftless.usecases.fsck.selection import Subset

#: The most objects that may be read at once.
_MOST_JOBS = 64


class FsckCommand(Command):
    """The command line of ``giftless fsck``."""

    synopsis = (
        "[--config FILE] [--read-data | --read-data-subset PART] [--rate SIZE] [--jobs N]"
        " [--quarantine] [--json] [REPO...]"
    )
    longdesc = (
        "Look whether everything is stored as it should be, of REPO (paths, or patterns such as"
        " 'acme/*') or of all repositories: names, sizes, modes, what is missing that the"
        " catalogue knows, and what nobody needs. With --read-data, every object is read and"
        " compared with its oid. If that is interrupted, the same command goes on. Nothing is"
        " changed, unless --quarantine is given. Exits with 0 if nothing is wrong, 1 if it"
        " cannot run, and for the worst that it finds: 2 for wrong bytes or missing objects,"
        " 3 for unreadable ones, 4 if it could not look, 5 for what is odd and harms no object."
    )
    optParameters: Any = [
        CONFIG,
        ["read-data-subset", None, None, "Read a part only: 5%, 10G, or 2/7 (the second of 7)."],
        ["rate", None, None, "Read at most so many bytes a second, such as 50M."],
        [
            "jobs",
            None,
            None,
            "Read so many objects at once (by default 1, of buckets 8).",
        ],
    ]
    optFlags = [
        ["read-data", None, "Read every object, and compare it with its oid."],
        ["quarantine", None, "Mark what is wrong as damaged, so that it is uploaded again."],
        ["ignore-checksums", None, "Read what the store keeps a checksum of, too."],
        ["restart", None, "Begin anew, and do not go on where the last run was interrupted."],
        JSON_LINES,
    ]

    def __init__(self) -> None:
        super().__init__()
        self._patterns: tuple[str, ...] = ()
        self._run: Run | None = None

    def parseArgs(self, *patterns: str) -> None:
        """Take the repositories."""
        self._patterns = patterns

    def postOptions(self) -> None:
        """Read amounts."""
        for name, parse in (("read-data-subset", Subset.parse), ("rate", _rate), ("jobs", _jobs)):
            if self[name] is not None:
                try:
                    self[name] = parse(self[name])
                except ValueError as error:
                    raise usage.UsageError(f"--{name}: {error}") from None

    def run(self) -> None:
        """Examine the store.

        :raises SystemExit: with the status of the worst that was found.
        """
        try:
            use_parts(config.load(self["config"], os.environ), self._work)
        except Interrupted:
            if not self["read-data"] and not self["read-data-subset"]:
                raise
            raise CommandError("interrupted; the same command goes on from here") from None
        assert self._run is not None, "it has ended well"
        if self._run.status:
            raise SystemExit(self._run.status)

    async def _work(self, settings: Config, parts: PartBuilder) -> None:
        space = build_space(settings, parts, bool(self["quarantine"]))
        parts.environment.services.startService()
        subset = self["read-data-subset"]
        if subset is None and self["read-data"]:
            subset = Subset()
        plan = Plan(
            patterns=self._patterns,
            subset=subset,
            rate=self["rate"],
            jobs=self["jobs"],
            quarantines=bool(self["quarantine"]),
            trusting=not self["ignore-checksums"],
            restarts=bool(self["restart"]),
            as_json=bool(self["json"]),
        )
        self._run = Run(plan, settings, parts.environment, space)
        await self._run.work()


def _rate(text: str) -> Size:
    rate = Size.of(text)
    if not rate:
        raise ValueError("allowed is a size above 0, such as 50M")
    return rate


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_JOBS:
        raise ValueError(f"allowed is a number from 1 to {_MOST_JOBS}")
    return int(text)
