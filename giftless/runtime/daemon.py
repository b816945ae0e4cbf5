"""The daemon: holds the listening sockets, and has workers serve on them.

It is the process that ``twistd`` becomes and that signals are sent to.  SIGHUP
reads the configuration again and replaces the workers, SIGTERM ends all of
them, and systemd is told how it goes.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger

from giftless import __version__
from giftless.app import config, permissions
from giftless.app.config import Config, Loaded
from giftless.base.metrics.tally import Tally
from giftless.base.shared_table import shared_memory
from giftless.base.showing import describe_failure
from giftless.errors import ConfigError
from giftless.runtime.banner import Place, banner, server_url
from giftless.runtime.ending import end_once
from giftless.runtime.first_process import watch_orphans
from giftless.runtime.logs import Log
from giftless.runtime.modes import limit_modes
from giftless.runtime.orders import write_reload
from giftless.runtime.plans import SSH_WORKER, WORKER, environment_of_ssh, plan_ssh, plan_workers
from giftless.runtime.sockets.binding import Sockets
from giftless.runtime.sockets.endpoints import (
    Listening,
    admin_listenings,
    described,
    places,
    public_listenings,
)
from giftless.runtime.supervision.fleet import Fleet
from giftless.runtime.supervision.process import Plan
from giftless.runtime.supervision.supervisor import Supervisor, WorkerFailed
from giftless.runtime.systemd import Notifier, watchdog_interval

if TYPE_CHECKING:
    from giftless.runtime.admin.front import AdminFront
    from giftless.runtime.admin.overview import DaemonFacts

_log = Logger(namespace="giftless")

#: Environment variables for this process alone; workers do not inherit them.
_OWN: Final = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}


class Daemon(Service):
    """The parent of the workers.

    :param loaded: the configuration, checked.
    :param file: the configuration file as it was named, to be read again.
    :param reactor: the reactor.
    :param twistd: the options of ``twistd`` itself.
    """

    def __init__(
        self, loaded: Loaded, file: str | None, reactor: Any, twistd: dict[str, Any]
    ) -> None:
        self._loaded = loaded
        self._file = file
        self._reactor = reactor
        self._background = not twistd.get("nodaemon")
        self._log_format = loaded.config.log_format
        self._log = Log(twistd, self._log_format, reactor)
        self._sockets = Sockets(reactor, _owner(twistd))
        self._descriptors: dict[Listening, int] = {}
        self._url = ""
        self._shared = shared_memory()
        self._tally = Tally()
        self._admin: AdminFront | None = None
        self._reloads = {"succeeded": 0, "failed": 0}
        # twistd may change the directory; workers run where the daemon was started,
        # so that relative paths stay right.
        environ = {name: value for name, value in os.environ.items() if name not in _OWN}

        def supervisor(name: str, command: Sequence[str], environ: Mapping[str, str]) -> Supervisor:
            return Supervisor(
                *(name, reactor, command, environ, os.getcwd()),
                *(self._log.write, self._changed, self._tally),
            )

        self._supervisor = supervisor("worker", WORKER, environ)
        self._ssh = supervisor("SSH process", SSH_WORKER, environment_of_ssh(environ))
        self._fleet = Fleet(self._supervisor, self._ssh)
        self._notifier = Notifier(os.environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = LoopingCall(self._tell_watchdog)
        self._watchdog.clock = reactor
        self._began = reactor.seconds()
        self._settled = False
        self._busy = self._reload_again = False
        self._problem = ""

    def setServiceParent(self, parent: Any) -> None:
        """Join the application, and make it log where ``twistd`` was told to."""
        if self._log.observer is not None:
            parent.setComponent(ILogObserver, self._log.observer)
        super().setServiceParent(parent)

    # -- the start

    def privilegedStartService(self) -> None:
        """Bind the endpoints, while the process may still use low ports.

        :raises ConfigError: in the background, if one cannot be bound;
            ``twistd`` passes an exception's text on to the terminal, and would
            wait for ever for a process that just ends.
        :raises SystemExit: in the foreground, after one line for the terminal.
        """
        # Again: twistd has set its own meanwhile (--umask).
        limit_modes()
        try:
            self._use(self._loaded, self._bind(self._loaded))
        except ConfigError as error:
            _log.critical("{error}", error=str(error))
            if self._background:
                raise
            _complain(error)
            raise SystemExit(1) from None

    def startService(self) -> None:
        """Start the workers."""
        super().startService()
        self._warn(self._loaded)
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        # Twisted's own handlers come when the reactor runs.
        self._reactor.callLater(0, end_once, self._reactor)
        interval = watchdog_interval(os.environ, os.getpid())
        if interval is not None:
            self._watchdog.start(interval)
        watch_orphans(self._reactor)
        self._fleet.startService()
        self._run(self._start())

    async def _start(self) -> None:
        try:
            await self._listen_for_admins(self._loaded, self._descriptors)
            await self._fleet.replace(self._plans(self._loaded, self._descriptors))
        except (ConfigError, WorkerFailed) as error:
            self._cannot_start(error)

    def _bind(self, loaded: Loaded) -> dict[Listening, int]:
        """Bind all endpoints.

        :returns: the descriptor of each one's socket.
        """
        options = loaded.config
        endpoints = places(options)
        try:
            if options.ssh.enabled and not options.ssh.socket:
                self._make_state_dir(options.state_dir)
            return dict(zip(endpoints, self._sockets.bind(endpoints), strict=True))
        except ConfigError as error:
            raise _located(error, loaded) from None

    def _make_state_dir(self, path: str) -> None:
        """Make the state directory: workers would, but a socket is bound in it before.

        :raises ConfigError: if that is impossible.
        """
        try:
            self._sockets.make_directory(path)
        except OSError as error:
            raise ConfigError("state_dir", f"cannot be made: {error.strerror}") from None

    async def _listen_for_admins(
        self, loaded: Loaded, descriptors: Mapping[Listening, int]
    ) -> None:
        """Serve the admin endpoints, and pages to workers.

        :param descriptors: see :meth:`_bind`.
        :raises ConfigError: if one cannot be made.
        """
        options = loaded.config
        endpoints = admin_listenings(options.admin)
        if self._admin is None:
            if not options.admin.shown:
                return
            # Not before: it takes memory.
            from giftless.runtime.admin.front import AdminFront

            self._admin = AdminFront(
                self._reactor, self._tally, self._supervisor, self._ssh, self._facts
            )
        try:
            await self._admin.listen(
                endpoints,
                [descriptors[endpoint] for endpoint in endpoints],
                _hosts(options),
                options.admin.public_pages,
            )
        except ConfigError as error:
            raise _located(error, loaded) from None

    def _facts(self) -> DaemonFacts:
        from giftless.runtime.admin.overview import DaemonFacts

        options = self._loaded.config
        return DaemonFacts(
            self._began,
            self._url,
            list(map(described, public_listenings(options))),
            list(map(described, admin_listenings(options.admin))),
            self._reloads,
            self._problem,
        )

    def _plans(self, loaded: Loaded, descriptors: Mapping[Listening, int]) -> list[Plan]:
        return [
            plan_workers(loaded, descriptors, self._log_format, self._shared),
            plan_ssh(loaded, descriptors, self._log_format, self._shared),
        ]

    def _cannot_start(self, problem: Exception) -> None:
        _log.critical("{error}", error=str(problem))
        if not self._background:
            _complain(problem)
        # twistd ends with status 0 whatever happened, once it runs.
        atexit.register(os._exit, 1)
        self._reactor.stop()

    # -- while it runs

    def reload(self) -> None:
        """Read the configuration again and replace the workers; or go on as it is.

        While the outcome of a start or a reload is open, the next one waits.
        """
        self._reload_again = True
        if not self._busy:
            self._run(self._reload())

    def _run(self, change: Coroutine[Any, Any, None]) -> None:
        """Run a start or a reload, and then the reloads that were asked for meanwhile."""
        self._busy = True

        async def run() -> None:
            await change
            while self._reload_again and self.running:
                await self._reload()
            self._busy = False
            self._changed()

        Deferred.fromCoroutine(run())

    async def _reload(self) -> None:
        self._reload_again = self._settled = False
        self._notifier.reloading()
        problem = ""
        try:
            await self._try_reload()
        except (ConfigError, WorkerFailed) as error:
            problem = str(error)
        except Exception as error:
            problem = describe_failure(error)
        if problem:
            _log.error("the configuration stays as it was: {problem}", problem=problem)
        self._problem = problem
        # Observers are in the workers.
        self._supervisor.tell_one(write_reload(self._loaded.source, problem))
        self._reloads["failed" if problem else "succeeded"] += 1

    async def _try_reload(self) -> None:
        loaded = config.load(self._file, os.environ)
        descriptors = self._bind(loaded)
        await self._fleet.replace(self._plans(loaded, descriptors))
        await self._listen_for_admins(loaded, descriptors)
        self._use(loaded, descriptors)
        self._warn(loaded)

    def _use(self, loaded: Loaded, descriptors: dict[Listening, int]) -> None:
        """Go by a configuration from now on.

        :param descriptors: see :meth:`_bind`.
        """
        self._loaded, self._descriptors = loaded, descriptors
        # Now: at the end, the admin endpoints still answer when these sockets are closed.
        self._url = server_url(loaded, self._places())

    def _warn(self, loaded: Loaded) -> None:
        """Log which files others may read or write, and should not."""
        found = permissions.warnings(loaded.config, loaded.source, loaded.text, os.environ)
        for warning in found:
            _log.warn("{warning}", warning=warning)

    def _changed(self) -> None:
        """Update systemd's status when the state of a process changes."""
        status = self._fleet.status
        if self._problem:
            status += f"; cannot reload: {self._problem}"
        if self._settled or self._busy or not self._fleet.settled:
            self._notifier.send(STATUS=status)
            return
        self._settled = True
        self._sockets.keep(self._descriptors.values())
        self._notifier.ready(status)
        if not self._problem:
            self._say_hello()

    def _say_hello(self) -> None:
        if self._log.starting:
            self._log.started(banner(self._loaded, self._places()))
            return
        _log.info(
            "giftless {version} listens on {endpoints}",
            version=__version__,
            endpoints=", ".join(map(described, places(self._loaded.config))),
        )
        if not self._loaded.source:
            _log.warn(
                "there is no configuration file: unless the environment says otherwise, objects"
                " are kept in ./giftless-data and anybody who can connect may read and write;"
                " to point a repository here:"
                " git config -f .lfsconfig lfs.url {url}/ORG/REPO.git/info/lfs",
                url=self._url,
            )

    def _places(self) -> list[Place]:
        """Return where the daemon listens, and the address of each socket."""
        return [(place, self._sockets.address(it)) for place, it in self._descriptors.items()]

    def _tell_watchdog(self) -> None:
        # Only by the workers: a restart would break off what they do, for SSH that is down.
        if self._supervisor.answering:
            self._notifier.send(WATCHDOG=1)

    # -- the end

    async def _stop(self) -> None:
        self._notifier.stopping()
        # Workers stop accepting first, so nobody waits for an answer in vain.
        ended = self._fleet.stopService()
        await self._sockets.keep([])
        await ended
        if self._admin is not None:
            await self._admin.stop()
        if self._watchdog.running:
            self._watchdog.stop()

    def stopService(self) -> Deferred[None]:
        """Stop accepting, let running transfers finish, then end."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())


def _hosts(options: Config) -> set[str]:
    """Return by what names operators may ask for pages, in lower case."""
    public = urlsplit(options.public_url).hostname
    return {*map(str.lower, options.admin.hosts), *([public] if public else [])}


def _located(error: ConfigError, loaded: Loaded) -> ConfigError:
    return config.located(error, loaded.source, loaded.text, os.environ)


def _owner(twistd: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the user and the group that ``twistd`` was told to run as, if any."""
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if uid is None and gid is None:
        return None
    return -1 if uid is None else uid, -1 if gid is None else gid


def _complain(problem: Exception) -> None:
    print(f"giftless: {problem}", file=sys.__stderr__, flush=True)
