"""Ask several keyrings whose a key is, for whoever is at the other end of the Unix socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from giftless.auth.keys.public_keys import MAX_BLOB
from giftless.base.ssh_greeting import Listed, ListedKey, Owned, WhichKeys, WhoseKey
from giftless.errors import ConfigError, LFSError
from giftless.interfaces import IKeyring, IVouching, OfferedKey

T = TypeVar("T")

#: What clients are told when a keyring fails.
_PROBLEM: Final = "whose the key is cannot be found out now; try again later"


class Keyrings:
    """Asks keyrings in order: the first that knows a key says whose it is.

    :param keyrings: :class:`~giftless.interfaces.IKeyring` providers.
    """

    log = Logger()

    def __init__(self, keyrings: Sequence[IKeyring]) -> None:
        self._keyrings = tuple(keyrings)

    async def owner(self, asked: WhoseKey) -> Owned:
        """Find out whose a key is.

        A keyring that cannot tell now does not hold up users whom a later one knows.
        """
        if len(asked.blob) > MAX_BLOB:
            return Owned()
        offered = OfferedKey(asked.blob, asked.login, asked.address)
        problems: list[str] = []
        for keyring in self._keyrings:
            found = await self._try(partial(keyring.owner, offered), problems)
            if found is not None and found.user:
                return Owned(found.user, found.realm)
        return Owned(problem=next(iter(problems), ""))

    async def keys(self, asked: WhichKeys) -> Listed:
        """Tell all keys that can be listed, each once."""
        problems: list[str] = []
        listed: dict[str, ListedKey] = {}
        for keyring in self._keyrings:
            for key in await self._try(partial(_list, keyring), problems) or ():
                listed.setdefault(key.line, key)
        return Listed(tuple(listed.values()), next(iter(problems), ""))

    async def _try(self, ask: Callable[[], Awaitable[T]], problems: list[str]) -> T | None:
        """Ask a keyring.

        :param problems: gets what to tell the client if the keyring fails.
        :returns: the answer; ``None`` if it fails.
        """
        try:
            return await ask()
        except CancelledError:
            raise
        except LFSError as error:
            problems.append(error.message)
        except Exception:
            problems.append(_PROBLEM)
            self.log.failure("a keyring has failed")
        return None


async def _list(keyring: IKeyring) -> Sequence[ListedKey]:
    known = await keyring.keys()
    return [ListedKey(key.owner.user, key.owner.realm, key.line) for key in known]


def check_keyrings(keyrings: Sequence[IKeyring], authenticators: Iterable[object]) -> None:
    """Refuse keyrings of whose users no authenticator knows what they may do.

    :param authenticators: those of the server.
    :raises ConfigError: if the realm of a keyring is none of an authenticator.
    """
    realms = sorted({str(part.realm) for part in authenticators if IVouching.providedBy(part)})
    for index, keyring in enumerate(keyrings):
        if keyring.realm not in realms:
            raise ConfigError(
                f"ssh.keys.{index}.realm",
                "no authenticator has this realm, so its users could do nothing; available: "
                + (", ".join(realms) or "none"),
            )
