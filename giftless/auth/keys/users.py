"""Check the names of users that files of keys and certificates hold."""

from __future__ import annotations

import re
from typing import Final

#: Nothing that means something else in lists of principals, patterns, command lines or
#: environments.
_USER: Final = re.compile(r"""(?!-)[^\s"'`\\,;*?!$&|<>(){}\[\]~=]{1,128}""")


def is_user(name: str) -> bool:
    """Tell whether a user can be called so."""
    return name.isprintable() and _USER.fullmatch(name) is not None
