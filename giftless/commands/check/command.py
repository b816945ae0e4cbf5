"""``giftless check``: everything that ``twistd giftless --check`` tries, and what time changes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from giftless.app import config, permissions, plugins
from giftless.app.assembly import build_fronts
from giftless.app.backends import Backends, build_backends
from giftless.app.config import Config, Loaded
from giftless.app.plugins import PartBuilder
from giftless.app.selfcheck import problem_of
from giftless.base.concurrency import settle
from giftless.commands import CONFIG, Command
from giftless.commands.check.certificates import look_at_certificates, look_at_server
from giftless.commands.check.clocks import look_at_stores
from giftless.commands.check.daemon import (
    become,
    look_at_daemon,
    look_at_public_url,
    user_of,
)
from giftless.commands.check.folders import look_at_folder, written_folders
from giftless.commands.check.processes import Process, find_daemon
from giftless.commands.check.versions import look_at_versions
from giftless.commands.findings import JSON, Finding, Report, failed, ok, warning
from giftless.commands.parts import use_parts
from giftless.errors import ConfigError
from giftless.interfaces import ICheckable
from giftless.runtime.checks import check_listener, check_sockets, unreachable
from giftless.runtime.instance import used_fronts
from giftless.runtime.sockets.endpoints import (
    admin_listenings,
    check_endpoints,
    places,
    worker_listenings,
)

_CORRECT = "correct it; the reference of the configuration explains every key"


class CheckCommand(Command):
    """The command line of ``giftless check``."""

    synopsis = "[--config FILE] [--user USER] [--json]"
    longdesc = (
        "Try whether the server can do its work with a configuration: everything that"
        " twistd giftless --check tries; permissions, certificates, disks, descriptors,"
        " versions and clocks besides. It may run beside the daemon, and changes nothing."
        " Run it as root, or as the user that the daemon runs as. The exit status is 1 if"
        " something has failed."
    )
    optParameters: Any = [
        CONFIG,
        ["user", "u", None, "The user that the daemon runs as, if it does not run now."],
    ]
    optFlags = [JSON]

    def run(self) -> None:
        """Try everything, and print what is found.

        :raises SystemExit: with status 1, if something has failed.
        """
        report = Report(bool(self["json"]), "operator")
        try:
            loaded = config.load(self["config"], os.environ)
        except ConfigError as error:
            report.add(failed("configuration", str(error), operator=_CORRECT))
        else:
            report.add(ok("configuration", f"{loaded.source or 'embedded defaults'} can be read"))
            self._examine(loaded, report)
        report.end()
        if report.failed:
            raise SystemExit(1)

    def _examine(self, loaded: Loaded, report: Report) -> None:
        options = loaded.config
        endpoints = [
            *(each.description for each in worker_listenings(options)),
            *(each.description for each in admin_listenings(options.admin)),
        ]
        daemon = find_daemon(endpoints)
        uid = user_of(self["user"], daemon, options.state_dir)

        async def examine(options: Config, parts: PartBuilder) -> None:
            threads = parts.environment.blocking
            clock = parts.environment.reactor
            # With the rights of whoever starts the daemon.
            for finding in look_at_sockets(loaded, clock):
                report.add(finding)
            # This imports the code of all plugins, which that user need not be able to read.
            for finding in (*look_at_versions(), *look_at_files(loaded)):
                report.add(finding)
            report.add(become(uid))
            backends = build(loaded, parts, report)
            if backends is not None:
                await try_parts(loaded, parts, backends, report)
                for finding in await look_at_stores(parts.built, time.time):
                    report.add(finding)
            now = time.time()
            for finding in look_at_certificates(endpoints, now):
                report.add(finding)
            if daemon and options.public_url:
                shown = await threads.run(look_at_server, options.public_url, now)
                if shown is not None:
                    report.add(shown)
                http = parts.environment.http
                report.add(await look_at_public_url(options.public_url, http, clock))
            for finding in _look_at_machine(options, daemon):
                report.add(finding)

        use_parts(loaded, examine)


def look_at_sockets(loaded: Loaded, reactor: Any) -> Iterator[Finding]:
    """Look whether the daemon can listen where it is to, and be reached there."""
    words = "have the daemon listen elsewhere, or make room for it"
    try:
        problems = [*check_sockets(loaded.config, reactor), *unreachable(loaded.config)]
    except ConfigError as error:
        yield failed("sockets", str(_located(error, loaded)), operator=words)
        return
    for problem in problems:
        found, _, advice = problem.partition("; ")
        yield warning("sockets", found, operator=advice)
    if not problems:
        yield ok("sockets", "the daemon can listen on all endpoints, or does so")


def look_at_files(loaded: Loaded) -> Iterator[Finding]:
    """Look at plugin files, and at who may read and write what the configuration names."""
    for problem in (*plugins.broken_files(), *plugins.unusable()):
        yield warning("plugins", problem, operator="correct the plugin, or remove its file")
    lines = list(permissions.warnings(loaded.config, loaded.source, loaded.text, os.environ))
    for line in lines:
        found, _, command = line.rpartition(": ")
        yield warning("permissions", found, operator=f"run {command} on it")
    if not lines:
        yield ok("permissions", "nobody else can read secrets, or write what the daemon relies on")


def build(loaded: Loaded, parts: PartBuilder, report: Report) -> Backends | None:
    """Build every part of the configuration, and report what cannot be built.

    :returns: ``None`` if one cannot.
    """
    options, environment = loaded.config, parts.environment
    try:
        backends = build_backends(options, parts)
        fronts = build_fronts(options, environment, backends)
        endpoints = worker_listenings(options)
        used_fronts(endpoints, {front.name: front for front in fronts})
        check_endpoints(environment.reactor, places(options))
        if options.ssh.endpoints:
            check_listener(loaded, environment.reactor)
    except ConfigError as error:
        report.add(failed("parts", str(_located(error, loaded)), operator=_CORRECT))
        return None
    report.add(ok("parts", "every part of the configuration can be built"))
    return backends


async def try_parts(loaded: Loaded, parts: PartBuilder, backends: Backends, report: Report) -> None:
    """Let every part that can try whether it works do so, and store something and delete it."""
    clock = parts.environment.reactor
    paths = [path for path, part in parts.built.items() if ICheckable.providedBy(part)]
    problems = await settle(problem_of(parts.built[path], path, clock) for path in paths)
    for path, problem in zip(paths, problems, strict=True):
        if problem is None:
            report.add(ok("parts", f"{path} works"))
        else:
            report.add(failed("parts", str(_located(problem, loaded)), operator=_CORRECT))
    health = await backends.health.report()
    for part, words in health.problems.items():
        if words:
            advice = "look at what it names; clients get errors until it works"
            report.add(failed("health", f"{part}: {words}", operator=advice))
        else:
            does = "what is written there can be read and deleted" if part == "store" else "answers"
            report.add(ok("health", f"{part}: {does}"))


def _located(error: ConfigError, loaded: Loaded) -> ConfigError:
    return config.located(error, loaded.source, loaded.text, os.environ)


def _look_at_machine(options: Config, daemon: list[Process]) -> Iterator[Finding]:
    disks: set[int] = set()
    for folder in written_folders(options):
        yield from look_at_folder(folder, disks)
    yield from look_at_daemon(daemon, options.limits)
