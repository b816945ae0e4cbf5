"""``auth: {type: github}``: GitHub and GitHub Enterprise.

Uses the REST API's "Get a repository" and "Get the authenticated user"
(version 2022-11-28).  The ``permissions`` of a repository tell the role of the
token's *owner*.  How much of it a token carries is told otherwise:

* classic and OAuth tokens by the ``X-OAuth-Scopes`` header;
* fine-grained and app tokens not at all in the API, so git's own endpoint is
  asked whether they may push or fetch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from giftless.auth.forges.accounts import Account
from giftless.auth.forges.authenticator import ForgeAuthenticator
from giftless.auth.forges.forge import NOTHING, Forge, ForgeOptions
from giftless.auth.forges.inquiry import Inquiry
from giftless.auth.forges.questions import MOVED, Name, Questions
from giftless.auth.forges.repositories import Found, place_of, quote_path
from giftless.auth.forges.server_token import refused
from giftless.auth.grants import ADMIN, READ, READ_WRITE
from giftless.base.http_client import Answer
from giftless.base.urls import check_url
from giftless.interfaces import Environment
from giftless.lfs.objects import Permission, Repo

#: Tokens of an app's installation: they have no owner, so the API reports no
#: role for them ("GitHub's token formats" lists the prefixes).
_INSTALLATION: Final = "ghs_"

#: Tokens of somebody, with permissions instead of scopes.
_FINE_GRAINED: Final = ("ghu_", "github_pat_")


class GitHubOptions(ForgeOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: github}]``.

    :ivar api_url: the root of the REST API; ``https://HOST/api/v3`` for
        GitHub Enterprise Server.
    :ivar git_url: where git fetches from; empty to derive it from ``api_url``.
    """

    api_url: str = "https://api.github.com"
    git_url: str = ""


class _Role(msgspec.Struct):
    pull: bool = False
    push: bool = False
    maintain: bool = False
    admin: bool = False

    @property
    def writing(self) -> frozenset[Permission]:
        """The permissions of somebody who may push; only maintainers get ``ADMIN``."""
        return ADMIN if self.maintain or self.admin else READ_WRITE


class _Repository(msgspec.Struct):
    full_name: str | None = None
    id: int | None = None
    private: bool = True
    archived: bool = False
    permissions: _Role | None = None


class _Named(msgspec.Struct):
    full_name: str


class _User(msgspec.Struct):
    login: Name
    id: int | None = None
    type: str = "User"
    suspended_at: str | None = None


class _Collaborator(msgspec.Struct):
    permission: str
    role_name: str = ""
    user: _User | None = None


class _Key(msgspec.Struct):
    key: str


class GitHub(Forge):
    """GitHub.

    :param api_url: the root of the REST API.
    :param git_url: the root of the repositories' URLs.
    """

    name = "GitHub"
    kind = "github"
    unnamed = "github-app"

    def __init__(self, api_url: str, git_url: str) -> None:
        self._api_url = api_url
        self.git_url = git_url
        self.place = place_of(git_url)

    @classmethod
    def at(cls, api_url: str, git_url: str) -> GitHub:
        """Make the GitHub that the options ``api_url`` and ``git_url`` name.

        :param git_url: empty to derive it from ``api_url``.
        :raises ConfigError: if one of them cannot be a URL.
        """
        api_url = check_url("api_url", api_url)
        return cls(api_url, check_url("git_url", git_url or derive_git_url(api_url)))

    async def name_of(self, inquiry: Inquiry, number: int) -> Repo | None:
        """See :meth:`giftless.auth.forges.forge.Forge.name_of`."""
        answer = await inquiry.ask(f"{self._api_url}/repositories/{number}", _headers(inquiry))
        if answer.status != 200:
            return None
        return inquiry.name(inquiry.read(answer, _Named).full_name)

    async def look_up(self, inquiry: Inquiry) -> Found:
        """See :meth:`giftless.auth.forges.forge.Forge.look_up`."""
        answer = await self._ask_for_repository(inquiry)
        if answer.status != 200:
            return Found(NOTHING)
        repository = inquiry.read(answer, _Repository)
        repo = inquiry.name(repository.full_name)
        scopes = answer.headers.get("x-oauth-scopes")
        permissions = await self._permissions(inquiry, repository, repo, scopes)
        return Found(permissions, repo, repository.id)

    async def _ask_for_repository(self, inquiry: Inquiry) -> Answer:
        url = f"{self._api_url}/repos/{quote_path(inquiry.repo)}"
        return await inquiry.ask_for_repository(self._api_url, url, _headers(inquiry))

    async def _permissions(
        self, inquiry: Inquiry, repository: _Repository, repo: Repo, scopes: str | None
    ) -> frozenset[Permission]:
        role = repository.permissions or _Role()
        may_read, may_write = role.pull, role.push and not repository.archived
        if inquiry.token.startswith(_FINE_GRAINED):
            return await self._ask_git(inquiry, repo, role.writing if may_write else NOTHING)
        if inquiry.token.startswith(_INSTALLATION) and not may_write:
            granted = await self._ask_git(inquiry, repo, READ_WRITE)
            return granted or (READ if may_read else NOTHING)
        if scopes is not None and "repo" not in (scoped := {s.strip() for s in scopes.split(",")}):
            may_read = may_read and not repository.private
            may_write = may_write and not repository.private and "public_repo" in scoped
        return role.writing if may_write else READ if may_read else NOTHING

    async def account(self, inquiry: Inquiry) -> Account | None:
        """See :meth:`giftless.auth.forges.forge.Forge.account`.

        Tokens of an app's installation belong to no user.
        """
        if inquiry.token.startswith(_INSTALLATION):
            return None
        answer = await inquiry.ask(f"{self._api_url}/user", _headers(inquiry))
        if answer.status != 200:
            return None
        user = inquiry.read(answer, _User)
        return Account(user.login, user.id)

    async def find_account(self, questions: Questions, name: str) -> Account | None:
        """See :meth:`giftless.auth.forges.forge.Forge.find_account`."""
        url = f"{self._api_url}/users/{quote(name, safe='')}"
        answer = await questions.ask(url, _headers(questions), MOVED)
        if answer.status != 200:
            return None
        user = questions.read(answer, _User)
        if user.type != "User" or user.suspended_at is not None:
            return None
        return Account(user.login, user.id)

    async def look_up_for(self, inquiry: Inquiry, account: Account) -> Found:
        """See :meth:`giftless.auth.forges.forge.Forge.look_up_for`."""
        answer = await self._ask_for_repository(inquiry)
        if answer.status != 200:
            return Found(NOTHING)
        repository = inquiry.read(answer, _Repository)
        repo = inquiry.name(repository.full_name)
        url = f"{self._api_url}/repos/{quote_path(repo)}/collaborators"
        url = f"{url}/{quote(account.name, safe='')}/permission"
        answer = await inquiry.ask(url, _headers(inquiry))
        if answer.status == 403:
            raise refused(self.name, "it may not ask for the permissions of others")
        if answer.status != 200:
            return Found(NOTHING)
        collaborator = inquiry.read(answer, _Collaborator)
        if collaborator.user is not None and collaborator.user.id != account.id:
            return Found(NOTHING)
        return Found(_role(collaborator, repository), repo, repository.id)

    async def members(self, questions: Questions, org: str) -> Sequence[Account]:
        """See :meth:`giftless.auth.forges.forge.Forge.members`."""
        url = f"{self._api_url}/orgs/{quote(org, safe='')}/members?per_page=100&page="
        users = await questions.pages(url, _headers(questions), list[_User], 100)
        return [Account(user.login, user.id) for user in users or () if user.type == "User"]

    async def keys(self, questions: Questions, account: Account) -> Sequence[str]:
        """See :meth:`giftless.auth.forges.forge.Forge.keys`."""
        url = f"{self._api_url}/users/{quote(account.name, safe='')}/keys?per_page=100&page="
        keys = await questions.pages(url, _headers(questions), list[_Key], 100)
        return [key.key for key in keys or ()]

    async def _ask_git(
        self, inquiry: Inquiry, repo: Repo, writing: frozenset[Permission]
    ) -> frozenset[Permission]:
        """Ask what the token may do.

        :param writing: what it is granted if it may push; empty not to ask that.
        """
        url = self.clone_url(repo)
        user = "x-access-token"
        if writing and await inquiry.git_allows(url, "git-receive-pack", user):
            return writing
        return READ if await inquiry.git_allows(url, "git-upload-pack", user) else NOTHING


def _role(collaborator: _Collaborator, repository: _Repository) -> frozenset[Permission]:
    """Return what a role allows; only maintainers get ``ADMIN``.

    ``permission`` of a maintainer is ``write``, and of a role of an organisation's own what
    that begins with.
    """
    role = collaborator.permission
    if role in ("admin", "write") and not repository.archived:
        return ADMIN if role == "admin" or collaborator.role_name == "maintain" else READ_WRITE
    return READ if role in ("admin", "write", "read") else NOTHING


def derive_git_url(api_url: str) -> str:
    """Return the root of the repositories' URLs that belongs to an API's."""
    parts = urlsplit(api_url)
    host = parts.netloc
    if host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com")):
        return f"{parts.scheme}://{host.removeprefix('api.')}"
    return api_url.removesuffix("/api/v3")


def _headers(questions: Questions) -> dict[str, str]:
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    if questions.token:
        headers["Authorization"] = f"Bearer {questions.token}"
    return headers


class GitHubFactory:
    """Builds an authenticator from :class:`GitHubOptions`."""

    Options = GitHubOptions

    def build(self, options: GitHubOptions, environment: Environment) -> ForgeAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if a URL or an organisation cannot be one.
        """
        forge = GitHub.at(options.api_url, options.git_url)
        return ForgeAuthenticator(forge, options, environment)
