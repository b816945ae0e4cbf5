"""What the parent asks workers for operators who use the administration's API.

After an upgrade one side may be older than the other: a new member needs a default, and
one that is not known is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

#: The name of the question.
ADMINISTRATION: Final = "administration"

#: For how many seconds its answer is waited for: a little longer than a worker waits for
#: the end of a long operation.
PATIENCE: Final = 40.0


class Order(msgspec.Struct, frozen=True):
    """A request; see :class:`giftless.web.administration.api.Asked`.

    :ivar path: the endpoint.
    """

    method: str
    path: str
    query: Mapping[str, str]
    kind: str
    body: bytes
    name: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What a worker answers: a whole response.

    :ivar body: JSON.
    """

    status: int
    body: msgspec.Raw
    headers: Mapping[str, str] = {}
