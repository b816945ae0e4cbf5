"""Make clients of servers: with git's settings, and one pool of connections for all."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from giftless.base.git_settings import settings_for
from giftless.base.http_client import client_over
from giftless.client.asking import ATTEMPTS, TIMEOUT, Asker
from giftless.client.connecting import Dial, GitAgent
from giftless.client.credentials import Credentials
from giftless.client.endpoints import Endpoint
from giftless.client.server import LFSServerClient
from giftless.interfaces import IBlocking


class Connections:
    """What connects from one repository's point of view.

    :param reactor: the reactor that connects.
    :param blocking: runs git and SSH.
    :param directory: a folder of the repository whose configuration counts; ``None``: the
        user's alone.
    :param ask: whether git and SSH may ask the user at the terminal.
    :param attempts: how often a request is sent before it is given up.
    :param timeout: how long an answer may take, in seconds.
    :param dial: makes the endpoints of servers; ``None``: any server may be connected to.
    :ivar asker: sends requests of any kind.
    :ivar credentials: says who the user is.
    """

    def __init__(
        self,
        reactor: Any,
        blocking: IBlocking,
        directory: Path | None = None,
        ask: bool = False,
        attempts: int = ATTEMPTS,
        timeout: float = TIMEOUT,
        dial: Dial | None = None,
    ) -> None:
        self._blocking = blocking
        self._ask = ask
        self._directory = None if directory is None else str(directory)
        settings = partial(settings_for, directory=self._directory)
        self._agent = GitAgent(reactor, blocking, settings, dial)
        self.asker = Asker(client_over(self._agent), reactor, attempts, timeout)
        self.credentials = Credentials(blocking, directory, ask)

    def server(self, endpoint: Endpoint) -> LFSServerClient:
        """Make the client of a server."""
        return LFSServerClient(
            endpoint, self.asker, self.credentials, self._blocking, self._ask, self._directory
        )

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._agent.close()
