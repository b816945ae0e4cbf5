"""``ssh: {keys: [{type: github}]}``, ``gitea`` and ``gitlab``: keys that a forge publishes.

Only the keys of certain accounts count: those that the configuration names, and the members
of organisations.  The forge is asked about no others, and about each of them once in ``ttl``,
however many keys clients offer.  Where everybody's keys count (``users: ["*"]``), a client is
who it logs in as, if that account has the key.  Clients whose keys are not known may cause
a few questions a minute, and no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Final, TypeVar

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from giftless.auth.cache import TTLCache
from giftless.auth.forges.accounts import Account, is_account
from giftless.auth.forges.forge import Forge
from giftless.auth.forges.questions import Questions
from giftless.auth.forges.server_token import own_token
from giftless.auth.keys.public_keys import PublicKey, parse_blob, parse_words
from giftless.base.concurrency import settle
from giftless.base.networks import network_of_host
from giftless.base.shared_answers import Shared
from giftless.errors import ServiceUnavailable, TooManyRequests
from giftless.interfaces import IKeyring, KeyOwner, KnownKey, OfferedKey

T = TypeVar("T")

#: Stands for everybody's keys.
ANYBODY: Final = "*"

#: What clients log in as that do not say who they are, where any other name may be somebody's.
_SHARED_LOGIN: Final = "git"

#: After how many seconds an account is asked about again if it has not the key that is offered:
#: it may be new.
_NEW_KEY: Final = 30.0

#: For how many seconds a forge is left alone that has not answered.
_PAUSE: Final = 10

#: How many accounts are asked about at once.
_AT_ONCE: Final = 4

#: How many keys of an account count.
_MAX_KEYS: Final = 1000

#: For how long it is remembered who had a key lately, in seconds.
_LATELY: Final = 86_400

#: How many accounts the forge is asked about, for clients at one address and for all clients,
#: within how many seconds, if the client's key is not known.
_PER_ADDRESS: Final = 10
_ALL: Final = 30
_WINDOW: Final = 60


class PublishedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options that the keyrings of all forges have.

    :ivar users: the accounts whose keys count; ``*`` for everybody's, of clients that log in
        by the account's name.
    :ivar orgs: organisations or groups whose members' keys count.
    :ivar token_file: the file of the token that the forge is asked with; empty for none.
    :ivar ttl: for how many seconds keys and members are remembered.
    :ivar timeout: how many seconds the forge has for one answer.
    :ivar cache_size: about how many accounts are remembered that neither ``users`` nor
        ``orgs`` names.
    :ivar realm: the realm that the users are in, as principals begin; that of the forge's
        host, if not set.
    """

    users: list[str] = []
    orgs: list[str] = []
    token_file: str = ""
    ttl: Annotated[int, msgspec.Meta(ge=1)] = 600
    timeout: Annotated[int, msgspec.Meta(ge=1)] = 10
    cache_size: Annotated[int, msgspec.Meta(ge=1)] = 4096
    realm: str = ""


class _Published(msgspec.Struct, frozen=True):
    """What a forge has told of an account.

    :ivar account: the account; ``None`` if there is none, or one that is shut out.
    :ivar keys: its keys, by what is sent of them.
    :ivar since: when it was asked.
    """

    account: Account | None
    keys: Mapping[bytes, PublicKey]
    since: float


class _Count:
    """How many questions have been asked."""

    value = 0


@implementer(IKeyring)
class PublishedKeyring:
    """Knows the keys that accounts of a forge have there.

    :param forge: the forge.
    :param options: whose keys count, and how long they are remembered.
    :param realm: the text of the realm that the users are in.
    :param begin: begins to ask the forge.
    :param clock: tells when answers expire.
    """

    log = Logger()

    def __init__(
        self,
        forge: Forge,
        options: PublishedOptions,
        realm: str,
        begin: Callable[[], Awaitable[Questions]],
        clock: IReactorTime,
    ) -> None:
        self.realm = realm
        self._forge = forge
        self._ttl = options.ttl
        self._begin = begin
        self._clock = clock
        self._orgs = tuple(options.orgs)
        self._anybody = ANYBODY in options.users
        self._named = {name.lower(): None for name in options.users if name != ANYBODY}
        #: Whose keys count, and until when that holds.
        self._people: tuple[float, Mapping[str, Account | None]] = (0.0, self._named)
        self._listed: dict[str, _Published] = {}
        size = options.cache_size
        self._others: TTLCache[str, _Published] = TTLCache(size, clock)
        self._lately: TTLCache[bytes, str] = TTLCache(size, clock)
        self._counts: TTLCache[str, _Count] = TTLCache(size, clock)
        self._asking: Shared[str, _Published] = Shared()
        self._gathering: Shared[str, Mapping[str, Account | None]] = Shared()
        self._refreshing: Shared[str, None] = Shared()
        self._paused: tuple[float, TooManyRequests | None] = (0.0, None)

    async def owner(self, offered: OfferedKey) -> KeyOwner | None:
        """See :meth:`giftless.interfaces.IKeyring.owner`."""
        try:
            blob = parse_blob(offered.blob).blob
        except ValueError:
            return None
        login = offered.login.lower()
        people = await self._whose()
        if login in people:
            return await self._owner_named(blob, login, people, offered.address)
        if not self._anybody or login == _SHARED_LOGIN:
            return await self._owner_among(blob, people)
        if is_account(login):
            return await self._owner_named(blob, login, people, offered.address)
        return None

    async def keys(self) -> Sequence[KnownKey]:
        """See :meth:`giftless.interfaces.IKeyring.keys`: those of the accounts that are named."""
        people = await self._whose()
        await self._refresh(people)
        known: dict[bytes, KnownKey] = {}
        several: set[bytes] = set()
        for published in self._fresh(people):
            owner = self._owned_by(published)
            if owner is None:
                continue
            for blob, key in published.keys.items():
                if blob in known:
                    several.add(blob)
                known[blob] = KnownKey(owner, key.line)
        return [key for blob, key in known.items() if blob not in several]

    async def _owner_named(
        self, blob: bytes, name: str, people: Mapping[str, Account | None], address: str
    ) -> KeyOwner | None:
        """Return the owner of a key if it is the account of a name.

        :raises TooManyRequests: if too many have been asked about for strangers.
        """
        published = self._told(name, people)
        is_stranger = self._lately.get(blob) != name
        if published is None:
            if is_stranger and name not in people and not self._may_ask(address):
                raise TooManyRequests(
                    f"too many accounts of {self._forge.name} are being tried; try again later",
                    _WINDOW,
                )
            published = await self._ask(name, people)
        elif (
            blob not in published.keys
            and self._clock.seconds() - published.since >= _NEW_KEY
            and self._may_ask(address)
        ):
            published = await self._ask(name, people)
        if blob not in published.keys:
            return None
        self._lately.put(blob, name, _LATELY)
        return self._owned_by(published)

    async def _owner_among(
        self, blob: bytes, people: Mapping[str, Account | None]
    ) -> KeyOwner | None:
        """Return the owner of a key among all whose keys count."""
        lately = self._lately.get(blob) or ""
        if lately in people and self._told(lately, people) is None:
            await self._ask(lately, people)
        owners = list(self._having(blob, people))
        if not owners:
            await self._refresh(people)
            owners = list(self._having(blob, people))
        if len(owners) > 1:
            self.log.warn(
                "{forge} says that several users have one key, so it is nobody's here: {users}",
                forge=self._forge.name,
                users=", ".join(sorted(p.account.name for p in owners if p.account is not None)),
            )
        if len(owners) != 1 or owners[0].account is None:
            return None
        self._lately.put(blob, owners[0].account.name.lower(), _LATELY)
        return self._owned_by(owners[0])

    def _owned_by(self, published: _Published) -> KeyOwner | None:
        account = published.account
        return None if account is None else KeyOwner(account.user, self.realm)

    def _fresh(self, people: Iterable[str]) -> Iterable[_Published]:
        oldest = self._clock.seconds() - self._ttl
        known = (self._listed.get(name) for name in people)
        return (published for published in known if published and published.since > oldest)

    def _having(self, blob: bytes, people: Iterable[str]) -> Iterable[_Published]:
        return (published for published in self._fresh(people) if blob in published.keys)

    def _told(self, name: str, people: Mapping[str, Account | None]) -> _Published | None:
        """Return what the forge has told of an account lately."""
        if name not in people:
            return self._others.get(name)
        return next(iter(self._fresh((name,))), None)

    async def _whose(self) -> Mapping[str, Account | None]:
        """Return whose keys count: the accounts by their names, as far as they are known."""
        expires, people = self._people
        if not self._orgs or self._clock.seconds() < expires:
            return people
        return await self._gathering.ask("", self._gather())

    async def _gather(self) -> Mapping[str, Account | None]:
        people: dict[str, Account | None] = {**self._named}
        begun = self._clock.seconds()
        for org in self._orgs:
            members = await self._unless_paused(partial(self._forge.members, org=org))
            if not members:
                self.log.warn(
                    "{forge} shows no member of {org}; see token_file",
                    forge=self._forge.name,
                    org=org,
                )
            people.update((member.name.lower(), member) for member in members)
        self._people = (begun + self._ttl, people)
        self._listed = {name: told for name, told in self._listed.items() if name in people}
        return people

    async def _refresh(self, people: Mapping[str, Account | None]) -> None:
        """Ask about all accounts of which too little is known, unless somebody does already."""
        missing = [name for name in people if self._told(name, people) is None]

        async def work() -> None:
            while missing:
                await self._ask(missing.pop(), people)

        async def all_of_them() -> None:
            await settle(work() for _ in range(_AT_ONCE))

        if missing:
            await self._refreshing.ask("", all_of_them())

    def _ask(self, name: str, people: Mapping[str, Account | None]) -> Awaitable[_Published]:
        return self._asking.ask(name, self._find(name, people))

    async def _find(self, name: str, people: Mapping[str, Account | None]) -> _Published:
        begun = self._clock.seconds()

        async def find(questions: Questions) -> _Published:
            account = await self._forge.find_account(questions, name)
            expected = people.get(name)
            if account is not None and expected is not None and account.id != expected.id:
                account = None  # the name is somebody else's by now
            lines = [] if account is None else await self._forge.keys(questions, account)
            return _Published(account, _usable(lines[:_MAX_KEYS]), begun)

        published = await self._unless_paused(find)
        if name in people:
            self._listed[name] = published
        else:
            self._others.put(name, published, self._ttl)
        return published

    async def _unless_paused(self, question: Callable[[Questions], Awaitable[T]]) -> T:
        """Ask the forge, unless it has not answered just now or wants to be left alone."""
        until, error = self._paused
        if error is not None and self._clock.seconds() < until:
            raise type(error)(error.message, error.retry_after)
        try:
            with own_token(self._forge.name):
                return await question(await self._begin())
        except TooManyRequests as failed:
            pause = _PAUSE if isinstance(failed, ServiceUnavailable) else failed.retry_after
            self._paused = (self._clock.seconds() + pause, failed)
            raise

    def _may_ask(self, address: str) -> bool:
        """Count an account that is asked about for a stranger, unless there are too many."""
        counts = []
        network = f"address {network_of_host(address)}"
        for key, limit in ((network, _PER_ADDRESS), ("all", _ALL)):
            count = self._counts.get(key)
            if count is None:
                count = _Count()
                self._counts.put(key, count, _WINDOW)
            if count.value >= limit:
                return False
            counts.append(count)
        for count in counts:
            count.value += 1
        return True


def _usable(lines: Iterable[str]) -> Mapping[bytes, PublicKey]:
    """Return the keys that are good enough, by what is sent of them."""
    keys = {}
    for line in lines:
        words = line.split(None, 2)
        try:
            key = parse_words(words[0], words[1])
        except (ValueError, IndexError):
            continue
        keys[key.blob] = key
    return keys
