"""``twistd giftless``: check the configuration, then run the daemon."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.python import usage
from twisted.python.util import switchUID

from giftless import __version__
from giftless.app import config, permissions, plugins
from giftless.errors import ConfigError
from giftless.runtime import tls
from giftless.runtime.clock import use_monotonic_time
from giftless.runtime.modes import limit_modes

if TYPE_CHECKING:
    from giftless.runtime.daemon import Daemon


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

    @property
    def twistd(self) -> dict[str, Any]:
        """The options of ``twistd`` itself."""
        return dict(self.parent or {})

    @property
    def builds_parts(self) -> bool:
        """Whether this process builds the parts of the configuration, to see whether it can."""
        in_background = not self.twistd.get("nodaemon")
        return bool(self["check"]) or (in_background and self.twistd.get("uid") is None)

    def getService(self, reactor: Any) -> Daemon:
        """Load the configuration and make the daemon.

        The workers build its parts, and what the first one cannot build ends the
        daemon.  In the background they are built here before, although it is
        the workers who serve: a mistake shall be known while there is a terminal
        to tell it.  But not for another user: what is made meanwhile, such as the
        secret, would belong to the wrong one.  ``--check`` becomes that user, since
        nothing comes after it.

        :raises SystemExit: with one line and status 1, if that is impossible;
            with status 0 after ``--check``.
        """
        # Not before: these import the reactor (see makeService).
        from giftless.runtime.checks import check_listener, check_sockets, unreachable
        from giftless.runtime.daemon import Daemon
        from giftless.runtime.sockets.endpoints import check_endpoints, places

        limit_modes()
        twistd = self.twistd
        try:
            loaded = config.load(self["config"], os.environ)
            options = loaded.config
            warnings: list[str] = []
            try:
                if self["check"]:
                    # Whoever starts the daemon binds its sockets, and becomes the user then.
                    warnings += [*check_sockets(options, reactor), *unreachable(options)]
            except ConfigError as error:
                raise config.located(error, loaded.source, loaded.text, os.environ) from None
            if self["check"]:
                _become_user(twistd)
            if self.builds_parts:
                # Not before: what it imports takes half of the time to start, and 10 MB.
                from giftless.runtime.instance import Instance

                instance = Instance(loaded, reactor)
            try:
                check_endpoints(reactor, places(options))
                if self.builds_parts and options.ssh.endpoints:
                    check_listener(loaded, reactor)
            except ConfigError as error:
                raise config.located(error, loaded.source, loaded.text, os.environ) from None
        except ConfigError as error:
            raise SystemExit(f"giftless: {error}") from None
        if self["check"]:
            readable = permissions.warnings(options, loaded.source, loaded.text, os.environ)
            for warning in (*plugins.broken_files(), *plugins.unusable(), *readable, *warnings):
                print(f"giftless: {warning}", file=sys.stderr)
            problems = instance.run_checks()
            if problems:
                raise SystemExit("\n".join(f"giftless: {problem}" for problem in problems))
            print(f"giftless: {loaded.source or 'embedded defaults'}: the configuration is fine")
            raise SystemExit(0)
        return Daemon(loaded, self["config"], reactor, twistd)


def _become_user(twistd: Mapping[str, Any]) -> None:
    """Become the user and group that ``twistd`` was told to run as, if any.

    :param twistd: the options of ``twistd`` itself.
    :raises SystemExit: with one line and status 1, if this process may not.
    """
    uid, gid = twistd.get("uid"), twistd.get("gid")
    try:
        if uid is not None and gid is None:
            gid = pwd.getpwuid(uid).pw_gid
        switchUID(uid, gid)
    except (KeyError, PermissionError) as error:
        raise SystemExit(f"giftless: cannot run as uid {uid}, gid {gid}: {error}") from None


def makeService(options: Options) -> Daemon:
    """Build the daemon for ``twistd`` (see :class:`twisted.application.service.ServiceMaker`)."""
    # A logger of the operator's may do whatever Twisted can.
    if not options.builds_parts and not options.twistd.get("logger"):
        tls.leave_out()
    from twisted.internet import reactor

    from giftless.runtime.first_process import end_by_signal

    end_by_signal()
    use_monotonic_time(reactor)
    return options.getService(reactor)
