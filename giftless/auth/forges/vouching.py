"""What users of a forge may do who come with a key of SSH instead of a token.

The forge is asked with a token of the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.auth.cache import TTLCache
from giftless.auth.chain import not_accepted
from giftless.auth.forges.accounts import Account, parse_user
from giftless.auth.forges.forge import Forge, ForgeOptions
from giftless.auth.forges.inquiry import Inquiry
from giftless.auth.forges.questions import limited
from giftless.auth.forges.repositories import Found, folded
from giftless.auth.forges.server_token import own_token
from giftless.base.shared_answers import Shared
from giftless.base.watched_file import WatchedFile
from giftless.errors import ServiceUnavailable, TokenRefused, TooManyRequests
from giftless.interfaces import Identity, Lookup
from giftless.lfs.objects import Repo

#: How many repositories of one user the forge is asked about within how many seconds: all
#: users share the limit of the server's token.
_REPOSITORIES: Final = 60
_WINDOW: Final = 60

#: For how many seconds it is remembered that the server's token did not suffice: forges shut
#: out who goes on with a bad one.
_REFUSED_TTL: Final = 30


class VouchedUsers:
    """Finds out what users may do, with a token of the server.

    :param forge: the forge.
    :param options: how long something is remembered, and how much.
    :param token: the server's token.
    :param inquire: begins an inquiry with a token, about a repository.
    :param identify: makes an identity: of a repository, what the forge tells of it, and what a
        user is called and stands for.
    :param clock: tells when answers expire.
    :param count: counts how often an answer was remembered, and how often not.
    """

    def __init__(
        self,
        forge: Forge,
        options: ForgeOptions,
        token: WatchedFile[str],
        inquire: Callable[[str, Repo], Inquiry],
        identify: Callable[[Repo, Found, str, str], Identity],
        clock: IReactorTime,
        count: Callable[[Lookup], None],
    ) -> None:
        self._forge = forge
        self._options = options
        self._token = token
        self._inquire = inquire
        self._identify = identify
        self._clock = clock
        self._count = count
        self._limited_until = clock.seconds()
        size = options.cache_size
        self._identities: TTLCache[tuple[str, Repo], Identity] = TTLCache(size, clock)
        self._accounts: TTLCache[str, tuple[Account | None]] = TTLCache(size, clock)
        self._asked: TTLCache[str, set[Repo]] = TTLCache(size, clock)
        self._refused: TTLCache[tuple[str, Repo], TokenRefused] = TTLCache(size, clock)
        self._shared: Shared[tuple[str, Repo], Identity] = Shared()

    async def identify(self, user: str, repo: Repo) -> Identity:
        """Find out what a user may do in a repository.

        :raises Unauthorized: if the forge does not know the user, or has shut them out.
        :raises ForgeLimit: if the forge wants to be asked less often.
        :raises TooManyRequests: if the user asks for too many repositories.
        :raises ServiceUnavailable: if the forge does not tell.
        """
        # One entry for all spellings: they are one repository to the forge.
        key = user, folded(repo)
        identity = self._identities.get(key)
        if identity is not None:
            self._count("hit")
            return identity
        refused = self._refused.get(key)
        if refused is not None:
            self._count("hit")
            raise TokenRefused(refused.message, refused.retry_after)
        if key in self._shared:
            self._count("shared")
        else:
            self._count("miss")
            self._check_limits(*key)
        return await self._shared.ask(key, self._find(key, repo))

    def _check_limits(self, user: str, repo: Repo) -> None:
        wait = math.ceil(self._limited_until - self._clock.seconds())
        if wait > 0:
            raise limited(self._forge.name, wait)
        asked = self._asked.get(user)
        if asked is None:
            asked = set()
            self._asked.put(user, asked, _WINDOW)
        if len(asked) >= _REPOSITORIES and repo not in asked:
            raise TooManyRequests(
                f"too many repositories within a minute; try again in {_WINDOW} seconds", _WINDOW
            )
        asked.add(repo)

    async def _find(self, key: tuple[str, Repo], repo: Repo) -> Identity:
        user, _ = key
        inquiry = self._inquire(await self._token.current(), repo)
        try:
            with own_token(self._forge.name):
                account = await self._account(inquiry, user)
                found = None if account is None else await self._forge.look_up_for(inquiry, account)
        except TokenRefused as error:
            self._refused.put(key, TokenRefused(error.message, error.retry_after), _REFUSED_TTL)
            raise
        except ServiceUnavailable:
            raise
        except TooManyRequests as error:
            self._limited_until = self._clock.seconds() + error.retry_after
            raise
        if account is None or found is None:
            raise not_accepted()
        identity = self._identify(repo, found, account.name, account.part)
        self._identities.put(key, identity, self._options.ttl(found.permissions))
        return identity

    async def _account(self, inquiry: Inquiry, user: str) -> Account | None:
        """Return who a user is; ``None`` if nobody, or somebody else by now."""
        known = self._accounts.get(user)
        if known is None:
            account = None
            if named := parse_user(user):
                name, number = named
                account = await self._forge.find_account(inquiry, name)
                if account is not None and number is not None and account.id != number:
                    account = None
            known = (account,)
            self._accounts.put(user, known, self._options.read_ttl)
        return known[0]
