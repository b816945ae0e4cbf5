"""``ssh: {keys: [{type: file}]}``: keys in a file, each with the user that it belongs to.

The file is an ``authorized_keys`` file of OpenSSH.  Its option ``principals`` names the
user; sshd ignores that option on lines of keys.  The comment behind a key names nobody,
because whoever sends a key in has written it.

.. code-block:: text

    principals="alice" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI… alice@laptop
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from zope.interface import implementer

from giftless.auth.keys.lines import Line, parse_lines
from giftless.auth.keys.public_keys import PublicKey
from giftless.auth.keys.users import is_user
from giftless.base.watched_file import FileProblem, WatchedFile
from giftless.interfaces import Environment, IKeyring, KeyOwner, KnownKey, OfferedKey

#: Options that forbid what nobody may do here anyway.
_MOOT: Final = frozenset(
    {
        "no-agent-forwarding",
        "no-port-forwarding",
        "no-pty",
        "no-user-rc",
        "no-x11-forwarding",
        "restrict",
    }
)

#: Options of OpenSSH that would not be kept here.
_REFUSED: Final = frozenset(
    {
        "agent-forwarding",
        "cert-authority",
        "command",
        "environment",
        "expiry-time",
        "from",
        "no-touch-required",
        "permitlisten",
        "permitopen",
        "port-forwarding",
        "pty",
        "tunnel",
        "user-rc",
        "verify-required",
        "x11-forwarding",
    }
)


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``ssh: {keys: [{type: file}]}``.

    :ivar keys_file: the file of users and keys.
    :ivar realm: the realm that the users are in.
    """

    keys_file: str
    realm: str = "basic"


class OwnedKeys:
    """The keys of a file.

    :param users: whose each key is.
    """

    def __init__(self, users: Mapping[PublicKey, str]) -> None:
        self.users = users
        self._by_blob = {key.blob: user for key, user in users.items()}

    @classmethod
    def parse(cls, content: bytes) -> OwnedKeys:
        """Read a file's content.

        :raises FileProblem: at the first line that cannot be used; the text says which and
            why.
        """
        users: dict[PublicKey, str] = {}
        numbers: dict[PublicKey, int] = {}
        for line in parse_lines(content):
            user = _user(line)
            if users.setdefault(line.key, user) != user:
                raise FileProblem(
                    f"line {line.number}: the key is another user's as well, in line"
                    f" {numbers[line.key]}"
                )
            numbers.setdefault(line.key, line.number)
        return cls(users)

    def owner(self, blob: bytes) -> str | None:
        """Return whose a key is; ``None`` if nobody's."""
        return self._by_blob.get(blob)


@implementer(IKeyring)
class FileKeyring:
    """Knows the keys of a file.

    :param file: the file.
    :param realm: the text of the realm that its users are in.
    """

    def __init__(self, file: WatchedFile[OwnedKeys], realm: str) -> None:
        self.realm = realm
        self._file = file

    async def owner(self, offered: OfferedKey) -> KeyOwner | None:
        """See :meth:`giftless.interfaces.IKeyring.owner`."""
        user = (await self._file.current()).owner(offered.blob)
        return None if user is None else KeyOwner(user, self.realm)

    async def keys(self) -> Sequence[KnownKey]:
        """See :meth:`giftless.interfaces.IKeyring.keys`."""
        users = (await self._file.current()).users
        return [KnownKey(KeyOwner(user, self.realm), key.line) for key, user in users.items()]


def _user(line: Line) -> str:
    place = f"line {line.number}: "
    for name in line.options:
        if name in _REFUSED:
            raise FileProblem(f"{place}the option {name} has no effect here; leave it out")
        if name != "principals" and name not in _MOOT:
            raise FileProblem(f"{place}has an option that is not known here")
    user = line.options.get("principals", "")
    if not user:
        raise FileProblem(f'{place}names no user; write principals="USER" before the key')
    if not is_user(user):
        raise FileProblem(f"{place}principals is no name of a single user")
    return user


class FileFactory:
    """Builds :class:`FileKeyring` from :class:`FileOptions`."""

    Options = FileOptions

    def build(self, options: FileOptions, environment: Environment) -> FileKeyring:
        """See :meth:`giftless.interfaces.IKeyringFactory.build`.

        :raises ConfigError: if the file cannot be read or used.
        """
        blocking, clock = environment.blocking, environment.reactor
        file = WatchedFile(options.keys_file, OwnedKeys.parse, "keys_file", blocking, clock)
        return FileKeyring(file, options.realm)
