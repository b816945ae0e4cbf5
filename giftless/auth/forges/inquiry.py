"""Ask a forge what a token may do with a repository."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Literal

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from giftless.auth.forges.questions import MOVED, Questions
from giftless.auth.forges.repositories import parse_name, redirection
from giftless.base.http_client import Answer
from giftless.errors import Forbidden, LFSError
from giftless.interfaces import WallClock
from giftless.lfs.objects import Repo

#: How git begins a download and a push over HTTP.
Service = Literal["git-upload-pack", "git-receive-pack"]

#: How many redirections lead to a repository at most: its owner may have been renamed too.
_MAX_HOPS: Final = 4


class Inquiry(Questions):
    """Asks a forge about one token and one repository.

    :param forge: what the forge is called in messages.
    :param user: the user that came with the token; nobody has verified it.
    :param token: the token.
    :param repo: the repository.
    :param http: asks.
    :param timeout: how many seconds the forge has for each answer.
    :param clock: tells when to give up waiting.
    :param wall_clock: is compared with the forge's dates.
    """

    def __init__(
        self,
        forge: str,
        user: str,
        token: str,
        repo: Repo,
        http: HTTPClient,
        timeout: float,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        super().__init__(forge, token, http, timeout, clock, wall_clock)
        self.user = user
        self.repo = repo

    def __repr__(self) -> str:
        return f"<Inquiry about {self.repo}>"

    async def ask_for_repository(self, root: str, url: str, headers: Mapping[str, str]) -> Answer:
        """Ask the forge's API about a repository, which may have another name by now.

        Redirections are followed that stay inside the API: no other host is shown the
        token.

        :param root: the root of the API.
        :raises LFSError: see :meth:`ask`.
        """
        for _ in range(_MAX_HOPS):
            answer = await self.ask(url, headers, MOVED)
            if answer.status not in MOVED:
                return answer
            target = redirection(root, url, answer.headers.get("location"))
            if target is None:
                break
            url = target
        raise self.moved()

    def moved(self) -> LFSError:
        """See :meth:`giftless.auth.forges.questions.Questions.moved`."""
        return Forbidden(
            f"{self.forge} has moved {self.repo}; use its present name in the remote's URL"
        )

    def name(self, path: str | None) -> Repo:
        """Return what the forge calls the repository.

        :param path: what an answer calls it; ``None`` if it does not say, so that it
            stays what it was asked for as.
        :raises IdentityUnavailable: if nothing can be called so.
        """
        if path is None:
            return self.repo
        repo = parse_name(path)
        if repo is None:
            self.log.warn("{forge} calls a repository {path!r}", forge=self.forge, path=path)
            raise self.unavailable("does not make sense")
        return repo

    async def git_allows(self, url: str, service: Service, user: str) -> bool | None:
        """Ask what git itself would ask before a download or a push.

        :param url: the repository's URL for git.
        :param user: the user to send with the token.
        :returns: whether the forge lets the token do that; ``None`` if there
            is no such repository, as far as the token can see.
        :raises LFSError: see :meth:`ask`.
        """
        basic = base64.b64encode(f"{user}:{self.token}".encode()).decode()
        answer = await self.get(
            f"{url}/info/refs?service={service}",
            {"Authorization": f"Basic {basic}"},
            0,
            (HTTPStatus.UNAUTHORIZED, *MOVED),
        )
        if answer.status in (HTTPStatus.NOT_FOUND, *MOVED):
            return None
        return answer.status == HTTPStatus.OK
