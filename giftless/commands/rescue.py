"""``giftless rescue``: push back what a server lacks and clones have."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from twisted.python import usage

from giftless.base.pace import Pace
from giftless.client.clone import Clone
from giftless.client.connections import Connections
from giftless.client.endpoints import Endpoint, endpoint_of
from giftless.client.rescuing import PROBLEMS, Finding, Holdings, Rescue, Totals
from giftless.commands import Command
from giftless.commands.alone import run_alone
from giftless.commands.amounts import MOST_JOBS, read_amounts
from giftless.commands.harmless import harmless
from giftless.commands.object_commands import JSON_LINES
from giftless.commands.output import as_json_line, counted, write_lines
from giftless.commands.progress import Progress
from giftless.commands.units import size
from giftless.interfaces import IBlocking
from giftless.references.git import Git

#: How many objects are sent at once by default.
_JOBS: Final = 8

#: How long one run of git may take, in seconds.
_GIT_TIMEOUT: Final = 7200.0

#: The status of a command that has left something undone.
INCOMPLETE: Final = 2

#: How results are told in words.
_WORDS: Final = {
    "sent": "sent",
    "wanted": "to be sent",
    "lost": "that no clone has",
    "refused": "that the server refuses",
    "failed": "that could not be sent",
}


class Summary(msgspec.Struct, frozen=True):
    """The last line of JSON.

    :ivar servers: how many servers were asked.
    :ivar present: how many objects they have.
    :ivar objects: how many of the others had each result.
    :ivar size: how many bytes were sent, or would be.
    """

    servers: int
    present: int
    objects: dict[str, int]
    size: int


class _Last(msgspec.Struct, frozen=True):
    summary: Summary


class RescueCommand(Command):
    """The command line of ``giftless rescue``."""

    synopsis = (
        "[--url URL] [--remote NAME] [--everything] [--rate SIZE] [--jobs NUMBER] [--dry-run]"
        " [--json] CLONE..."
    )
    longdesc = (
        "Push to the LFS server of each CLONE what it lacks of all that refs of the clones lead"
        " to, and one of the clones has.  Nothing of the server's configuration is needed: it is"
        " the server that git-lfs uses, with your own credentials.  Files that are damaged are"
        " not sent, and what was sent is asked for afterwards.  Exits with 2 if the server still"
        " lacks something."
    )
    optParameters: Any = [
        ["url", None, None, "The LFS server, instead of the one that the clones name."],
        ["remote", None, None, "Whose LFS server it is; as git-lfs chooses if not given."],
        ["rate", None, None, "The most bytes to send each second, such as 50M."],
        ["jobs", None, _JOBS, f"How many objects at once, up to {MOST_JOBS}.", int],
    ]
    optFlags: Any = [
        ["everything", None, "Send what no ref leads to as well."],
        ["dry-run", "n", "Only say what would be sent."],
        JSON_LINES,
    ]

    def __init__(self) -> None:
        super().__init__()
        self._totals = Totals()

    def parseArgs(self, *clones: str) -> None:
        """Take the clones."""
        if not clones:
            raise usage.UsageError("say which clones may have what the server lacks: CLONE...")
        self["clones"] = clones

    def postOptions(self) -> None:
        """Check the options."""
        read_amounts(self)

    def run(self) -> None:
        """Rescue, and end with :data:`INCOMPLETE` if servers still lack something."""
        run_alone(self._work, self["jobs"] + 1)
        if self._totals.problems:
            raise SystemExit(INCOMPLETE)

    async def _work(self, reactor: Any, blocking: IBlocking) -> None:
        git = Git(_GIT_TIMEOUT)
        # Killed in time, so that this process can end.
        reactor.addSystemEventTrigger("before", "shutdown", git.stop)
        servers = await blocking.run(self._servers)
        pace = Pace(self["rate"], reactor)
        for endpoint, clones in servers:
            await self._rescue(reactor, blocking, git, pace, endpoint, clones)
        self._conclude(len(servers))

    def _servers(self) -> Sequence[tuple[Endpoint, Sequence[Clone]]]:
        """Find the servers, and which clones each has; blocks.

        :raises ServerError: if one cannot be told.
        """
        found: dict[str, tuple[Endpoint, list[Clone]]] = {}
        for path in self["clones"]:
            clone = Clone(Path(path))
            endpoint = (
                endpoint_of(self["url"], "--url")
                if self["url"] is not None
                else clone.endpoint("upload", self["remote"])
            )
            found.setdefault(endpoint.name, (endpoint, []))[1].append(clone)
        return list(found.values())

    async def _rescue(
        self,
        reactor: Any,
        blocking: IBlocking,
        git: Git,
        pace: Pace,
        endpoint: Endpoint,
        clones: Sequence[Clone],
    ) -> None:
        holdings = Holdings(clones)
        await blocking.run(holdings.gather, git, bool(self["everything"]))
        connections = Connections(reactor, blocking, clones[0].path, ask=sys.stdin.isatty())
        try:
            rescue = Rescue(
                connections.server(endpoint),
                holdings,
                blocking,
                pace,
                self["jobs"],
                self._tell,
                self._totals,
            )
            show = partial(Progress, quiet=bool(self["json"]), summary=False)
            with show(len(holdings.needed), "objects", f"asking {endpoint.name}") as progress:
                lacking = await rescue.survey(progress.add)
            if self["dry-run"]:
                rescue.tell_wanted(lacking)
                return
            with show(sum(lacking.values()), "bytes", "sending") as progress:
                await rescue.send(lacking, progress.add)
        finally:
            await connections.close()

    def _tell(self, finding: Finding) -> None:
        if self["json"]:
            write_lines([as_json_line(finding)])
        elif finding.result in {*PROBLEMS, "rotten", "wanted"}:
            parts = [f"{finding.result:<8}", finding.oid, finding.path, finding.problem]
            write_lines([harmless("  ".join(filter(None, parts)))])

    def _conclude(self, servers: int) -> None:
        totals = self._totals
        if self["json"]:
            summary = Summary(servers, totals.present, dict(totals.objects), totals.size)
            write_lines([as_json_line(_Last(summary))])
            return
        parts = [
            f"{counted(count, 'object')} {words}"
            for result, words in _WORDS.items()
            if (count := totals.objects[result])
        ]
        if totals.size:
            parts[0] += f" ({size(totals.size)})"
        if rotten := totals.objects["rotten"]:
            parts.append(f"{rotten:,} rotten file{'s' * (rotten != 1)} of the clones not used")
        there = f"{counted(totals.present, 'object')} on the server already"
        write_lines([f"{'; '.join([*parts, there])}."])
