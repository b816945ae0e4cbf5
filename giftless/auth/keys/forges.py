"""The factories of keyrings that know what GitHub, Gitea, Forgejo and GitLab publish."""

from __future__ import annotations

from giftless.auth.forges.accounts import is_account
from giftless.auth.forges.forge import Forge
from giftless.auth.forges.gitea import Gitea
from giftless.auth.forges.github import GitHub
from giftless.auth.forges.gitlab import GitLab
from giftless.auth.forges.questions import Questions
from giftless.auth.forges.server_token import watch_token
from giftless.auth.keys.published import ANYBODY, PublishedKeyring, PublishedOptions
from giftless.auth.realms import Realm
from giftless.base.showing import describe
from giftless.base.urls import check_url
from giftless.errors import ConfigError
from giftless.interfaces import Environment


class GitHubKeyOptions(PublishedOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``ssh: {keys: [{type: github}]}``.

    :ivar api_url: the root of the REST API; ``https://HOST/api/v3`` for
        GitHub Enterprise Server.
    :ivar git_url: where git fetches from; empty to derive it from ``api_url``.
    """

    api_url: str = "https://api.github.com"
    git_url: str = ""


class GiteaKeyOptions(PublishedOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``ssh: {keys: [{type: gitea}]}``.

    :ivar url: the root of the instance, e.g. ``https://git.example.com``.
    """

    url: str


class GitLabKeyOptions(PublishedOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``ssh: {keys: [{type: gitlab}]}``.

    :ivar url: the root of the instance, e.g. ``https://gitlab.com``.
    """

    url: str


class GitHubKeysFactory:
    """Builds a keyring from :class:`GitHubKeyOptions`."""

    Options = GitHubKeyOptions

    def build(self, options: GitHubKeyOptions, environment: Environment) -> PublishedKeyring:
        """See :meth:`giftless.interfaces.IKeyringFactory.build`.

        :raises ConfigError: if an option cannot be used.
        """
        return _build(GitHub.at(options.api_url, options.git_url), options, environment)


class GiteaKeysFactory:
    """Builds a keyring from :class:`GiteaKeyOptions`."""

    Options = GiteaKeyOptions

    def build(self, options: GiteaKeyOptions, environment: Environment) -> PublishedKeyring:
        """See :meth:`giftless.interfaces.IKeyringFactory.build`.

        :raises ConfigError: if an option cannot be used.
        """
        return _build(Gitea(check_url("url", options.url)), options, environment)


class GitLabKeysFactory:
    """Builds a keyring from :class:`GitLabKeyOptions`."""

    Options = GitLabKeyOptions

    def build(self, options: GitLabKeyOptions, environment: Environment) -> PublishedKeyring:
        """See :meth:`giftless.interfaces.IKeyringFactory.build`.

        :raises ConfigError: if an option cannot be used.
        """
        return _build(GitLab(check_url("url", options.url)), options, environment)


def _build(forge: Forge, options: PublishedOptions, environment: Environment) -> PublishedKeyring:
    if not options.users and not options.orgs:
        raise ConfigError("users", "name at least one user, or '*', or one organisation in orgs")
    for index, name in enumerate(options.users):
        if name != ANYBODY and not is_account(name):
            raise ConfigError(
                f"users.{index}", f"found {describe(name)}, allowed is the name of a user, or '*'"
            )
    for index, org in enumerate(options.orgs):
        if not all(map(is_account, org.split("/"))):
            raise ConfigError(
                f"orgs.{index}", f"found {describe(org)}, allowed is a name, or 'group/subgroup'"
            )
    token = watch_token(options.token_file, environment) if options.token_file else None

    async def begin() -> Questions:
        shown = "" if token is None else await token.current()
        http, clock = environment.http, environment.reactor
        return Questions(forge.name, shown, http, options.timeout, clock, environment.wall_clock)

    realm = options.realm or str(Realm(forge.kind, forge.place))
    return PublishedKeyring(forge, options, realm, begin, environment.reactor)
