"""The ``access`` section of the configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec


class AccessOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``access`` section: how refusals look, and how guessing is slowed.

    :ivar realm: what a client shows when it asks for a credential.
    :ivar www_authenticate: whether 401 also carries ``WWW-Authenticate``,
        which credential helpers read and browsers answer with a window.
    :ivar hide_private: whether a repository that an identity may not read
        looks as if it did not exist (404 instead of 403).
    :ivar max_failures: how many different bad credentials one address may send for one
        account within a window before it must wait; 0 switches both checks off.
    :ivar max_failures_per_address: how many for all accounts together, but never
        fewer than for one; 0 for any number.
    :ivar failure_window: the window's length in seconds.
    """

    realm: str = "Git LFS"
    www_authenticate: bool = True
    hide_private: bool = False
    max_failures: Annotated[int, msgspec.Meta(ge=0)] = 20
    max_failures_per_address: Annotated[int, msgspec.Meta(ge=0)] = 100
    failure_window: Annotated[int, msgspec.Meta(ge=1)] = 60
