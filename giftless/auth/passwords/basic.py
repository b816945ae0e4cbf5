"""``auth: {type: basic}``: users with passwords or keys, and what each may do.

Passwords stand in an htpasswd file, grants in a YAML file; both are read again
when they change.  HTTP Basic authentication is RFC 7617.  Who owns a key, a keyring
knows (``giftless.auth.keys``); what the owner may do stands in the same file of grants.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from giftless.auth.chain import first_good, not_accepted
from giftless.auth.grant_lists import GrantLists
from giftless.auth.grants import RepoGrants
from giftless.auth.log_ins import LogIns
from giftless.auth.passwords.grants_file import parse_grants
from giftless.auth.passwords.htpasswd import Passwords, check
from giftless.auth.realms import Realm, shown_name
from giftless.auth.verdicts import Verdicts
from giftless.base.networks import network_of_host
from giftless.base.watched_file import WatchedFile
from giftless.interfaces import (
    Credentials,
    Environment,
    IAuthenticator,
    IBlocking,
    Identity,
    IVouching,
    Lookup,
    Password,
)
from giftless.lfs.objects import Repo

#: How long the outcome for a user and a password is remembered, in seconds.
#: A changed hash is another outcome, so changes of the file count at once.
_REMEMBER: Final = 600

#: How many outcomes of each kind are remembered.  A wrong password that is sent again is
#: no new guess, so it must not cost another hash: more than this cannot be hashed in time.
_RIGHT: Final = 1024
_WRONG: Final = 8192

#: How many identities are remembered, until the grants change: a session of SSH asks for its
#: own with each object.
_IDENTITIES: Final = 4096


class BasicOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: basic}]``.

    :ivar htpasswd: the file of users and password hashes; empty if nobody has a password.
    :ivar access: the YAML file of grants.
    :ivar realm: what tells the users of this file from those of another.
    """

    access: str
    htpasswd: str = ""
    realm: str = ""


@implementer(IAuthenticator, IVouching)
class BasicAuthenticator:
    """Recognises the users of an htpasswd file by their passwords, and vouched users.

    If the user of a password is not in the file, the next authenticator is asked, after as
    much work as a wrong password costs.  A vouched user needs no line in it: whoever vouches
    decides who is a user.

    :param users: the passwords; ``None`` if nobody has one.
    :param access: the grants.
    :param blocking: computes hashes.
    :param clock: tells the time.
    :param realm: the realm that the users are in.
    :param count: counts looks for what is remembered.
    """

    def __init__(
        self,
        users: WatchedFile[Passwords] | None,
        access: WatchedFile[GrantLists],
        blocking: IBlocking,
        clock: IReactorTime,
        realm: Realm,
        count: Callable[[Lookup], None],
    ) -> None:
        self.realm = realm
        self._users = users
        self._access = access
        self._blocking = blocking
        #: What the grants say of users and repositories that were asked for.
        self._granted_by: GrantLists | None = None
        self._identities: dict[tuple[str, str], Identity] = {}
        self._verdicts: Verdicts[bool] = Verdicts(_RIGHT, _WRONG, clock, count)
        # Half of the cores at most: uploads are hashed as well.
        self._hashes: LogIns[bool] = LogIns(blocking, max(1, (os.cpu_count() or 1) // 2))

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        for vouched in credentials.vouched:
            if vouched.user and vouched.realm == str(self.realm):
                return await self._identity(vouched.user, repo)
        if self._users is None:
            return None
        network = network_of_host(credentials.address)
        return await first_good(
            credentials.passwords, lambda shown: self._identify(shown, repo, network)
        )

    async def _identify(self, shown: Password, repo: Repo, network: str) -> Identity | None:
        assert self._users is not None
        users = await self._users.current()
        if not users.hashes:
            return None
        right = await self._check(shown, users, network)
        if shown.user not in users.hashes:
            return None
        if not right:
            raise not_accepted()
        return await self._identity(shown.user, repo)

    async def _identity(self, user: str, repo: Repo) -> Identity:
        access = await self._access.current()
        if access is not self._granted_by or len(self._identities) >= _IDENTITIES:
            self._granted_by = access
            self._identities = {}
        known = self._identities.get((user, repo.path))
        if known is None:
            grants = RepoGrants(access.permissions((user,), repo))
            known = Identity(shown_name(user), grants, self.realm.principal(user))
            self._identities[user, repo.path] = known
        return known

    async def _check(self, shown: Password, users: Passwords, network: str) -> bool:
        stored = users.hashes.get(shown.user)
        key = self._verdicts.digest(msgspec.json.encode((stored, shown.user, shown.password)))
        return await self._verdicts.find(
            key, lambda: self._compute(key, stored, shown, users, network)
        )

    async def _compute(
        self, key: bytes, stored: str | None, shown: Password, users: Passwords, network: str
    ) -> bool:
        def remember(outcome: bool) -> None:
            self._verdicts.remember(key, outcome, outcome, _REMEMBER)

        work = (check, stored, shown.password, users.decoys)
        return await self._hashes.run(network, shown.user, remember, *work)


class BasicFactory:
    """Builds :class:`BasicAuthenticator` from :class:`BasicOptions`."""

    Options = BasicOptions

    def build(self, options: BasicOptions, environment: Environment) -> BasicAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if a file cannot be read or used.
        """
        blocking, clock = environment.blocking, environment.reactor
        users = None
        if options.htpasswd:
            users = WatchedFile(options.htpasswd, Passwords.parse, "htpasswd", blocking, clock)
        return BasicAuthenticator(
            users,
            WatchedFile(options.access, parse_grants, "access", blocking, clock),
            blocking,
            clock,
            Realm("basic", options.realm),
            partial(environment.count_lookup, "basic"),
        )
