"""A route: the URLs of one endpoint, written once for both ways to find it.

Klein's rule and the pattern of :mod:`giftless.web.fast_routes` are made from the
same template.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, Final

from giftless.errors import BadAction, BadRequest, Unauthorized, Unprocessable
from giftless.lfs.batch import STOCK_CLIENT
from giftless.lfs.objects import ACTION_HEADER

#: One segment of a template: a name, or a variable in braces.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\}", re.ASCII)

#: How a variable ends that stands for the rest of a path.
_REST: Final = ":rest}"

#: None has a single letter: that would be one of "PUT", given instead of ("PUT",).
_METHOD: Final = re.compile(r"[A-Z]{2,}", re.ASCII)

#: The variable that holds the path of the repository.
REPO: Final = "repo"

#: What the root of the server is called in metrics, whose template is empty.
ROOT: Final = "/"

#: Answers a call; takes the variables of the URL as keyword arguments.
Handler = Callable[..., Awaitable[None]]


class Level(Enum):
    """Below what an endpoint stands.

    :cvar REPOSITORY: below every repository; its handler gets a ``RepoCall``.
    :cvar SERVER: below the root of the server; its handler gets a ``Call``.
    """

    REPOSITORY = "repository"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    :ivar template: its path below the repository or the root of the server;
        variables stand in braces: ``objects/storage/{oid}``.  Below the root of the
        server it may end with a slash, or with a variable for the rest of the path
        (``{name:rest}``), or be empty for that root itself.
    :ivar methods: the HTTP methods that it answers; ``HEAD`` comes with ``GET``.
    :ivar handler: answers.
    :ivar level: below what it stands.
    :raises ValueError: if the template or a method is malformed.
    """

    template: str
    methods: tuple[str, ...]
    handler: Handler
    level: Level = Level.REPOSITORY

    def __post_init__(self) -> None:
        segments = self.segments
        if self.level is Level.SERVER and len(segments) > 1 and not segments[-1]:
            segments.pop()
        if self.takes_rest and self.level is Level.SERVER:
            segments[-1] = segments[-1].replace(_REST, "}")
        for segment in segments:
            if not _SEGMENT.fullmatch(segment):
                raise ValueError(f"{self.template!r} has a malformed segment, {segment!r}")
        names = [_name(segment) for segment in self.segments if _is_variable(segment)]
        if REPO in names or len(set(names)) < len(names):
            raise ValueError(f"{self.template!r} has a variable twice, or one called {REPO!r}")
        if not self.methods or not all(map(_METHOD.fullmatch, self.methods)):
            raise ValueError(f"{self.template!r} needs HTTP methods in capital letters")
        if "GET" in self.methods and "HEAD" not in self.methods:
            object.__setattr__(self, "methods", (*self.methods, "HEAD"))

    @property
    def segments(self) -> list[str]:
        """The segments of the template."""
        if not self.template and self.level is Level.SERVER:
            return []
        return self.template.split("/")

    @property
    def variables(self) -> int:
        """How many variables the template has."""
        return sum(map(_is_variable, self.segments))

    @property
    def takes_rest(self) -> bool:
        """Whether the last variable stands for the rest of the path, with slashes in it."""
        return self.template.endswith(_REST)

    @property
    def precedence(self) -> tuple[bool, int, bool]:
        """Sorts routes: of several that have a URL, the least answers it."""
        # What has a whole tree of URLs has it alone.
        return not self.takes_rest, self.variables, self.level is Level.REPOSITORY

    @property
    def rule(self) -> str:
        """The route as Klein writes it."""
        return self._render(f"<{REPO}:{REPO}>", "<string:{}>", "<path:{}>")

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the decoded paths of the route's URLs match as a whole."""
        parts = (f"(?P<{REPO}>.+?)", "(?P<{}>[^/]+)", "(?P<{}>.+)")
        return re.compile(self._render(*parts, re.escape), re.DOTALL if self.takes_rest else 0)

    @property
    def end(self) -> str:
        """What the decoded paths of all the route's URLs end with; empty if that varies."""
        fixed: list[str] = []
        for segment in reversed(self.segments):
            if _is_variable(segment):
                break
            fixed.insert(0, f"/{segment}")
        return "".join(fixed)

    def overlaps(self, other: Route) -> bool:
        """Whether both routes cannot be served, because URLs of one are the other's.

        Below one and the same repository that is so if both have a URL in common.
        The path of a repository can be of any length, too: ``/a/b/locks`` may be the
        locks of ``a/b``, or ``b/locks`` of ``a``.  There a route takes those of
        another if it has all their URLs; a few in common do not matter, since names
        come before variables.
        """
        short, long = sorted((self, other), key=lambda route: len(route.segments))
        pairs = list(zip(reversed(short.segments), reversed(long.segments), strict=False))
        if self.level is other.level and len(short.segments) == len(long.segments):
            return all(_is_variable(a) or _is_variable(b) or a == b for a, b in pairs)
        if short.level is Level.SERVER or len(short.segments) == len(long.segments):
            return False
        return all(_is_variable(a) or a == b for a, b in pairs)

    def _render(self, repo: str, variable: str, rest: str, name: Callable[[str], str] = str) -> str:
        segments = [
            (rest if segment.endswith(_REST) else variable).format(_name(segment))
            if _is_variable(segment)
            else name(segment)
            for segment in self.segments
        ]
        if self.level is Level.REPOSITORY:
            segments.insert(0, repo)
        return "/" + "/".join(segments)


def _is_variable(segment: str) -> bool:
    return segment.startswith("{")


def _name(variable: str) -> str:
    return variable.replace(_REST, "").strip("{}")


def never_422(handler: Handler) -> Handler:
    """Wrap a handler so that 422 becomes 400, whoever raises it.

    The stock client takes 422 for the success of an upload or a verification,
    and the object is lost.
    """

    @wraps(handler)
    async def handle(*arguments: Any, **variables: str) -> None:
        try:
            await handler(*arguments, **variables)
        except Unprocessable as error:
            raise BadRequest(error.message) from error

    return handle


def for_actions(handler: Handler) -> Handler:
    """Wrap a handler that actions lead to so that git-lfs understands its refusals."""
    return never_401(never_422(handler))


def never_401(handler: Handler) -> Handler:
    """Wrap a handler that actions lead to so that git-lfs gets 403 instead of 401.

    git-lfs comes with the header of an action, and takes 401 without an
    ``Authorization`` header for a reason to try again at once, for ever.  It happens
    if a proxy drops that header.
    """

    @wraps(handler)
    async def handle(call: Any, **variables: str) -> None:
        try:
            await handler(call, **variables)
        except Unauthorized as error:
            if (call.header("user-agent") or "").startswith(STOCK_CLIENT):
                raise BadAction(
                    f"the action's {ACTION_HEADER} header has not arrived; let the proxy in"
                    " front of this server pass it on"
                ) from error
            raise

    return handle
