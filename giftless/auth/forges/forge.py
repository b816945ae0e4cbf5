"""What forges (GitHub, Gitea, GitLab …) have in common: options, and what each is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

import msgspec

from giftless.auth.forges.accounts import Account
from giftless.auth.forges.inquiry import Inquiry
from giftless.auth.forges.questions import Questions
from giftless.auth.forges.repositories import Found, quote_path
from giftless.lfs.objects import Permission, Repo

#: The permissions of a user whom the forge knows and who may do nothing here.
NOTHING: Final[frozenset[Permission]] = frozenset()


class ForgeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options that all forges have.

    :ivar orgs: whose repositories are served: organisations, users or groups
        (``group/subgroup`` too); ``*`` for everybody's on the forge.
    :ivar write_ttl: for how many seconds it is remembered that somebody may
        write.
    :ivar read_ttl: the same for those who may read only, or nothing.
    :ivar timeout: how many seconds the forge has for one answer.
    :ivar cache_size: about how many tokens and repositories it is remembered.
    :ivar realm: what tells the forge's people from those of others; its host, if
        not set.
    :ivar by_id: whether objects and locks are kept under a repository's number, which
        never changes, instead of its name.
    :ivar token_file: the file of the token by which the server asks what users may do who
        are known by their keys of SSH; empty if none are.
    """

    orgs: list[str]
    write_ttl: Annotated[int, msgspec.Meta(ge=0)] = 900
    read_ttl: Annotated[int, msgspec.Meta(ge=0)] = 60
    timeout: Annotated[int, msgspec.Meta(ge=1)] = 10
    cache_size: Annotated[int, msgspec.Meta(ge=1)] = 4096
    realm: str = ""
    by_id: bool = False
    token_file: str = ""

    def ttl(self, permissions: frozenset[Permission]) -> int:
        """For how many seconds it is remembered that somebody has these permissions."""
        return self.write_ttl if Permission.WRITE in permissions else self.read_ttl


class Forge(ABC):
    """A kind of forge: how its API is asked and understood.

    :ivar place: where it is: host and path of its URL.
    :ivar git_url: the root of the URLs that git clones from.
    """

    #: What people call it.
    name: ClassVar[str]

    #: What the configuration calls it.
    kind: ClassVar[str]

    place: str

    git_url: str

    #: The name of those whose tokens do not tell whose they are.
    unnamed: ClassVar[str]

    def has(self, repo: Repo) -> bool:
        """Whether a repository of such a path can be there."""
        return len(repo.segments) == 2

    def clone_url(self, repo: Repo) -> str:
        """Return the URL that git clones a repository from."""
        return f"{self.git_url}/{quote_path(repo)}.git"

    @abstractmethod
    async def name_of(self, inquiry: Inquiry, number: int) -> Repo | None:
        """Find out what the repository with a number is called.

        :returns: ``None`` if there is none, as far as the token can see.
        :raises LFSError: what :meth:`~giftless.auth.forges.inquiry.Inquiry.ask` raises.
        """

    @abstractmethod
    async def look_up(self, inquiry: Inquiry) -> Found:
        """Find out what a token allows, and what the repository is called.

        :raises LFSError: what :meth:`~giftless.auth.forges.inquiry.Inquiry.ask` raises.
        """

    @abstractmethod
    async def account(self, inquiry: Inquiry) -> Account | None:
        """Find out whose a token is; ``None`` if that is not told."""

    @abstractmethod
    async def find_account(self, questions: Questions, name: str) -> Account | None:
        """Find out who has a name at present.

        :param name: what is quoted in URLs.
        :returns: ``None`` if nobody has it, or somebody who is shut out.
        :raises LFSError: what :meth:`~giftless.auth.forges.questions.Questions.ask` raises.
        """

    @abstractmethod
    async def look_up_for(self, inquiry: Inquiry, account: Account) -> Found:
        """Find out what somebody may do, whoever has the token that asks.

        :raises LFSError: what :meth:`~giftless.auth.forges.inquiry.Inquiry.ask` raises.
        """

    @abstractmethod
    async def members(self, questions: Questions, org: str) -> Sequence[Account]:
        """Find out who belongs to an organisation or a group.

        :raises LFSError: what :meth:`~giftless.auth.forges.questions.Questions.ask` raises.
        """

    @abstractmethod
    async def keys(self, questions: Questions, account: Account) -> Sequence[str]:
        """Find out with which keys of SSH somebody logs in.

        :returns: the keys as files have them; nobody has looked at them.
        :raises LFSError: what :meth:`~giftless.auth.forges.questions.Questions.ask` raises.
        """
