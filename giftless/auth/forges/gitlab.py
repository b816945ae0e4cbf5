"""``auth: {type: gitlab}``: GitLab.

Uses the REST API, version 4: "Get a single project", "Get the current user",
"Get details on a personal access token" and "Get job token's job".  Access
levels tell the role of the token's *owner*, scopes how much of it the token
carries.  Tokens that the API is closed to (those of CI jobs, and those for git
only) are judged by git's own endpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from giftless.auth.forges.accounts import Account
from giftless.auth.forges.authenticator import ForgeAuthenticator
from giftless.auth.forges.forge import NOTHING, Forge, ForgeOptions
from giftless.auth.forges.inquiry import Inquiry
from giftless.auth.forges.questions import MOVED, Name, Questions
from giftless.auth.forges.repositories import (
    Found,
    folded,
    parse_name,
    place_of,
)
from giftless.auth.forges.server_token import refused
from giftless.auth.grants import ADMIN, READ, READ_WRITE
from giftless.base.http_client import Answer
from giftless.base.urls import check_url
from giftless.interfaces import Environment
from giftless.lfs.objects import Permission, Repo

#: Access levels: from Reporter on code may be read, from Developer on written, and
#: from Maintainer on decided about.
_REPORTER: Final = 20
_DEVELOPER: Final = 30
_MAINTAINER: Final = 40

#: The user that git sends with the token of a CI job.
_JOB_USER: Final = "gitlab-ci-token"

#: The scopes of tokens that may push.
_WRITING: Final = {"api", "write_repository"}


class GitLabOptions(ForgeOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: gitlab}]``.

    :ivar url: the root of the instance, e.g. ``https://gitlab.com``.
    """

    url: str


class _Membership(msgspec.Struct):
    access_level: int


class _Permissions(msgspec.Struct):
    project_access: _Membership | None = None
    group_access: _Membership | None = None

    @property
    def level(self) -> int | None:
        found = [m.access_level for m in (self.project_access, self.group_access) if m is not None]
        return max(found, default=None)


class _Project(msgspec.Struct):
    path_with_namespace: str | None = None
    id: int | None = None
    visibility: str = "private"
    repository_access_level: str = "enabled"
    archived: bool = False
    permissions: _Permissions | None = None

    @property
    def is_open(self) -> bool:
        """Whether the code may be read by whoever can see the project."""
        return self.visibility in ("public", "internal") and (
            self.repository_access_level == "enabled"
        )


class _Token(msgspec.Struct):
    scopes: list[str]


class _OAuthToken(msgspec.Struct):
    scope: list[str]


class _Named(msgspec.Struct):
    path_with_namespace: str


class _User(msgspec.Struct):
    username: Name
    id: int | None = None
    state: str = ""

    @property
    def is_active(self) -> bool:
        """Whether somebody is not shut out."""
        return self.state == "active" and self.id is not None


class _Member(msgspec.Struct):
    access_level: int
    state: str = ""
    membership_state: str = "active"

    @property
    def level(self) -> int:
        """The access level; 0 for who is shut out, or waits for approval."""
        return self.access_level if self.state == self.membership_state == "active" else 0


class _Key(msgspec.Struct):
    key: str
    usage_type: str = "auth"
    expires_at: datetime | None = None

    def logs_in(self, now: float) -> bool:
        """Whether it is a key to log in with, and not to sign commits with only."""
        is_valid = self.expires_at is None or now < self.expires_at.timestamp()
        return is_valid and self.usage_type.startswith("auth")


class _Pipeline(msgspec.Struct):
    project_id: int | None = None


class _Job(msgspec.Struct):
    user: _User
    web_url: str = ""
    pipeline: _Pipeline = msgspec.field(default_factory=_Pipeline)


class GitLab(Forge):
    """GitLab.

    :param url: the root of the instance.
    """

    name = "GitLab"
    kind = "gitlab"
    unnamed = "gitlab-token"

    def __init__(self, url: str) -> None:
        self._url = self.git_url = url
        self.place = place_of(url)
        self._api = f"{url}/api/v4"

    async def name_of(self, inquiry: Inquiry, number: int) -> Repo | None:
        """See :meth:`giftless.auth.forges.forge.Forge.name_of`."""
        answer = await inquiry.ask(f"{self._api}/projects/{number}", _bearer(inquiry))
        if answer.status != 200:
            return None
        return inquiry.name(inquiry.read(answer, _Named).path_with_namespace)

    def has(self, repo: Repo) -> bool:
        """Groups may be nested."""
        return len(repo.segments) >= 2

    async def look_up(self, inquiry: Inquiry) -> Found:
        """See :meth:`giftless.auth.forges.forge.Forge.look_up`."""
        if _is_job(inquiry):
            return await self._look_up_for_job(inquiry)
        answer = await self._ask_for_project(inquiry)
        if answer.status == 403:
            # The token is for git only, which does not tell what the project is called.
            return Found(await self._ask_git(inquiry, inquiry.repo, "oauth2"))
        if answer.status != 200:
            return Found(NOTHING)
        project = inquiry.read(answer, _Project)
        repo = inquiry.name(project.path_with_namespace)
        return Found(await self._permissions(inquiry, project, repo), repo, project.id)

    async def _ask_for_project(self, inquiry: Inquiry) -> Answer:
        url = f"{self._api}/projects/{quote(inquiry.repo.path, safe='')}"
        return await inquiry.ask_for_repository(self._api, url, _bearer(inquiry))

    async def _look_up_for_job(self, inquiry: Inquiry) -> Found:
        """Find out what the token of a CI job allows.

        Of projects, a job is told about its own only.
        """
        permissions = await self._ask_git(inquiry, inquiry.repo, _JOB_USER)
        job = await self._job(inquiry) if permissions else None
        if job is not None:
            path = urlsplit(job.web_url).path.removeprefix(urlsplit(self._url).path)
            repo = parse_name(path.partition("/-/")[0].strip("/"))
            if repo is not None and folded(repo) == folded(inquiry.repo):
                return Found(permissions, repo, job.pipeline.project_id)
        return Found(permissions)

    async def _permissions(
        self, inquiry: Inquiry, project: _Project, repo: Repo
    ) -> frozenset[Permission]:
        if project.repository_access_level == "disabled":
            return NOTHING
        level = (project.permissions or _Permissions()).level
        granted = NOTHING
        if level is None:
            # Who is a member by a group that the project is shared with has
            # no level here.
            granted = await self._ask_git(inquiry, repo, "oauth2")
        elif level >= _DEVELOPER and not project.archived and await self._may_write(inquiry):
            granted = ADMIN if level >= _MAINTAINER else READ_WRITE
        elif level >= _REPORTER:
            granted = READ
        return granted or (READ if project.is_open else NOTHING)

    async def account(self, inquiry: Inquiry) -> Account | None:
        """See :meth:`giftless.auth.forges.forge.Forge.account`.

        A job acts for the user who started it.
        """
        if _is_job(inquiry):
            job = await self._job(inquiry)
            user = None if job is None else job.user
        else:
            answer = await inquiry.ask(f"{self._api}/user", _bearer(inquiry))
            user = inquiry.read(answer, _User) if answer.status == 200 else None
        return None if user is None else Account(user.username, user.id)

    async def find_account(self, questions: Questions, name: str) -> Account | None:
        """See :meth:`giftless.auth.forges.forge.Forge.find_account`."""
        url = f"{self._api}/users?username={quote(name, safe='')}"
        answer = await questions.ask(url, _bearer(questions), MOVED)
        users = questions.read(answer, list[_User]) if answer.status == 200 else []
        for user in users:
            if user.username.lower() == name.lower() and user.is_active:
                return Account(user.username, user.id)
        return None

    async def look_up_for(self, inquiry: Inquiry, account: Account) -> Found:
        """See :meth:`giftless.auth.forges.forge.Forge.look_up_for`.

        Whether somebody who is no member may see an internal project is not told.
        """
        answer = await self._ask_for_project(inquiry)
        if answer.status == 403:
            raise refused(self.name, "it may not ask for projects")
        if answer.status != 200:
            return Found(NOTHING)
        project = inquiry.read(answer, _Project)
        repo = inquiry.name(project.path_with_namespace)
        if project.id is None or project.repository_access_level == "disabled":
            return Found(NOTHING)
        url = f"{self._api}/projects/{project.id}/members/all/{account.id}"
        answer = await inquiry.ask(url, _bearer(inquiry))
        if answer.status == 403:
            raise refused(self.name, "it may not ask for the members of a project")
        member = inquiry.read(answer, _Member) if answer.status == 200 else None
        level = 0 if member is None else member.level
        granted = READ if project.is_open and project.visibility == "public" else NOTHING
        if level >= _DEVELOPER and not project.archived:
            granted = ADMIN if level >= _MAINTAINER else READ_WRITE
        elif level >= _REPORTER:
            granted = READ
        return Found(granted, repo, project.id)

    async def members(self, questions: Questions, org: str) -> Sequence[Account]:
        """See :meth:`giftless.auth.forges.forge.Forge.members`."""
        url = f"{self._api}/groups/{quote(org, safe='')}/members/all?per_page=100&page="
        users = await questions.pages(url, _bearer(questions), list[_User], 100)
        return [Account(user.username, user.id) for user in users or () if user.is_active]

    async def keys(self, questions: Questions, account: Account) -> Sequence[str]:
        """See :meth:`giftless.auth.forges.forge.Forge.keys`."""
        url = f"{self._api}/users/{account.id}/keys?per_page=100&page="
        keys = await questions.pages(url, _bearer(questions), list[_Key], 100)
        return [key.key for key in keys or () if key.logs_in(questions.now())]

    async def _job(self, inquiry: Inquiry) -> _Job | None:
        answer = await inquiry.ask(f"{self._api}/job", {"JOB-TOKEN": inquiry.token})
        return inquiry.read(answer, _Job) if answer.status == 200 else None

    async def _may_write(self, inquiry: Inquiry) -> bool:
        """Whether the token has a scope for writing, as far as that is told."""
        headers = _bearer(inquiry)
        answer = await inquiry.ask(f"{self._api}/personal_access_tokens/self", headers, (401,))
        if answer.status == 200:
            return not _WRITING.isdisjoint(inquiry.read(answer, _Token).scopes)
        answer = await inquiry.ask(f"{self._url}/oauth/token/info", headers, (401,))
        if answer.status == 200:
            return not _WRITING.isdisjoint(inquiry.read(answer, _OAuthToken).scope)
        return True

    async def _ask_git(self, inquiry: Inquiry, repo: Repo, user: str) -> frozenset[Permission]:
        url = self.clone_url(repo)
        if await inquiry.git_allows(url, "git-receive-pack", user):
            return READ_WRITE
        return READ if await inquiry.git_allows(url, "git-upload-pack", user) else NOTHING


def _is_job(inquiry: Inquiry) -> bool:
    return inquiry.user == _JOB_USER or inquiry.token.startswith("glcbt-")


def _bearer(questions: Questions) -> dict[str, str]:
    return {"Authorization": f"Bearer {questions.token}"} if questions.token else {}


class GitLabFactory:
    """Builds an authenticator from :class:`GitLabOptions`."""

    Options = GitLabOptions

    def build(self, options: GitLabOptions, environment: Environment) -> ForgeAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if the URL or an organisation cannot be one.
        """
        forge = GitLab(check_url("url", options.url))
        return ForgeAuthenticator(forge, options, environment)
