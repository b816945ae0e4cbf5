"""The object that is sent up and down: the same in each repository, so that there is one of it."""

from __future__ import annotations

import hashlib
from typing import Final

#: The bytes: a megabyte.
CONTENT: Final = b"giftless doctor\n" * 62_500

#: The oid and the size in bytes.
OID: Final = hashlib.sha256(CONTENT).hexdigest()
SIZE: Final = len(CONTENT)

#: What a batch is asked for.
WANTED: Final = {OID: SIZE}
