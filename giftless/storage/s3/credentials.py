"""Where S3's credentials come from: the configuration, or the vendor's usual chain.

The chain is botocore's: environment, files and profiles, web identity, SSO,
containers (ECS, EKS), instances (EC2).  It reads files and asks servers, and
so is run in a thread, every time with a fresh session: botocore remembers what
it has once found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.showing import without_quotes
from giftless.interfaces import IBlocking, WallClock
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.credentials import Refreshing, looked_up
from giftless.storage.s3.signing import Credentials

#: How long before temporary credentials expire new ones are fetched, in
#: seconds, if they live long enough.  Instances get theirs from 5 minutes
#: before on.
EARLY: Final = 600.0

#: What the credentials are called in the log.
WHAT: Final = "S3 credentials"

#: Looks credentials up; it may block.  The time is when they expire, in seconds
#: since the epoch.
Find = Callable[[], tuple[Credentials, float | None]]


def found(
    find: Find, blocking: IBlocking, clock: IReactorTime, wall_clock: WallClock
) -> Refreshing[Credentials]:
    """Return credentials that ``find`` looks up in a thread, and keep them fresh."""
    return looked_up(find, blocking, clock, wall_clock, WHAT, EARLY)


def botocore_chain(profile: str | None) -> Find:
    """Return what asks botocore's chain.

    :param profile: the profile of the AWS configuration files to use.
    :raises ImportError: if botocore is not installed.
    """
    import botocore.exceptions
    import botocore.session

    def find() -> tuple[Credentials, float | None]:
        try:
            session = botocore.session.Session(profile=profile)
            resolved = session.get_credentials()
            if resolved is None:
                raise StoreError(
                    "no AWS credentials found: not in the environment, not in files,"
                    " not from a container or an instance"
                )
            frozen = resolved.get_frozen_credentials()
        except botocore.exceptions.ProfileNotFound as error:
            # Its text shows what stands there as the name.
            raise StoreError("AWS's configuration files have no such profile") from error
        except botocore.exceptions.BotoCoreError as error:
            raise StoreError(f"AWS credentials cannot be had: {without_quotes(error)}") from error
        return (
            Credentials(frozen.access_key, frozen.secret_key, frozen.token or None),
            _expiry(resolved),
        )

    return find


def _expiry(resolved: Any) -> float | None:
    # botocore knows when temporary credentials expire, and has no public name for it.
    expiry = getattr(resolved, "_expiry_time", None)
    return None if expiry is None else float(expiry.timestamp())
