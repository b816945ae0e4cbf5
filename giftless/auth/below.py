"""``auth: [{type: below}]``: authenticators of their own for all repositories below a path.

They alone decide there, and see nothing else: no credential that is sent for a repository
elsewhere, and none of theirs is shown to others.  To them, repositories are called what is
behind the path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import starmap
from typing import Final

import msgspec
from zope.interface import directlyProvides, implementer

from giftless.auth.chain import AuthChain, in_order
from giftless.auth.prefixes import folded, inside, outside
from giftless.auth.realms import Realm
from giftless.base.showing import describe
from giftless.errors import BadRequest, ConfigError, NotFound
from giftless.interfaces import (
    Credentials,
    Environment,
    IAnonymous,
    IAuthenticator,
    IAuthenticatorFactory,
    IConfined,
    Identity,
    Section,
)
from giftless.lfs.objects import OPERATION, Repo

#: What the names of a path may have: what hosts, ports and organisations are written with.
_NAME: Final = re.compile(r"[A-Za-z0-9._~:-]+", re.ASCII)


class BelowOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: below}]``.

    :ivar path: what the paths of the repositories begin with.
    :ivar auth: who may do what with them: a list of authenticators, asked in order.
    """

    path: str
    auth: list[Section]


@implementer(IConfined)
class Below:
    """Asks other authenticators about the repositories below a path.

    :param path: the path.
    :param authenticators: are asked.
    :ivar path: the path.
    """

    def __init__(self, path: Repo, authenticators: Sequence[IAuthenticator]) -> None:
        self.path = path
        self._folded = folded(path.segments)
        self._authenticators = authenticators
        self._chain = AuthChain(in_order(authenticators))
        self._realm = Realm("below", path.path)
        if all(map(IAnonymous.providedBy, authenticators)):
            directlyProvides(self, IAnonymous)

    def each(self, wrap: Callable[[int, IAuthenticator], IAuthenticator]) -> Below:
        """See :meth:`giftless.interfaces.IConfined.each`."""
        return Below(self.path, list(starmap(wrap, enumerate(self._authenticators))))

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        :raises NotFound: if the path is spelled in another way.
        :raises BadRequest: if nothing can be called so below it.
        """
        if folded(repo.segments[: len(self._folded)]) != self._folded:
            return None
        identity = await self._chain.authenticate(credentials, inside(self.path, repo))
        if identity.repo is not None:
            identity = replace(identity, repo=outside(self.path, identity.repo))
        if identity.principal.startswith("#"):
            # No realm: who has this name below another path is somebody else.
            identity = replace(identity, principal=self._realm.principal(identity.name))
        return identity


@implementer(IAuthenticator)
class Elsewhere:
    """Says what the paths of repositories begin with, where all are below some path.

    :param paths: these paths.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = " or ".join(f"{path}/" for path in sorted(paths))

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        :raises NotFound: if a repository is meant.
        """
        if repo == OPERATION:
            return None
        raise NotFound(f"there is no {repo} here: paths of repositories begin with {self._paths}")


class BelowFactory:
    """Builds :class:`Below` from :class:`BelowOptions`."""

    Options = BelowOptions

    def build(self, options: BelowOptions, environment: Environment) -> Below:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if the path is none, or nobody is to be asked.
        """
        path = _parse(options.path)
        if not options.auth:
            raise ConfigError("auth", "found an empty list, allowed is one authenticator or more")
        build = environment.parts.build
        return Below(
            path,
            [
                build(IAuthenticatorFactory, section, f"auth.{index}")
                for index, section in enumerate(options.auth)
            ],
        )


def _parse(text: str) -> Repo:
    segments = text.split("/")
    try:
        path = Repo.parse(segments)
    except BadRequest as error:
        raise ConfigError("path", f"found {describe(text)}: {error.message}") from None
    if path.path != text or not all(map(_NAME.fullmatch, segments)) or "" in folded(segments):
        raise ConfigError(
            "path",
            f"found {describe(text)}, allowed is what the paths of repositories begin with,"
            " such as 'github.com': without slashes around it, or .git",
        )
    return path
