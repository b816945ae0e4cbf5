"""The command line of ``giftless gc``."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from twisted.python import usage

from giftless.app import config
from giftless.app.backends import build_authenticators
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.app.space import build_space
from giftless.base.units import Duration, Share
from giftless.commands import CONFIG, Command, CommandError, who
from giftless.commands.arguments import repository
from giftless.commands.gc.jobs import (
    Forges,
    Hosts,
    Job,
    Names,
    require_objects,
    stored_repositories,
)
from giftless.commands.gc.reports import RepositoryReport, show
from giftless.commands.gc.running import Policy, Run
from giftless.commands.object_commands import REALLY
from giftless.commands.parts import discard_output, use_parts
from giftless.lfs.objects import Repo
from giftless.references.errors import NoReferences
from giftless.references.gathering import Bounds, ObjectList
from giftless.references.git import Git
from giftless.references.records import Records
from giftless.references.sources import Source, parse_source
from giftless.usecases.collection import Collector
from giftless.usecases.locks import By

#: For how long what was offered stays by default: as long as git keeps what it prunes.
_GRACE: Final = "14d"

#: The refs of pull requests and their like, on GitHub and Gitea, GitLab, and Bitbucket.
_PULL_REQUESTS: Final = ("refs/pull/*", "refs/merge-requests/*", "refs/pull-requests/*")

#: A pattern of refs, as git takes it.
_PATTERN: Final = re.compile(r"refs/[^*\s~^:?\[\\]*\*?[^*\s~^:?\[\\]*")

#: The options that are amounts, and of what.
_AMOUNTS: Final[dict[str, type[Duration] | type[Share]]] = {
    "grace": Duration,
    "git-timeout": Duration,
    "max-shrink": Share,
}

#: A list may be older than the clock of its file system says, in seconds.
_SLACK: Final = 60.0


class GcCommand(Command):
    """The command line of ``giftless gc``."""

    synopsis = (
        "[--config FILE] [--from URL]... [--keep-from FILE]... [--grace TIME] [--really] [--json]"
        " REPO... | --all"
    )
    longdesc = (
        "Find which objects of REPO no ref of its git repositories leads to, and move them into"
        " the trash with --really; without it, only say which would be moved. What a client that"
        " pushes has offered within the grace period stays. Name every git repository that keeps"
        " objects under REPO by --from, or a list of objects by --keep-from; without them, the"
        " forges of the configuration are asked. The daemon may run meanwhile."
    )
    optParameters: Any = [
        CONFIG,
        ["grace", "g", _GRACE, "For how long what was offered stays, such as 14d."],
        [
            "max-shrink",
            None,
            "50%",
            "By how much less may be named than last time.",
        ],
        ["git-timeout", None, "2h", "How long one run of git may take."],
    ]
    optFlags = [
        REALLY,
        ["all", "a", "Collect all repositories that are stored, each as its forge has it."],
        ["no-pull-requests", None, "Leave out the refs of pull requests and merge requests."],
        ["reflogs", None, "Keep what reflogs lead to, too (of repositories on this machine)."],
        ["allow-empty", None, "Take it for right that a git repository names no object."],
        ["allow-shrunken", None, "Take it for right that much less is named than last time."],
        ["json", "j", "Print one JSON object."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self._sources: list[Source] = []
        self._lists: list[ObjectList] = []
        self._ignored: list[str] = []
        self._repos: Sequence[Repo] = ()
        self._complete = False

    def opt_from(self, url: str) -> None:
        """A git repository whose objects are kept: a URL, or a directory (repeatable)."""
        try:
            self._sources.append(parse_source(url))
        except NoReferences as error:
            raise usage.UsageError(str(error)) from None

    def opt_keep_from(self, file: str) -> None:
        """A list of what is kept, from 'git lfs ls-files --all --long'; - is stdin (repeatable)."""
        if file == "-":
            self._lists.append(ObjectList("stdin", _stdin))
        else:
            self._lists.append(ObjectList(file, partial(_open, file)))

    def opt_ignore_refs(self, pattern: str) -> None:
        """Leave out refs, such as 'refs/pull/*' (repeatable)."""
        if not _PATTERN.fullmatch(pattern):
            raise usage.UsageError(f"{pattern!r} is no pattern of refs, such as refs/pull/*")
        self._ignored.append(pattern)

    def parseArgs(self, *paths: str) -> None:
        """Take the repositories; ``-`` is a list on standard input."""
        if "-" in paths:
            self.opt_keep_from("-")
        self._repos = list(dict.fromkeys(repository(path) for path in paths if path != "-"))

    def postOptions(self) -> None:
        """Read amounts, and check what belongs together."""
        for name, kind in _AMOUNTS.items():
            try:
                self[name] = kind.of(self[name])
            except ValueError as error:
                raise usage.UsageError(f"--{name}: {error}") from None
        named = self._sources or self._lists
        if self["all"] and (self._repos or named):
            raise usage.UsageError("--all needs neither REPO nor --from nor --keep-from")
        if not self["all"] and not self._repos:
            raise usage.UsageError("say which repositories: REPO..., or --all")
        if [item.name for item in self._lists].count("stdin") > 1:
            raise usage.UsageError("stdin can be read once")
        if self["no-pull-requests"]:
            self._ignored += _PULL_REQUESTS

    def run(self) -> None:
        """Open the store and the catalogue, and collect."""
        use_parts(config.load(self["config"], os.environ), self._work)
        if not self._complete:
            raise CommandError("interrupted; what was moved is in the trash, the rest is stored")

    async def _work(self, settings: Config, parts: PartBuilder) -> None:
        self._check_lists()
        space = build_space(settings, parts, self["really"])
        environment = parts.environment
        environment.services.startService()
        trash = space.required_trash
        hosts = self._hosts(settings, parts)
        git = Git(self["git-timeout"])
        # Killed in time, so that this process can end.
        reactor: Any = environment.reactor
        reactor.addSystemEventTrigger("before", "shutdown", git.stop)
        policy = Policy(
            really=bool(self["really"]),
            grace=self["grace"],
            bounds=Bounds(
                shrink=self["max-shrink"],
                allow_empty=bool(self["allow-empty"]),
                allow_shrunken=bool(self["allow-shrunken"]),
            ),
            ignored=self._ignored,
            reflogs=bool(self["reflogs"]),
            as_json=bool(self["json"]),
        )
        records = Records(Path(settings.state_dir) / "gc")
        assert space.catalogue is not None, "there is a trash"
        names = Names({**await space.catalogue.aliases(), **settings.aliases})
        by = By(who("giftless gc"))
        collector = Collector(trash.listing, space.catalogue, trash, space.events, by)
        run = Run(
            policy,
            collector,
            records,
            git,
            environment.blocking,
            environment.reactor,
            environment.wall_clock,
            self._show,
        )
        try:
            with records.held() as directory:
                if self["really"]:
                    await trash.rescue()
                repos = self._repos
                if self["all"]:
                    repos = await stored_repositories(trash.listing)
                else:
                    for repo in repos:
                        names.check(repo)
                        await require_objects(trash.listing, repo)
                forges = Forges(hosts, git, environment.blocking)
                await run.collect(await self._jobs(repos, names, forges), directory)
        except NoReferences as error:
            self._complete = True
            raise CommandError(str(error)) from None
        self._complete = True
        if self["json"]:
            print(run.report.as_json())
        elif not self["really"]:
            print("Nothing was moved: this was a dry run; add --really.")
        if count := run.report.problems:
            noun = "repository was" if count == 1 else "repositories were"
            raise CommandError(f"{count} {noun} not collected to the end; see its problem")

    async def _jobs(self, repos: Sequence[Repo], names: Names, forges: Forges) -> Sequence[Job]:
        if self._sources or self._lists:
            return [Job(repos, self._sources, self._lists)]
        return [await forges.job(repo, names.of(repo)) for repo in repos]

    def _hosts(self, settings: Config, parts: PartBuilder) -> Hosts:
        """Build the forges, if they are needed.

        :raises CommandError: if there is none.
        """
        if self._sources or self._lists:
            return Hosts({})
        build_authenticators(settings, parts)
        hosts = Hosts(parts.built)
        if not hosts:
            raise CommandError(
                "the configuration has no forge that could tell where to clone from; name the"
                " git repositories by --from, or a list of objects by --keep-from"
            )
        return hosts

    def _check_lists(self) -> None:
        """Refuse lists that are older than the grace period: it must cover their age.

        :raises CommandError: if one is, or cannot be read.
        """
        for item in self._lists:
            if item.name == "stdin" or not self["grace"]:
                continue
            try:
                age = time.time() - os.stat(item.name).st_mtime
            except OSError as error:
                raise CommandError(f"{item.name} cannot be read: {error.strerror}") from None
            if age > self["grace"] + _SLACK:
                raise CommandError(
                    f"{item.name} is older than the grace period: what was pushed since is not"
                    " among it; make it anew"
                )

    def _show(self, report: RepositoryReport, since: float) -> None:
        if self["json"]:
            return
        try:
            print(show(report, self["really"], since), flush=True)
        except BrokenPipeError:
            # That nobody reads it must not end what is being done.
            discard_output()


def _open(file: str) -> BinaryIO:
    return open(file, "rb")


def _stdin() -> BinaryIO:
    return sys.stdin.buffer
