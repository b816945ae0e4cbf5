"""``giftless doctor``: look at a clone's server as git-lfs would use it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from giftless.base.git_settings import settings_for
from giftless.base.http_client import client_over
from giftless.base.threads import Threads
from giftless.client.clone import Clone
from giftless.client.connecting import GitAgent
from giftless.client.credentials import Credentials
from giftless.client.errors import ServerError
from giftless.commands import Command, CommandError
from giftless.commands.doctor.access import ask_to_write, log_in
from giftless.commands.doctor.addresses import look_at_addresses
from giftless.commands.doctor.agent import look_at_agent
from giftless.commands.doctor.clocks import look_at_clock
from giftless.commands.doctor.locks import look_at_locks
from giftless.commands.doctor.objects import look_at_objects
from giftless.commands.doctor.reaching import look_at_settings, look_at_tools, reach
from giftless.commands.doctor.session import Session
from giftless.commands.doctor.transfers import bring_down, look_for_probe, send_much, send_up
from giftless.commands.findings import JSON, Report

#: How many questions to git may be asked at once.
_THREADS = 2


class DoctorCommand(Command):
    """The command line of ``giftless doctor``."""

    synopsis = "[--remote NAME] [--read-only] [--json] [CLONE]"
    longdesc = (
        "Find out why large files do not go up or come down: look from the clone in the folder"
        " CLONE (by default the current one) at its LFS server, whichever it is. It stores a"
        " test object of 1 MB, once in each repository, and takes a lock and releases it,"
        " unless --read-only. The exit status is 1 if something has failed."
    )
    optParameters: Any = [
        ["remote", "r", None, "The remote that is asked about; by default the usual one."],
    ]
    optFlags = [["read-only", None, "Send nothing to be stored, and take no lock."], JSON]

    def parseArgs(self, clone: str = ".") -> None:
        """Take the clone."""
        self["clone"] = clone

    def run(self) -> None:
        """Make all checks, and print what they find.

        :raises CommandError: if there is no clone.
        :raises SystemExit: with status 1, if something has failed.
        """
        try:
            clone = Clone(Path(self["clone"]))
        except ServerError as error:
            raise CommandError(error.problem) from None
        report = Report(bool(self["json"]), "user")
        react(lambda reactor: Deferred.fromCoroutine(self._examine(reactor, clone, report)))

    async def _examine(self, reactor: Any, clone: Clone, report: Report) -> None:
        threads = Threads(reactor, _THREADS)
        threads.startService()
        ask = sys.stdin.isatty() and not self["json"]
        settings = partial(settings_for, directory=str(clone.path))
        agent = GitAgent(reactor, threads, settings)
        session = Session(
            clone,
            self["remote"],
            client_over(agent),
            Credentials(threads, clone.path, ask),
            threads,
            reactor,
            ask,
            bool(self["read-only"]),
        )
        try:
            await examine(session, report, quiet=bool(self["json"]))
        finally:
            await agent.close()
            threads.stopService()
        report.end()
        if report.failed:
            raise SystemExit(1)


async def examine(session: Session, report: Report, quiet: bool = False) -> None:
    """Make one check after the other, as far as each makes sense after those before.

    :param quiet: whether progress is shown in terminals only.
    """
    add = report.add
    await look_at_tools(session, add)
    if not await look_at_settings(session, add):
        return
    answer = await reach(session, add)
    look_at_clock(session, add)
    if answer is None or not await log_in(session, answer, add):
        await look_at_agent(session, add)
        return
    await look_at_objects(session, quiet, add)
    answered = await ask_to_write(session, add)
    if answered is not None and not answered.actions:
        # It is there from an earlier run, and its bytes are known.
        await look_for_probe(session, add)
    answers = [each for each in (answered, session.present) if each is not None]
    if await look_at_addresses(session, answers, add):
        if answered is not None and await send_up(session, answered, add):
            await look_for_probe(session, add)
        await bring_down(session, add)
        if session.writable:
            await send_much(session, add)
    await look_at_locks(session, add)
    await look_at_agent(session, add)
