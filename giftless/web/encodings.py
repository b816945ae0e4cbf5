"""Which encodings of an object a client takes (RFC 9110 section 12.5.3)."""

from __future__ import annotations

import re
from typing import Final

#: A weight that means "not at all", among the parameters of an encoding.
_REFUSED: Final = re.compile(r"q[ \t]*=[ \t]*0(?:\.0{0,3})?", re.IGNORECASE)


def accepts(value: str | None, encoding: str) -> bool:
    """Tell whether an Accept-Encoding header names an encoding, and does not refuse it.

    ``*`` names none: who wants large objects encoded says so.

    :param value: the header; ``None`` if there is none.
    """
    for item in (value or "").split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name.lower() == encoding:
            return not any(_REFUSED.fullmatch(each) for each in parameters)
    return False
