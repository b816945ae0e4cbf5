"""Hashes of passwords that cost no time."""

from __future__ import annotations

import bcrypt


def quick_hash(password: str, prefix: bytes = b"2b") -> str:
    """Make a bcrypt hash of the lowest cost."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix)).decode()
