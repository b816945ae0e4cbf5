"""The account that the daemon acts as: of a key file, or found by google-auth.

google-auth's usual chain is: the file that ``GOOGLE_APPLICATION_CREDENTIALS``
names (a service account's key, workload identity federation …), gcloud's
files, the metadata server of Google's machines.  It reads files and asks
servers, and so is run in a thread.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from giftless.base.showing import without_quotes
from giftless.interfaces import IBlocking, WallClock
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.credentials import Refreshing, looked_up

#: How long before a token expires a new one is fetched, in seconds, if it lives
#: long enough.  The metadata server has new ones from 5 minutes before on.
EARLY: Final = 290.0

#: How long before its end a token is not used any more, in seconds.
LATE: Final = 10.0

#: How long google-auth may wait for one answer, in seconds.
_TIMEOUT: Final = 8

#: What a token must be good for: objects in Cloud Storage, and ``signBlob``.
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)

#: Signs bytes with RSA and SHA-256; it blocks.
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Account:
    """The account that the daemon acts as.

    :ivar token: an OAuth 2.0 access token.
    :ivar email: the service account's address; ``None`` if it is none, or not
        known.
    :ivar sign: signs with the account's key; ``None`` if the key is not here.
    """

    token: str
    email: str | None = None
    sign: Sign | None = None

    def __repr__(self) -> str:
        """Leave out what is secret."""
        return f"<Account {self.email}>"


#: Looks the account up; it may block.  The time is when its token expires, in
#: seconds since the epoch.
Find = Callable[[], tuple[Account, float | None]]


def found(
    find: Find, blocking: IBlocking, clock: IReactorTime, wall_clock: WallClock
) -> Refreshing[Account]:
    """Return the account that ``find`` looks up in a thread, with a token that is fresh."""
    return looked_up(find, blocking, clock, wall_clock, "Google credentials", EARLY, LATE)


def google_chain(credentials_file: str | None) -> Find:
    """Return what asks google-auth.

    :param credentials_file: a service account's key in JSON, instead of the
        usual chain.
    :raises ImportError: if google-auth is not installed.
    """
    import google.auth
    import google.auth.exceptions
    from google.auth.transport.requests import Request
    from google.oauth2.service_account import Credentials

    def load() -> Any:
        if credentials_file is None:
            return google.auth.default(scopes=_SCOPES)[0]
        with open(credentials_file, "rb") as file:
            info = msgspec.json.decode(file.read(), type=dict[str, str])
        if info.get("type") != "service_account":
            raise ValueError(
                "the file is no service account's key; other credentials are"
                " named by GOOGLE_APPLICATION_CREDENTIALS"
            )
        return Credentials.from_service_account_info(info, scopes=_SCOPES)

    def find() -> tuple[Account, float | None]:
        try:
            credentials = load()
            credentials.refresh(partial(Request(), timeout=_TIMEOUT))
        except (google.auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
            problem = str(error)
            if isinstance(error, google.auth.exceptions.GoogleAuthError) and error.args:
                # What the server has answered may be behind it.
                problem = str(error.args[0])
            if isinstance(error, OSError):
                problem = error.strerror or type(error).__name__
            problem = without_quotes(problem)
            raise StoreError(f"Google credentials cannot be had: {problem}") from error
        # Only this class signs without asking anybody.
        sign = credentials.sign_bytes if isinstance(credentials, Credentials) else None
        return Account(credentials.token, _email(credentials), sign), _expiry(credentials)

    return find


def _email(credentials: Any) -> str | None:
    email = getattr(credentials, "service_account_email", None)
    # What the metadata server calls an account whose address it was not asked for.
    return None if email == "default" else email


def _expiry(credentials: Any) -> float | None:
    # A time in UTC that does not say so.
    expiry = credentials.expiry
    return None if expiry is None else float(timegm(expiry.utctimetuple()))
