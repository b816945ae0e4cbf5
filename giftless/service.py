"""Put everything together: the only module that knows all the parts."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any, Final

from twisted.application.service import MultiService, Service
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless import __version__, config
from giftless.assembly import build_backends, build_site
from giftless.checking import run_checks
from giftless.config import Loaded
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.logs import json_observer
from giftless.outgoing import http_client
from giftless.threads import Threads
from giftless.web.site import LFSSite

_log = Logger(namespace="giftless")

#: How many objects are made before Python looks for garbage among them.  A batch
#: makes thousands, which all go by themselves: looking at them each time takes a
#: seventh of the processor.
_YOUNG_OBJECTS: Final = 50_000


class Options(usage.Options):
    """The command line of ``twistd giftless``."""

    synopsis = "[--config FILE] [--check]"
    longdesc = (
        "Serve Git LFS objects. Without a configuration, objects are kept in ./giftless-data"
        " and anybody on this machine may read and write them. Every key of the configuration"
        " can be overridden by the environment: GIFTLESS_STORAGE__PATH sets storage.path."
    )
    optParameters = [
        ["config", "c", None, "The configuration file (YAML); or set GIFTLESS_CONFIG."],
    ]
    optFlags = [["check", None, "Check the configuration, build and try every part, and exit."]]

    def opt_version(self) -> None:
        """Show the version of giftless and exit."""
        print(f"giftless {__version__}")
        sys.exit(0)

    def getService(self, reactor: Any) -> Daemon:
        """Load the configuration and build the daemon.

        :raises SystemExit: with one line and status 1, if that is impossible;
            with status 0 after ``--check``.
        """
        try:
            loaded = config.load(self["config"], os.environ)
            try:
                daemon = Daemon(loaded, reactor, dict(self.parent or {}))
            except ConfigError as error:
                raise config.located(error, loaded.source, os.environ) from None
        except ConfigError as error:
            raise SystemExit(f"giftless: {error}") from None
        if self["check"]:
            problems = [
                config.located(problem, loaded.source, os.environ)
                for problem in daemon.run_checks()
            ]
            if problems:
                raise SystemExit("\n".join(f"giftless: {problem}" for problem in problems))
            print(f"giftless: {loaded.source or 'embedded defaults'}: the configuration is fine")
            raise SystemExit(0)
        return daemon


def makeService(options: Options) -> Daemon:
    """Build the daemon for ``twistd`` (see :class:`twisted.application.service.ServiceMaker`)."""
    from twisted.internet import reactor

    return options.getService(reactor)


class Daemon(MultiService):
    """The whole server: threads, then everything that listens.

    :param loaded: the configuration.
    :param reactor: the reactor that it will run on.
    :param twistd: the options of ``twistd`` itself.
    :raises ConfigError: if the configuration cannot be used.
    """

    def __init__(self, loaded: Loaded, reactor: Any, twistd: dict[str, Any]) -> None:
        super().__init__()
        self._loaded = loaded
        self._twistd = twistd
        options = loaded.config
        threads = Threads(reactor, options.threads)
        environment = Environment(
            reactor, threads, http_client(reactor), options.state_dir, MultiService()
        )
        store, chain = build_backends(options, environment)
        site = build_site(options, environment, store, chain)
        self._parts = {
            "storage": store,
            **{f"auth.{index}": part for index, part in enumerate(chain)},
        }
        self._reactor = reactor
        # Children stop all at once; these must outlast connections.
        self._services = environment.services
        self._threads = threads
        for index, description in enumerate(options.endpoints):
            path = f"endpoints.{index}"
            endpoint = _endpoint(reactor, description, path)
            background = not twistd.get("nodaemon")
            listener = Listener(endpoint, description, site, path, loaded.source, background)
            self.addService(listener)
        self._site = site

    def setServiceParent(self, parent: Any) -> None:
        """Join the application, and give it the log's format."""
        if self._loaded.config.log_format == "json":
            parent.setComponent(ILogObserver, json_observer(self._twistd))
        super().setServiceParent(parent)

    def run_checks(self) -> list[ConfigError]:
        """Let every part that can try whether it works do so; runs the reactor.

        See :func:`giftless.checking.run_checks`.
        """
        return run_checks(self._parts, self._threads, self._reactor)

    def startService(self) -> None:
        """Start to serve, and say where."""
        gc.set_threshold(_YOUNG_OBJECTS)
        self._threads.startService()
        self._services.startService()
        super().startService()
        endpoints = ", ".join(self._loaded.config.endpoints)
        _log.info(
            "giftless {version} listens on {endpoints}", version=__version__, endpoints=endpoints
        )
        if not self._loaded.source:
            _log.warn(
                "there is no configuration file: unless the environment says otherwise, objects"
                " are kept in ./giftless-data and anybody who can connect may read and write;"
                " to point a repository here:"
                " git config -f .lfsconfig lfs.url {url}/ORG/REPO.git/info/lfs",
                url=self._url(),
            )

    def _url(self) -> str:
        """Return the URL of the first endpoint that has an address, as far as can be told."""
        public = self._loaded.config.public_url.rstrip("/")
        return public or next(filter(None, (listener.url for listener in self)), "http://HOST")

    async def _stop(self) -> None:
        await super().stopService()
        await self._site.drain(self._loaded.config.shutdown_timeout)
        await self._services.stopService()
        self._threads.stopService()

    def stopService(self) -> Deferred[None]:
        """Stop accepting, let running transfers finish, then end."""
        return Deferred.fromCoroutine(self._stop())


class Listener(Service):
    """One endpoint that the site is served on.

    :param description: the endpoint as the configuration has it.
    :param path: the dotted path of its key there.
    :param source: the configuration's file; empty for the embedded defaults.
    :param background: whether the process has left its terminal.
    """

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        description: str,
        site: LFSSite,
        path: str,
        source: str,
        background: bool,
    ) -> None:
        self._endpoint = endpoint
        self._description = description
        self._site = site
        self._path = path
        self._source = source
        self._background = background
        self._port: IListeningPort | None = None
        self._error: ConfigError | None = None
        self._started = False

    @property
    def url(self) -> str:
        """Where it listens, as a URL; empty if that is not a TCP port."""
        address: object = self._port.getHost() if self._port is not None else None
        if not isinstance(address, IPv4Address):
            return ""
        return f"http://{address.host}:{address.port}"

    def privilegedStartService(self) -> None:
        """Listen, while the process may still use low ports.

        :raises ConfigError: in the background, if the endpoint cannot be
            listened on; ``twistd`` passes an exception's text on to the
            terminal, and would wait for ever for a process that just ends.
        :raises SystemExit: in the foreground, after one line for the terminal.
        """
        self._endpoint.listen(self._site).addCallbacks(self._listening, self._failed)
        self._started = True
        if self._error is not None:
            if self._background:
                raise self._error
            print(f"giftless: {self._error}", file=sys.__stderr__, flush=True)
            raise SystemExit(1)

    def stopService(self) -> Deferred[None] | None:
        """Stop accepting connections."""
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()

    def _listening(self, port: IListeningPort) -> None:
        self._port = port

    def _failed(self, failure: Failure) -> None:
        problem = f"cannot listen on {self._description}: {failure.getErrorMessage()}"
        error = ConfigError(self._path, problem)
        self._error = config.located(error, self._source, os.environ)
        _log.critical("{error}", error=str(self._error))
        if self._started:
            # Too late for an exception; Twisted's own endpoints fail at once.
            os._exit(1)


def _endpoint(reactor: Any, description: str, path: str) -> IStreamServerEndpoint:
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
        return endpoint
    except Exception as error:
        if description.startswith("systemd:") and isinstance(error, LookupError):
            return _AbsentSocket()
        raise ConfigError(
            path,
            f"found {description!r}, allowed is a Twisted server endpoint"
            f" such as tcp:8080:interface=127.0.0.1 ({error})",
        ) from None


@implementer(IStreamServerEndpoint)
class _AbsentSocket:
    """A socket that systemd did not pass on.

    ``--check`` needs none: systemd passes sockets to ``ExecStart`` only.
    """

    def listen(self, factory: object) -> Deferred[IListeningPort]:
        """Fail: there is nothing to listen on."""
        return fail(RuntimeError("systemd passed no such socket; start the .socket unit"))
