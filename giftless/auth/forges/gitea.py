"""``auth: {type: gitea}``: Gitea and Forgejo.

Uses the API's "Get a repository" and "Get the authenticated user".  The
``permissions`` of a repository tell the role of the token's *owner*; whether
the token has the scope ``write:repository`` is told by git's own endpoint.
"""

from __future__ import annotations

import msgspec

from giftless.auth.forges.forge import (
    NOTHING,
    Account,
    Forge,
    ForgeAuthenticator,
    ForgeOptions,
)
from giftless.auth.forges.inquiry import Inquiry, Name
from giftless.auth.forges.repositories import Found, place_of, quote_path
from giftless.auth.grants import ADMIN, READ, READ_WRITE
from giftless.base.urls import check_url
from giftless.interfaces import Environment
from giftless.lfs.objects import Permission, Repo


class GiteaOptions(ForgeOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: gitea}]``.

    :ivar url: the root of the instance, e.g. ``https://git.example.com``.
    """

    url: str


class _Role(msgspec.Struct):
    pull: bool = False
    push: bool = False
    admin: bool = False


class _Repository(msgspec.Struct):
    full_name: str | None = None
    id: int | None = None
    archived: bool = False
    permissions: _Role | None = None


class _Named(msgspec.Struct):
    full_name: str


class _User(msgspec.Struct):
    login: Name
    id: int | None = None


class Gitea(Forge):
    """Gitea or Forgejo.

    :param url: the root of the instance.
    """

    name = "Gitea"
    kind = "gitea"
    unnamed = "gitea-token"

    def __init__(self, url: str) -> None:
        self._url = self.git_url = url
        self.place = place_of(url)

    async def name_of(self, inquiry: Inquiry, number: int) -> Repo | None:
        """See :meth:`giftless.auth.forges.forge.Forge.name_of`."""
        url = f"{self._url}/api/v1/repositories/{number}"
        answer = await inquiry.ask(url, _headers(inquiry))
        if answer.status != 200:
            return None
        return inquiry.name(inquiry.read(answer, _Named).full_name)

    async def look_up(self, inquiry: Inquiry) -> Found:
        """See :meth:`giftless.auth.forges.forge.Forge.look_up`."""
        root = f"{self._url}/api/v1"
        url = f"{root}/repos/{quote_path(inquiry.repo)}"
        answer = await inquiry.ask_for_repository(root, url, _headers(inquiry))
        if answer.status != 200:
            return Found(NOTHING)
        repository = inquiry.read(answer, _Repository)
        repo = inquiry.name(repository.full_name)
        return Found(await self._permissions(inquiry, repository, repo), repo, repository.id)

    async def _permissions(
        self, inquiry: Inquiry, repository: _Repository, repo: Repo
    ) -> frozenset[Permission]:
        role = repository.permissions or _Role()
        if role.push and not repository.archived:
            # Gitea lets whoever may read begin a push, but refuses tokens
            # without the scope: neither question suffices alone.
            url = self.clone_url(repo)
            if await inquiry.git_allows(url, "git-receive-pack", "oauth2") is not False:
                return ADMIN if role.admin else READ_WRITE
        return READ if role.pull else NOTHING

    async def account(self, inquiry: Inquiry) -> Account | None:
        """See :meth:`giftless.auth.forges.forge.Forge.account`.

        Needs the token's scope ``read:user``.
        """
        answer = await inquiry.ask(f"{self._url}/api/v1/user", _headers(inquiry))
        if answer.status != 200:
            return None
        user = inquiry.read(answer, _User)
        return Account(user.login, user.id)


def _headers(inquiry: Inquiry) -> dict[str, str]:
    return {"Authorization": f"token {inquiry.token}"} if inquiry.token else {}


class GiteaFactory:
    """Builds an authenticator from :class:`GiteaOptions`."""

    Options = GiteaOptions

    def build(self, options: GiteaOptions, environment: Environment) -> ForgeAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if the URL or an organisation cannot be one.
        """
        forge = Gitea(check_url("url", options.url))
        return ForgeAuthenticator(forge, options, environment)
