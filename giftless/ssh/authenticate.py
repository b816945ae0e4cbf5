"""``git-lfs-authenticate``: tell a client of SSH how it goes on over HTTP.

It writes one JSON object (``href``, ``header``, ``expires_in``), which git-lfs keeps for as
long as it runs.  The header goes with batches and requests about locks; actions have tokens
of their own.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

from giftless.auth.repository_tokens import RepositoryTokens
from giftless.interfaces import IAuthenticator
from giftless.ssh.caller import Caller
from giftless.usecases.authorization import Gate
from giftless.usecases.events import Events

_encode: Final = msgspec.json.Encoder().encode


class RepositoryAuthentication:
    """Answers ``git-lfs-authenticate``.

    :param tokens: makes the tokens.
    :param authenticator: identifies who asks.
    :param gate: decides who gets one.
    :param events: where it is published who was refused one.
    :param public_url: the root of the URLs that clients are given; empty to leave it to them
        where the server is.
    """

    def __init__(
        self,
        tokens: RepositoryTokens,
        authenticator: IAuthenticator,
        gate: Gate,
        events: Events,
        public_url: str,
    ) -> None:
        self._tokens = tokens
        self._authenticator = authenticator
        self._gate = gate
        self._events = events
        self._public_url = public_url.rstrip("/")

    async def answer(self, caller: Caller) -> str:
        """See :meth:`giftless.ssh.context.Authentication.answer`."""
        (user,) = caller.credentials.vouched
        repo, operation = caller.command.repo, caller.command.operation
        await caller.require_permission(self._authenticator, self._gate, self._events)
        token = self._tokens.make(user, repo, operation)
        told = {
            "header": {"Authorization": f"Bearer {token}"},
            "expires_in": self._tokens.lifetime,
        }
        if self._public_url:
            told["href"] = f"{self._public_url}/{quote(repo.path)}.git/info/lfs"
        return f"{_encode(told).decode()}\n"
