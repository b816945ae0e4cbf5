"""What tests of encrypted storage share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from giftless.base.watched_file import WatchedFile
from giftless.storage.coded.compressing import load_compression
from giftless.storage.encrypted.keyfile import FileKeys, KeySet, new_line
from giftless.storage.encrypted.store import EncryptedStore
from tests.support.making import environment


def key_file(path: Path, *ids: str) -> Path:
    """Write a key file with fresh keys."""
    path.write_bytes(b"".join(map(new_line, ids)))
    path.chmod(0o600)
    return path


def keys_in(path: Path, around: Any) -> FileKeys:
    """Return what wraps with the keys of a file."""
    parse: Any = KeySet.parse
    file = WatchedFile(str(path), parse, "path", around.blocking, around.reactor, private=True)
    return FileKeys(file)


def encrypted(
    case: Any,
    store: Any,
    keys: FileKeys | None = None,
    compression: str | None = None,
    refuses: bool = False,
) -> EncryptedStore:
    """Return a store that keeps sealed objects in another one."""
    around = environment(os.path.join(case.mktemp(), "state"))
    if keys is None:
        keys = keys_in(key_file(Path(case.mktemp()), "one"), around)
    packing = None if compression is None else load_compression(compression)
    return EncryptedStore(store, keys, packing, around.blocking, around.state_dir, refuses)
