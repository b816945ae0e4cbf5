"""The kinds of action that the built-in transfers make.

A token opens the endpoints that name its kind (:mod:`giftless.usecases`), and
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from giftless.interfaces import ActionKind, Lifetime
from giftless.lfs.objects import Permission

#: The client guesses a type for what it uploads otherwise, and some types upset
#: proxies.
_BYTES: Final[Mapping[str, str]] = {"Content-Type": "application/octet-stream"}

#: Send an object through the daemon.
UPLOAD: Final = ActionKind("upload", Permission.WRITE, Lifetime.TRANSFER, _BYTES, True)

#: Receive an object through the daemon.
DOWNLOAD: Final = ActionKind("download", Permission.READ, Lifetime.TRANSFER)

#: Verify an object that came through the daemon, or was committed by it.
VERIFY: Final = ActionKind("verify", Permission.READ_META, Lifetime.AFTERWARDS)

#: Verify an object that was sent to the store directly: before this, the daemon
#: does not know that it has arrived.
CONFIRM: Final = ActionKind("confirm", Permission.READ_META, Lifetime.AFTERWARDS)

#: Ask what there is to do to upload an object.
PARTS: Final = ActionKind("parts", Permission.WRITE, Lifetime.PARTS)

#: Send a part through the daemon.
PART: Final = ActionKind("part", Permission.WRITE, Lifetime.PARTS, _BYTES, True)

#: Make an object of its parts.
COMMIT: Final = ActionKind("commit", Permission.WRITE, Lifetime.AFTERWARDS)

#: Throw the parts of an object away.
ABORT: Final = ActionKind("abort", Permission.WRITE, Lifetime.AFTERWARDS)

#: Go on with the upload of an object where it broke off.
TUS: Final = ActionKind("tus", Permission.WRITE, Lifetime.PARTS)

#: All of them: a server knows them whichever transfers it offers, so that tokens
#: which it gave out under another configuration are still good.
BUILT_IN: Final = (UPLOAD, DOWNLOAD, VERIFY, CONFIRM, PARTS, PART, COMMIT, ABORT, TUS)
