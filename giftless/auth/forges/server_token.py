"""The token by which the server itself asks a forge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twisted.logger import Logger

from giftless.auth.forges.questions import TOKEN
from giftless.base.watched_file import FileProblem, WatchedFile
from giftless.errors import TokenRefused, Unauthorized
from giftless.interfaces import Environment

_log: Final = Logger()

#: What clients are told to wait until somebody has given the server a good token, in seconds.
_RETRY_AFTER: Final = 300


def watch_token(path: str, environment: Environment) -> WatchedFile[str]:
    """Read a file that holds a token and nothing else.

    :raises ConfigError: if it holds something else.
    """
    lent = (environment.blocking, environment.reactor)
    return WatchedFile(path, _parse, "token_file", *lent)


def _parse(content: bytes) -> str:
    token = content.strip().decode("ascii", "replace")
    if not TOKEN.fullmatch(token):
        raise FileProblem("found something else than a token, alone in its file")
    return token


@contextmanager
def own_token(forge: str) -> Iterator[None]:
    """Turn a refusal of the server's token into an error that is not the client's fault.

    :param forge: what the forge is called.
    :raises TokenRefused: if the forge refuses the token.
    """
    try:
        yield
    except Unauthorized as error:
        raise refused(forge, error.message) from None


def refused(forge: str, problem: str) -> TokenRefused:
    """Log that the server's token does not suffice, and make the error for clients."""
    _log.error("the token in token_file is of no use: {problem}", problem=problem)
    return TokenRefused(
        f"{forge} does not tell this server what it must know about you; tell its operator",
        _RETRY_AFTER,
    )
