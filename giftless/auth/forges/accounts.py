"""Accounts of forges: what they are called, and what stands for them here.

A user whom a key identifies is ``NAME#NUMBER``, or a name alone: names change hands, and then
it is the number that counts.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from giftless.auth.forges.questions import Name

#: What an account can be called: nothing that means something else in a URL.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}", re.ASCII)

_USER: Final = re.compile(rf"({_NAME.pattern})(?:#(\d{{1,18}}))?", re.ASCII)


class Account(msgspec.Struct, frozen=True):
    """Whose a token or a key is.

    :ivar name: what the account is called at present; may be another's later.
    :ivar id: what the forge knows it by for ever; ``None`` if it does not tell.
    """

    name: Name
    id: int | None = None

    @property
    def part(self) -> str:
        """What stands for the account in principals: its number, if it has one."""
        # Names change hands: whoever renames an account sets its name free.
        return f"login:{self.name}" if self.id is None else f"id:{self.id}"

    @property
    def user(self) -> str:
        """What keyrings call the account; :func:`parse_user` reads it."""
        return self.name if self.id is None else f"{self.name}#{self.id}"


def is_account(name: str) -> bool:
    """Tell whether an account or an organisation can be called so."""
    return _NAME.fullmatch(name) is not None


def parse_user(user: str) -> tuple[str, int | None] | None:
    """Read what keyrings call an account.

    :returns: the name, and the number if it is given; ``None`` if no account is called so.
    """
    parts = _USER.fullmatch(user)
    return None if parts is None else (parts[1], int(parts[2]) if parts[2] else None)
