"""Who sends a request, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
from zope.interface import Attribute, Interface

from giftless.interfaces.multipart import PartUpload
from giftless.lfs.objects import Extras, Oid, Permission, Repo


class Password(msgspec.Struct, frozen=True):
    """A user and a password (``Authorization: Basic``, RFC 7617).

    :ivar user: the user; may be empty, and may itself be a token: git remotes
        have it there.
    :ivar password: the password; may be empty.
    """

    user: str
    password: str

    def __repr__(self) -> str:
        return "<Password>"


class Bearer(msgspec.Struct, frozen=True):
    """A token (``Authorization: Bearer``, RFC 6750).

    :ivar token: the token.  Nothing about it is verified.
    :ivar in_url: whether it is the ``jwt`` query parameter.  Show such a token
        to no other server: it is one of giftless's own, or of a ``jwt``
        authenticator.
    """

    token: str
    in_url: bool = False

    def __repr__(self) -> str:
        return "<Bearer>"


class ActionToken(msgspec.Struct, frozen=True):
    """The token of an action, in the header that actions have for it.

    It is for endpoints that actions lead to, and decides alone: a front shows no
    other credential beside it.

    :ivar token: the token.  Nothing about it is verified.
    """

    token: str

    def __repr__(self) -> str:
        return "<ActionToken>"


class Vouched(msgspec.Struct, frozen=True):
    """A user whom a trusted process has identified: the owner of a key of SSH.

    Nobody can send such a credential over HTTP.

    :ivar user: the user.
    :ivar realm: the text of the :class:`IRealm` that the user is in.  An authenticator of
        another realm passes it over: its users of that name are other people.
    """

    user: str
    realm: str


class Certificate(msgspec.Struct, frozen=True):
    """A certificate (X.509, RFC 5280) whose private key the client has in this connection.

    TLS has shown that, here or to a trusted proxy (RFC 8446 section 4.4.3).

    :ivar der: the certificate, in DER.  Nothing that it says is verified, not even who
        has signed it.
    """

    der: bytes

    def __repr__(self) -> str:
        return "<Certificate>"


class Unreadable(msgspec.Struct, frozen=True):
    """An ``Authorization`` header that is neither a password nor a token.

    It has another scheme, or is malformed.  It never opens anything: a request
    with no good credential beside it is answered with 401.

    :ivar scheme: its scheme, in lower case; empty if it has a single word, which
        may as well be a secret.
    """

    scheme: str = ""

    def __repr__(self) -> str:
        return "<Unreadable>"


Credential: TypeAlias = Password | Bearer | ActionToken | Vouched | Certificate | Unreadable


class Credentials(msgspec.Struct, frozen=True):
    """All credentials of one request, parsed by the front that it came to.

    :ivar items: the credentials in the order in which they were sent.  There may
        be several: proxies and CI runners add an ``Authorization`` header of their
        own.
    :ivar address: the client's IP address; empty for a unix socket.
    """

    items: tuple[Credential, ...] = ()
    address: str = ""

    @property
    def given(self) -> bool:
        """Whether the request has any credential, readable or not."""
        return bool(self.items)

    @property
    def passwords(self) -> tuple[Password, ...]:
        """The users and passwords."""
        return tuple(item for item in self.items if isinstance(item, Password))

    @property
    def bearers(self) -> tuple[Bearer, ...]:
        """The tokens, of headers and of the URL."""
        return tuple(item for item in self.items if isinstance(item, Bearer))

    @property
    def vouched(self) -> tuple[Vouched, ...]:
        """The users whom somebody else has identified."""
        return tuple(item for item in self.items if isinstance(item, Vouched))

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates of the client's connection."""
        return tuple(item for item in self.items if isinstance(item, Certificate))

    def each(self) -> tuple[Credentials, ...]:
        """Return the credentials one by one: each alone, or none at all."""
        if len(self.items) < 2:
            return (self,)
        return tuple(Credentials((item,), self.address) for item in self.items)

    def __repr__(self) -> str:
        return f"<Credentials: {len(self.items)}>"


class IGrants(Interface):
    """What one identity may do in the repository it was authenticated for."""

    def allows(permission: Permission, oid: Oid | None) -> bool:
        """Decide, without waiting for anything.

        :param permission: what is about to be done.
        :param oid: the object concerned; ``None`` for the whole repository.
        """


class INarrowedGrants(IGrants):
    """Grants of which a token gives a part."""

    def lacking(permission: Permission, oid: Oid | None) -> str:
        """Say why something is not allowed that the identity may do without the token.

        :returns: a sentence; empty if that is not the reason.
        """


class Ticket(msgspec.Struct, frozen=True):
    """What an action token says.

    :ivar kind: the name of its :class:`~giftless.interfaces.ActionKind`.
    :ivar size: the object's size in bytes, as announced in the batch.
    :ivar extras: the ``x-*`` members that were given in the batch.
    :ivar upload: the upload in parts that it belongs to, if to any.
    :ivar writer: whether it was made for somebody who may write to the repository,
        whatever it permits itself.
    :ivar passed: the text of the :class:`~giftless.interfaces.Pass` that it was made with;
        empty if with none.
    """

    kind: str
    size: int
    extras: Extras = {}
    upload: PartUpload | None = None
    writer: bool = False
    passed: str = ""

    def __repr__(self) -> str:
        return f"<Ticket {self.kind}>"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, and what they may do in its repository.

    :ivar name: what people are shown, in the log and beside locks.  It is never
        compared: two people may have the same.
    :ivar grants: an :class:`IGrants` provider.
    :ivar principal: who this is among all whom the server knows: who vouches for
        them, ``#``, and what stands for them there and never changes
        (``github:github.com#id:583231``).  It is compared whole; whoever has it
        owns what it owns.  Empty: ``#`` and the name, so that authenticators which
        leave it out know everybody of one name as one person.
    :ivar anonymous: whether the client has not been identified.  What it may not
        do is then refused with 401, which asks for a credential, instead of 403, unless
        the server has no authenticator that takes one.
    :ivar ticket: what the action token says that authenticates the request, if
        one does.
    :ivar repo: under what name the repository's objects and locks are kept, whatever
        the request calls it; ``None`` if that is the name.
    :ivar credential: what the request has shown, for a store that shows it to another
        server; ``None`` unless the authenticator is an :class:`IDeferring`.
    """

    name: str
    grants: IGrants
    principal: str = ""
    anonymous: bool = False
    ticket: Ticket | None = None
    repo: Repo | None = None
    credential: Credential | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.principal:
            object.__setattr__(self, "principal", f"#{self.name}")


class IAuthenticator(Interface):
    """Turns a request's credentials into an identity."""

    def authenticate(credentials: Credentials, repo: Repo) -> Awaitable[Identity | None]:
        """Look at the credentials of a request to ``repo``.

        Whoever calls works with the identity's ``repo`` from then on, if it has one:
        that is the repository whose permissions the identity has.

        :returns: an awaitable of the identity; ``None`` if no credential is
            one of this authenticator's, so that the next in the chain is asked.
        :raises giftless.errors.Unauthorized: if one is this authenticator's and
            is bad, and none is good.
        :raises giftless.errors.ServiceUnavailable: if it cannot find out now.
        """


class IAnonymous(Interface):
    """An authenticator that identifies nobody: it gives every client the same anonymous identity.

    If all authenticators that decide about a repository are such, whatever a client may not do
    is refused with 403 instead of 401, and credentials are passed over: none would help.
    """


class IConfined(IAuthenticator):
    """An authenticator that alone decides about all repositories below a path.

    It stands in ``auth`` itself and is asked before all others, so that these are shown no
    credential for such a repository.
    """

    path: Repo = Attribute("The path, as if it were that of a repository.")

    def each(wrap: Callable[[int, IAuthenticator], IAuthenticator]) -> IConfined:
        """Return the same with others in place of the authenticators inside.

        :param wrap: is given each of them, and where it stands in the list ``auth`` of the
            section, and returns what is asked instead.
        """


class IRealm(Interface):
    """Who vouches for people; ``giftless.auth.realms.Realm`` is one."""

    kind: str = Attribute("The kind of authenticator: its ``type``.")
    name: str = Attribute("What tells it from others of its kind; empty if nothing does.")


class IVouching(Interface):
    """An authenticator that vouches for people, and says as what.

    The server does not start with two whose realms are equal and have no name.
    """

    realm: IRealm = Attribute("What the principals of its identities begin with.")


class ILogIn(Interface):
    """An authenticator whose people log in at an issuer of tokens, and which says at which.

    The server tells clients (RFC 9728), so that they can get a token there.
    """

    issuer: str = Attribute("The issuer's URL.")
    scopes: Sequence[str] = Attribute("What a client asks it for.")


class IHosting(IAuthenticator):
    """An authenticator that knows where git fetches repositories from: a forge."""

    git_url: str = Attribute("The root of all clone URLs.")

    def clone_url(repo: Repo, token: str) -> Awaitable[str | None]:
        """Tell from where git clones the repository whose objects are kept under a name.

        :param repo: the name under which they are kept.
        :param token: is shown to a forge that must be asked what the repository is called;
            empty for none.
        :returns: an awaitable of the URL, without a credential; ``None`` if nobody's objects
            are kept under that name, as far as the token can see.
        :raises giftless.errors.LFSError: if the forge must be asked and does not tell.
        """
