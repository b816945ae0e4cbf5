"""``auth: {type: gitea}``: Gitea and Forgejo.

Uses the API's "Get a repository" and "Get the authenticated user".  The
``permissions`` of a repository tell the role of the token's *owner*; whether
the token has the scope ``write:repository`` is told by git's own endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from giftless.auth.forges.accounts import Account
from giftless.auth.forges.authenticator import ForgeAuthenticator
from giftless.auth.forges.forge import NOTHING, Forge, ForgeOptions
from giftless.auth.forges.inquiry import Inquiry
from giftless.auth.forges.questions import MOVED, Name, Questions
from giftless.auth.forges.repositories import Found, place_of, quote_path
from giftless.auth.forges.server_token import refused
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
    mirror: bool = False
    permissions: _Role | None = None


class _Named(msgspec.Struct):
    full_name: str


class _User(msgspec.Struct):
    login: Name
    id: int | None = None
    active: bool = True
    prohibit_login: bool = False


class _Key(msgspec.Struct):
    key: str


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
        repository = await self._repository(inquiry, _headers(inquiry))
        if repository is None:
            return Found(NOTHING)
        repo = inquiry.name(repository.full_name)
        return Found(await self._permissions(inquiry, repository, repo), repo, repository.id)

    async def _repository(self, inquiry: Inquiry, headers: Mapping[str, str]) -> _Repository | None:
        root = f"{self._url}/api/v1"
        url = f"{root}/repos/{quote_path(inquiry.repo)}"
        answer = await inquiry.ask_for_repository(root, url, headers)
        return inquiry.read(answer, _Repository) if answer.status == 200 else None

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

    async def find_account(self, questions: Questions, name: str) -> Account | None:
        """See :meth:`giftless.auth.forges.forge.Forge.find_account`.

        Whether somebody is shut out, administrators are told alone.
        """
        url = f"{self._url}/api/v1/users/{quote(name, safe='')}"
        # The old name of an account leads to its present one.
        answer = await questions.ask(url, _headers(questions), MOVED)
        if answer.status != 200:
            return None
        user = questions.read(answer, _User)
        return None if user.prohibit_login else Account(user.login, user.id)

    async def look_up_for(self, inquiry: Inquiry, account: Account) -> Found:
        """See :meth:`giftless.auth.forges.forge.Forge.look_up_for`.

        The token must be an administrator's, who may ask in the name of others: what else the
        API tells of their permissions is not only about code.
        """
        headers = {**_headers(inquiry), "Sudo": account.name}
        answer = await inquiry.ask(f"{self._url}/api/v1/user", headers)
        if answer.status == 403:
            raise refused(self.name, "it may not ask in the name of others")
        user = inquiry.read(answer, _User) if answer.status == 200 else None
        if user is None or user.id != account.id or not user.active or user.prohibit_login:
            return Found(NOTHING)
        repository = await self._repository(inquiry, headers)
        if repository is None:
            return Found(NOTHING)
        role = repository.permissions or _Role()
        may_write = role.push and not repository.archived and not repository.mirror
        writing = ADMIN if role.admin else READ_WRITE
        permissions = writing if may_write else READ if role.pull else NOTHING
        return Found(permissions, inquiry.name(repository.full_name), repository.id)

    async def members(self, questions: Questions, org: str) -> Sequence[Account]:
        """See :meth:`giftless.auth.forges.forge.Forge.members`."""
        url = f"{self._url}/api/v1/orgs/{quote(org, safe='')}/members?limit=50&page="
        users = await questions.pages(url, _headers(questions), list[_User], 1)
        return [Account(user.login, user.id) for user in users or ()]

    async def keys(self, questions: Questions, account: Account) -> Sequence[str]:
        """See :meth:`giftless.auth.forges.forge.Forge.keys`."""
        url = f"{self._url}/api/v1/users/{quote(account.name, safe='')}/keys?limit=50&page="
        keys = await questions.pages(url, _headers(questions), list[_Key], 1)
        return [key.key for key in keys or ()]


def _headers(questions: Questions) -> dict[str, str]:
    return {"Authorization": f"token {questions.token}"} if questions.token else {}


class GiteaFactory:
    """Builds an authenticator from :class:`GiteaOptions`."""

    Options = GiteaOptions

    def build(self, options: GiteaOptions, environment: Environment) -> ForgeAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if the URL or an organisation cannot be one.
        """
        forge = Gitea(check_url("url", options.url))
        return ForgeAuthenticator(forge, options, environment)
