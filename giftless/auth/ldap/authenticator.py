"""Users of a directory: who they are by their passwords, and what their groups may do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from twisted.internet.defer import TimeoutError
from twisted.logger import Logger
from zope.interface import implementer

from giftless.auth.chain import first_good, not_accepted
from giftless.auth.grant_lists import GrantLists
from giftless.auth.grants import RepoGrants
from giftless.auth.ldap.deadline import Deadline
from giftless.auth.ldap.directory import Answer, Directory
from giftless.auth.ldap.entries import Person, PersonProblem
from giftless.auth.ldap.options import LDAPOptions
from giftless.auth.ldap.servers import DirectoryDown, Servers, Session
from giftless.auth.ldap.templates import is_name
from giftless.auth.log_ins import LogIns
from giftless.auth.realms import Realm, shown_name
from giftless.auth.tokens.unverified import TOKEN_USER
from giftless.auth.verdicts import Verdicts
from giftless.base.networks import network_of_host
from giftless.base.watched_file import WatchedFile
from giftless.errors import ConfigError, IdentityUnavailable
from giftless.interfaces import (
    Credentials,
    Environment,
    IAuthenticator,
    ICheckable,
    Identity,
    IVouching,
    Password,
)
from giftless.lfs.objects import Repo

#: For how long it is remembered that a password is wrong, in seconds: directories lock
#: accounts for a few of them, and jobs of a build send the same one again and again.
_WRONG_TTL: Final = 60

#: How many answers of each kind are remembered.
_RIGHT: Final = 4096
_WRONG: Final = 8192

#: How many log-ins may wait.
_WAITING: Final = 256

#: How long a client waits for an answer, in seconds; git-lfs waits for 30.
_PATIENCE: Final = 25

#: What clients are told to wait while the directory does not answer, in seconds.
_RETRY_AFTER: Final = 10

#: What they are told to wait until somebody has looked at their entry, in seconds.
_RETRY_AFTER_PROBLEM: Final = 300

#: Asks a server about a user.
_Question = Callable[[Session, Deadline], Answer]


@implementer(IAuthenticator, IVouching, ICheckable)
class LDAPAuthenticator:
    """Recognises the users of a directory by their passwords, and vouched users.

    A user whom the directory does not know is left to the next authenticator.

    :param options: how long answers are remembered, how many log-ins are checked at once.
    :param directory: knows what to ask.
    :param servers: are asked.
    :param lists: what the members of groups may do.
    :param password: the password of the account that searches: as a file, or itself.
    :param environment: where and when it is asked.
    """

    log = Logger()

    def __init__(
        self,
        options: LDAPOptions,
        directory: Directory,
        servers: Servers,
        lists: GrantLists,
        password: WatchedFile[bytes] | bytes,
        environment: Environment,
    ) -> None:
        self.realm = Realm("ldap", options.realm)
        self._directory = directory
        self._servers = servers
        self._lists = lists
        self._password = password
        self._blocking = environment.blocking
        self._clock = clock = environment.reactor
        self._ttl = options.cache_ttl
        count = partial(environment.count_lookup, "ldap")
        self._verdicts: Verdicts[Answer] = Verdicts(_RIGHT, _WRONG, clock, count)
        self._log_ins: LogIns[Answer] = LogIns(environment.blocking, options.connections, _WAITING)

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        network = network_of_host(credentials.address)
        for vouched in credentials.vouched:
            if vouched.realm == str(self.realm):
                return await self._identify_vouched(vouched.user, repo, network)
        return await first_good(
            credentials.passwords, lambda shown: self._identify(shown, repo, network)
        )

    async def _identify(self, shown: Password, repo: Repo, network: str) -> Identity | None:
        user, password = shown.user, shown.password.encode("utf-8", "surrogatepass")
        # To a directory, an empty password says that nobody logs in, and is always right.
        if not password or not is_name(user) or user == TOKEN_USER:
            return None
        job = partial(self._directory.log_in, user=user, password=password)
        answer = await self._ask(user, (user.encode(), password), network, job)
        if answer.known and answer.person is None:
            raise not_accepted()
        return None if answer.person is None else self._identity(answer.person, repo)

    async def _identify_vouched(self, user: str, repo: Repo, network: str) -> Identity:
        if not is_name(user):
            raise not_accepted()
        job = partial(self._directory.look_up, user=user)
        answer = await self._ask(user, (user.encode(),), network, job)
        if answer.person is None:
            raise not_accepted()
        return self._identity(answer.person, repo)

    def _identity(self, person: Person, repo: Repo) -> Identity:
        grants = RepoGrants(self._lists.permissions(person.groups, repo))
        return Identity(shown_name(person.name), grants, self.realm.principal(person.id))

    async def _ask(
        self, user: str, shown: tuple[bytes, ...], network: str, job: _Question
    ) -> Answer:
        """Ask the directory, unless the answer is remembered.

        :param shown: the user, and the password if one was sent.
        """
        key = self._verdicts.digest(msgspec.msgpack.encode(shown))
        return await self._verdicts.find(key, lambda: self._run(key, user, network, job))

    async def _run(self, key: bytes, user: str, network: str, job: _Question) -> Answer:
        def remember(answer: Answer) -> None:
            is_right = answer.person is not None
            self._verdicts.remember(key, answer, is_right, self._ttl if is_right else _WRONG_TTL)

        secret = await self._secret()
        waiting = self._log_ins.run(network, user, remember, self._servers.run, secret, job)
        try:
            answer: Answer = await waiting.addTimeout(_PATIENCE, self._clock)
        except (DirectoryDown, TimeoutError):
            raise IdentityUnavailable(
                "your password cannot be checked now, because the directory of users does not"
                " answer; try again later",
                _RETRY_AFTER,
            ) from None
        except PersonProblem as error:
            self.log.error(
                "what the directory says of {user} is of no use: {error}", user=user, error=error
            )
            raise IdentityUnavailable(
                "the directory of users does not tell this server what it must know about you;"
                " tell its operator",
                _RETRY_AFTER_PROBLEM,
            ) from None
        return answer

    async def _secret(self) -> bytes:
        if isinstance(self._password, bytes):
            return self._password
        return await self._password.current()

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`."""
        secret = await self._secret()
        work = partial(self._servers.check, secret, self._directory.look_around)
        problems = await self._blocking.run(lambda: list(work()))
        for index, problem in enumerate(problems):
            if problem:
                raise ConfigError(f"urls.{index}", f"the server cannot be used: {problem}")
