"""The first user: a line of the file of passwords, and one of the file of grants."""

from __future__ import annotations

from dataclasses import dataclass, field

from giftless.auth.grant_lists import EVERYBODY, GrantLists, GrantProblem
from giftless.auth.passwords import htpasswd
from giftless.base.safe_yaml import load_yaml
from giftless.base.watched_file import FileProblem
from giftless.setup.values import Text
from giftless.setup.yaml_text import in_block

_GRANTS_HEAD = """\
# What the users of giftless may do: for each one, repositories as patterns, and read, write
# or admin.  "*" as a user stands for everybody who has a password.  The daemon reads this
# again when it changes.  docs/auth/basic.rst explains it.
"""


@dataclass(frozen=True)
class FirstUser:
    """A user who may do everything.

    :ivar name: the user's name.
    :ivar hashed: the hash of the password.
    :ivar generated: the password, if nobody has chosen it; else empty.
    """

    name: str
    hashed: str = field(repr=False)
    generated: str = field(default="", repr=False)


class UserName(Text):
    """The name of a user."""

    def parse(self, text: str) -> str:
        """See :class:`giftless.setup.values.Form`."""
        name: str = super().parse(text)
        htpasswd.check_name(name)
        if name == EVERYBODY or "/" in name:
            raise ValueError("a user's name is not '*', and has no '/'")
        return name


def with_password(content: bytes, user: FirstUser) -> bytes:
    """Add a user to a file of passwords; who is there keeps the password.

    :param content: the file; empty if there is none.
    :raises FileProblem: if it is no such file.
    """
    if user.name in htpasswd.Passwords.parse(content).hashes:
        return content
    return _ended(content) + f"{user.name}:{user.hashed}\n".encode()


def with_grant(content: bytes, user: FirstUser) -> bytes:
    """Let a user do everything, in a file of grants; who is there keeps their grants.

    :param content: the file; empty if there is none.
    :raises FileProblem: if it is no such file, or nothing can be added at its end.
    """
    if not content:
        return (_GRANTS_HEAD + _line(user)).encode()
    before = _grants(content)
    if user.name in before:
        return content
    added = _ended(content) + _line(user).encode()
    if _grants(added) != {**before, user.name: {"**": "admin"}}:
        raise FileProblem(f"no user can be added at its end; write there: {_line(user).strip()}")
    return added


def _line(user: FirstUser) -> str:
    return in_block(user.name, {"**": "admin"})


def _grants(content: bytes) -> dict[str, object]:
    try:
        document = load_yaml(content)
        GrantLists(document)
    except ValueError as error:
        raise FileProblem(f"is not valid YAML: {error}") from None
    except GrantProblem as error:
        raise FileProblem(error.problem) from None
    return document or {}


def _ended(content: bytes) -> bytes:
    return content if not content or content.endswith(b"\n") else content + b"\n"
