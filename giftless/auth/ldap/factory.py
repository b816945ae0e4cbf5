"""``auth: [{type: ldap}]``: users of a directory, and what their groups may do."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from giftless.auth.grant_lists import GrantLists
from giftless.auth.ldap.options import LDAPOptions, open_to_listeners, servers_of
from giftless.base.watched_file import FileProblem, WatchedFile
from giftless.errors import ConfigError
from giftless.interfaces import Environment

if TYPE_CHECKING:
    from giftless.auth.ldap.authenticator import LDAPAuthenticator

_log: Final = Logger()


class LDAPFactory:
    """Builds :class:`LDAPAuthenticator` from :class:`LDAPOptions`."""

    Options = LDAPOptions

    def build(self, options: LDAPOptions, environment: Environment) -> LDAPAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if python-ldap is missing, or options do not go together.
        """
        if find_spec("ldap") is None:
            raise ConfigError(
                "type", "the Python package python-ldap is missing; install giftless[ldap]"
            )
        from giftless.auth.ldap.authenticator import LDAPAuthenticator
        from giftless.auth.ldap.directory import Directory
        from giftless.auth.ldap.servers import Servers

        found = servers_of(options)
        for url in open_to_listeners(found):
            _log.warn("passwords go to {url} in plain text: whoever listens has them", url=url)
        directory = Directory(options, environment.wall_clock)
        lists = GrantLists.of_option("grants", options.grants)
        password = _password(options, environment)
        limits = (options.connect_timeout, options.timeout)
        lent = (environment.blocking, environment.reactor.seconds)
        servers = Servers(found, options.bind_dn, *limits, *lent)
        servers.setServiceParent(environment.services)
        return LDAPAuthenticator(options, directory, servers, lists, password, environment)


def _password(options: LDAPOptions, environment: Environment) -> WatchedFile[bytes] | bytes:
    if options.password and options.password_file:
        raise ConfigError("password_file", "and password exclude each other; leave one out")
    given = bool(options.password or options.password_file)
    if given != bool(options.bind_dn):
        # A bind without a password is one as nobody, and always succeeds.
        raise ConfigError(
            "bind_dn", "needs password_file (or password), and these need bind_dn; give both"
        )
    if options.password_file:
        lent = (environment.blocking, environment.reactor)
        return WatchedFile(options.password_file, _parse, "password_file", *lent)
    return options.password.encode()


def _parse(content: bytes) -> bytes:
    password = content.rstrip(b"\r\n")
    if not password or b"\n" in password:
        raise FileProblem("found something else than a password, alone in its file")
    return password
