"""Forges on the loopback interface, as their public documentation describes them.

Each answers the few questions that giftless asks: the repository, the user,
and the beginning of git's own conversation, with the statuses, headers and
bodies of the real one.  :attr:`Fake.failure` makes it misbehave.

Sources: GitHub's "REST API endpoints for repositories", "Rate limits for the
REST API", "Scopes for OAuth apps" and "Troubleshooting the REST API"; Gitea's
``/api/swagger`` and "API Usage"; GitLab's "Projects API", "REST API
authentication", "Personal access tokens API", "Jobs API" and "User and IP rate
limits".  Renamed repositories: GitHub's "Best practices for using the REST API"
("Follow redirects"), Gitea's ``RedirectToRepo``, GitLab's ``project_moved?``.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import unquote

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

#: Where a fake tells what it has received.
SEEN: Final = "/-/seen"

#: What a fake does instead of answering.
Failure = Callable[[Request], Any]


@dataclass(frozen=True)
class Seen:
    """A request that a fake has received.

    :ivar path: the path and query as they were sent.
    :ivar headers: by lower-case name.
    """

    path: str
    headers: Mapping[str, str]


@dataclass
class Person:
    """An account of a forge.

    :ivar keys: public keys to log in with.
    :ivar number: the account's number, if not the one that is made of its name.
    :ivar is_shut_out: whether it is suspended, blocked or may not log in.
    :ivar signing: public keys that are for signing only, and such that have expired.
    """

    keys: list[str] = field(default_factory=list)
    number: int | None = None
    is_shut_out: bool = False
    signing: list[str] = field(default_factory=list)

    def id(self, name: str) -> int:
        """Return the number by which the forge knows it."""
        return account_id(name) if self.number is None else self.number


class Fake(Resource):
    """What all fake forges share: they listen, take notes and can misbehave.

    :ivar seen: the requests, in order.
    :ivar people: accounts by name, and their keys.
    :ivar orgs: the names of those who belong to each organisation.
    :ivar failure: what happens instead of an answer, if set.
    :ivar fails_on: which requests it happens to: those with this in the path.
    """

    isLeaf = True
    app: ClassVar[Klein]

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.failure: Failure | None = None
        self.fails_on = ""
        self.people: dict[str, Person] = {}
        self.orgs: dict[str, list[str]] = {}
        self._waiting: list[Deferred[None]] = []
        self._answers = self.app.resource()

    def listen(self, reactor: Any) -> Any:
        """Serve on a port of 127.0.0.1; ``url`` is set."""
        port = reactor.listenTCP(0, Site(self), interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        return port

    def arrival(self) -> Deferred[None]:
        """Wait for the next request."""
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [seen.path for seen in self.seen]

    def person(self, name: str) -> tuple[str, Person] | None:
        """Find an account, whatever the case of its name."""
        named = {known.lower(): (known, person) for known, person in self.people.items()}
        return named.get(name.lower())

    def render(self, request: Request) -> Any:
        path = request.uri.decode()
        if path == SEEN:
            return _json(request, [[seen.path, seen.headers] for seen in self.seen])
        headers = {
            name.decode().lower(): values[-1].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.seen.append(Seen(path, headers))
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)
        if self.failure is not None and self.fails_on in path:
            return self.failure(request)
        return self._answers.render(request)


# --- ways to misbehave ---------------------------------------------------------


def status(code: int, body: object = "", **headers: str) -> Failure:
    """Answer everything with one status.

    :param headers: with ``_`` for ``-`` in their names.
    """

    def fail(request: Request) -> bytes:
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        text = body if isinstance(body, str) else json.dumps(body)
        request.setResponseCode(code)
        return text.encode()

    return fail


def hang(request: Request) -> int:
    """Take the request and never answer."""
    return NOT_DONE_YET


def hang_midway(request: Request) -> int:
    """Begin a fine answer and never end it."""
    request.setHeader("Content-Type", "application/json")
    request.write(b'{"permissions": {"pull": true, "push": true')
    return NOT_DONE_YET


def cut(request: Request) -> int:
    """Begin an answer and close the connection."""
    request.setHeader("Content-Length", "1000")
    request.write(b'{"permissions": {"pull": true, "push": true}}')
    assert request.transport is not None
    request.transport.loseConnection()
    return NOT_DONE_YET


def flood(request: Request) -> bytes:
    """Answer with more than anybody wants to read."""
    return b'{"permissions": {"pull": true, "push": true}, "x": "' + b"x" * 3_000_000 + b'"}'


# --- helpers ---------------------------------------------------------------------


def _json(request: Request, document: object, code: int = 200) -> bytes:
    request.setResponseCode(code)
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    return json.dumps(document).encode()


def _text(request: Request, code: int, text: str) -> bytes:
    request.setResponseCode(code)
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    return text.encode()


def _advertisement(request: Request, service: str) -> bytes:
    """Begin git's conversation, as with a repository of one branch."""
    request.setHeader("Content-Type", f"application/x-{service}-advertisement")
    request.setHeader("Cache-Control", "no-cache, max-age=0, must-revalidate")
    first = f"# service={service}\n"
    ref = f"{'1' * 40} refs/heads/main\0report-status\n"
    return f"{len(first) + 4:04x}{first}0000{len(ref) + 4:04x}{ref}0000".encode()


def _authorization(request: Request, *schemes: str) -> str | None:
    """Return the token of an Authorization header of one of these schemes."""
    scheme, _, value = (request.getHeader("authorization") or "").partition(" ")
    return value if scheme.lower() in schemes else None


def _basic(request: Request) -> tuple[str, str] | None:
    value = _authorization(request, "basic")
    if value is None:
        return None
    user, _, password = base64.b64decode(value).decode().partition(":")
    return user, password


def account_id(user: str) -> int:
    """Return the number by which a forge knows an account for ever."""
    return zlib.crc32(user.encode())


def _page(request: Request, items: list[Any], size: str) -> bytes:
    """Answer one page of a list.

    :param size: the parameter that says how long a page is.
    """
    number = int(request.args.get(b"page", [b"1"])[0])
    most = 100 if size == "per_page" else 50
    length = min(most, int(request.args.get(size.encode(), [b"30"])[0]))
    return _json(request, items[(number - 1) * length : number * length])


class Names:
    """What a forge calls its repositories, and what it has called them before.

    :ivar moved: the present name of each repository that was renamed, by its old one in
        lower case.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._spelled = {name.lower(): name for name in names}
        self._ids = {name: zlib.crc32(name.encode()) for name in self._spelled}
        self.moved: dict[str, str] = {}

    def spelled(self, path: str) -> str:
        """Return a name as the forge spells it."""
        return self._spelled.get(path.lower(), path.lower())

    def id(self, path: str) -> int:
        """Return the number of a repository, which outlasts its name."""
        return self._ids.get(path.lower(), 0)

    def find(self, number: int) -> str:
        """Return the name of the repository with a number; empty if there is none."""
        return next((name for name, found in self._ids.items() if found == number), "")

    def rename(self, old: str, new: str, repos: dict[str, Any]) -> None:
        """Rename or transfer a repository.

        :param repos: the forge's repositories, by name in lower case.
        """
        repos[new.lower()] = repos.pop(old.lower())
        self._spelled[new.lower()] = new
        self._ids[new.lower()] = self._ids.pop(old.lower())
        self.moved[old.lower()] = new

    def create(self, name: str) -> None:
        """Note a new repository, which may take an old name over."""
        self._spelled[name.lower()] = name
        self._ids[name.lower()] = max(self._ids.values(), default=0) + 1
        self.moved.pop(name.lower(), None)


def _service(request: Request) -> str:
    return request.args[b"service"][0].decode()


# --- GitHub ----------------------------------------------------------------------


@dataclass
class HubToken:
    """A token of GitHub.

    :ivar user: its owner; ``None`` for an app's installation.
    :ivar scopes: of classic and OAuth tokens.
    :ivar contents: of other tokens: ``read``, ``write`` or ``none`` for each
        repository that the token reaches.
    """

    user: str | None
    scopes: tuple[str, ...] | None = None
    contents: Mapping[str, str] = field(default_factory=dict)


@dataclass
class HubRepo:
    """A repository on GitHub.

    :ivar roles: each collaborator's: read, triage, write, maintain or admin.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    private: bool = True
    archived: bool = False


class FakeGitHub(Fake):
    """GitHub's REST API and git endpoint, on one host.

    :ivar names: what its repositories are called.
    """

    app = Klein()
    _ROLES = ("read", "triage", "write", "maintain", "admin")
    _DOCS = "https://docs.github.com/rest"

    def __init__(self, tokens: Mapping[str, HubToken], repos: Mapping[str, HubRepo]) -> None:
        super().__init__()
        self.tokens = dict(tokens)
        self.repos = {name.lower(): repo for name, repo in repos.items()}
        self.names = Names(repos)

    @app.route("/repositories/<int:number>")
    def numbered_repository(self, request: Request, number: int) -> bytes:
        """Get a repository by its number, to which old names are redirected."""
        owner, _, name = self.names.find(number).partition("/")
        answer: bytes = self.repository(request, owner, name)
        return answer

    @app.route("/repos/<owner>/<name>")
    def repository(self, request: Request, owner: str, name: str) -> bytes:
        """Get a repository."""
        token = self._token(request)
        if isinstance(token, bytes):
            return token
        path = f"{owner}/{name}".lower()
        if path in self.names.moved:
            url = f"{self.url}/repositories/{self.names.id(self.names.moved[path])}"
            request.setHeader("Location", url)
            return _json(request, {"message": "Moved Permanently", "url": url}, 301)
        repo = self.repos.get(path)
        owner, _, name = self.names.spelled(path).partition("/")
        if repo is None or not self._sees(token, path, repo):
            return self._error(request, 404, "Not Found")
        level = self._level(token, repo)
        return _json(
            request,
            {
                "id": self.names.id(path),
                "node_id": "MDEwOlJlcG9zaXRvcnkxMjk2MjY5",
                "name": name,
                "full_name": f"{owner}/{name}",
                "owner": {"login": owner, "id": 1, "type": "Organization", "site_admin": False},
                "private": repo.private,
                "html_url": f"{self.url}/{owner}/{name}",
                "fork": False,
                "url": f"{self.url}/repos/{owner}/{name}",
                "clone_url": f"{self.url}/{owner}/{name}.git",
                "size": 108,
                "default_branch": "main",
                "archived": repo.archived,
                "disabled": False,
                "visibility": "private" if repo.private else "public",
                "permissions": {
                    "admin": level >= 4,
                    "maintain": level >= 3,
                    "push": level >= 2,
                    "triage": level >= 1,
                    "pull": level >= 0,
                },
            },
        )

    @app.route("/user")
    def user(self, request: Request) -> bytes:
        """Get the authenticated user."""
        token = self._token(request)
        if isinstance(token, bytes):
            return token
        if token.user is None:
            return self._error(request, 403, "Resource not accessible by integration")
        return _json(
            request,
            {
                "login": token.user,
                "id": account_id(token.user),
                "type": "User",
                "name": "The Octocat",
            },
        )

    @app.route("/users/<name>")
    def public_user(self, request: Request, name: str) -> bytes:
        """Get a user."""
        found = self.person(name)
        if found is None:
            return self._error(request, 404, "Not Found")
        return _json(request, self._user(*found))

    @app.route("/users/<name>/keys")
    def keys(self, request: Request, name: str) -> bytes:
        """List public SSH keys for a user: those to log in with."""
        found = self.person(name)
        if found is None:
            return self._error(request, 404, "Not Found")
        keys = [{"id": number, "key": key} for number, key in enumerate(found[1].keys)]
        return _page(request, keys, "per_page")

    @app.route("/orgs/<org>/members")
    def members(self, request: Request, org: str) -> bytes:
        """List organization members."""
        names = self.orgs.get(org.lower(), [])
        return _page(request, [self._user(n, self.people[n]) for n in names], "per_page")

    @app.route("/repos/<owner>/<name>/collaborators/<user>/permission")
    def permission(self, request: Request, owner: str, name: str, user: str) -> bytes:
        """Get repository permissions for a user."""
        token = self._token(request)
        if isinstance(token, bytes):
            return token
        path = f"{owner}/{name}".lower()
        repo = self.repos.get(path)
        if repo is None or not self._sees(token, path, repo):
            return self._error(request, 404, "Not Found")
        if self._level(token, repo) < 2:
            return self._error(
                request, 403, "Must have push access to view collaborator permission."
            )
        found = self.person(user)
        if found is None:
            return self._error(request, 404, f"{user} is not a user")
        level = self._level(HubToken(found[0]), repo)
        document = {
            "permission": ("none", "read", "read", "write", "write", "admin")[level + 1],
            "role_name": ("none", *self._ROLES)[level + 1],
            "user": self._user(*found),
        }
        return _json(request, document)

    def _user(self, name: str, person: Person) -> dict[str, Any]:
        document = {"login": name, "id": person.id(name), "type": "User", "site_admin": False}
        if person.is_shut_out:
            document["suspended_at"] = "2025-01-01T00:00:00Z"
        return document

    @app.route("/<owner>/<name>.git/info/refs")
    def refs(self, request: Request, owner: str, name: str) -> bytes:
        """Begin a fetch or a push."""
        credential = _basic(request)
        token = self.tokens.get(credential[1]) if credential else None
        path = f"{owner}/{name}".lower()
        if path in self.names.moved:
            moved = request.uri.decode().replace(f"{owner}/{name}", self.names.moved[path], 1)
            request.setHeader("Location", f"{self.url}{moved}")
            return _text(request, 301, "")
        repo = self.repos.get(path)
        if token is None:
            request.setHeader("WWW-Authenticate", 'Basic realm="GitHub"')
            return _text(
                request,
                401,
                "Invalid username or token. Password authentication is not"
                " supported for Git operations.",
            )
        if repo is None or not self._fetches(token, path, repo):
            return _text(request, 404, "Repository not found.")
        service = _service(request)
        if service == "git-receive-pack":
            if repo.archived:
                return _text(request, 403, "This repository was archived so it is read-only.")
            if not self._pushes(token, path, repo):
                return _text(request, 403, "Write access to repository not granted.")
        return _advertisement(request, service)

    def _token(self, request: Request) -> HubToken | bytes:
        """Authenticate, or answer."""
        request.setHeader("X-GitHub-Media-Type", "github.v3; format=json")
        request.setHeader("X-RateLimit-Limit", "5000")
        request.setHeader("X-RateLimit-Remaining", "4987")
        request.setHeader("X-RateLimit-Reset", "1350085394")
        if not request.getHeader("user-agent"):
            return _text(request, 403, "Request forbidden by administrative rules.")
        token = self.tokens.get(_authorization(request, "bearer", "token") or "")
        if token is None:
            return self._error(request, 401, "Bad credentials")
        if token.scopes is not None:
            request.setHeader("X-OAuth-Scopes", ", ".join(token.scopes))
            request.setHeader("X-Accepted-OAuth-Scopes", "repo")
        return token

    def _error(self, request: Request, code: int, message: str) -> bytes:
        document = {"message": message, "documentation_url": self._DOCS, "status": str(code)}
        return _json(request, document, code)

    def _level(self, token: HubToken, repo: HubRepo) -> int:
        """The owner's role as an index of ``_ROLES``; -1 for none."""
        if token.user is None:
            return -1
        if token.user in repo.roles:
            return self._ROLES.index(repo.roles[token.user])
        return -1 if repo.private else 0

    def _sees(self, token: HubToken, path: str, repo: HubRepo) -> bool:
        if not repo.private:
            return True
        if token.scopes is not None:
            return "repo" in token.scopes and self._level(token, repo) >= 0
        return path in token.contents and (token.user is None or self._level(token, repo) >= 0)

    def _fetches(self, token: HubToken, path: str, repo: HubRepo) -> bool:
        if not repo.private:
            return True
        return self._sees(token, path, repo) and token.contents.get(path) != "none"

    def _pushes(self, token: HubToken, path: str, repo: HubRepo) -> bool:
        if token.scopes is not None:
            enough = "repo" in token.scopes or (not repo.private and "public_repo" in token.scopes)
            return enough and self._level(token, repo) >= 2
        granted = token.contents.get(path) == "write"
        return granted and (token.user is None or self._level(token, repo) >= 2)


# --- Gitea -----------------------------------------------------------------------


@dataclass
class TeaToken:
    """A token of Gitea."""

    user: str
    scopes: tuple[str, ...] = ("all",)

    def has(self, level: str, category: str) -> bool:
        """Whether a scope permits ``read`` or ``write`` in a category."""
        wanted = {"all", f"write:{category}", f"{level}:{category}"}
        return not wanted.isdisjoint(self.scopes)


@dataclass
class TeaRepo:
    """A repository on Gitea.

    :ivar roles: each collaborator's: read, write or admin.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    private: bool = True
    archived: bool = False
    mirror: bool = False


class FakeGitea(Fake):
    """Gitea's API and git endpoint.

    :ivar lenient: whether a bad token is taken for none, as before version 1.20.
    :ivar admins: who may ask in the name of others, and is told who is shut out.
    """

    app = Klein()

    def __init__(self, tokens: Mapping[str, TeaToken], repos: Mapping[str, TeaRepo]) -> None:
        super().__init__()
        self.tokens = dict(tokens)
        self.repos = {name.lower(): repo for name, repo in repos.items()}
        self.names = Names(repos)
        self.lenient = False
        self.admins: set[str] = set()

    @app.route("/api/v1/repositories/<int:number>")
    def numbered_repository(self, request: Request, number: int) -> bytes:
        """Get a repository by its number."""
        owner, _, name = self.names.find(number).partition("/")
        answer: bytes = self.repository(request, owner, name)
        return answer

    @app.route("/api/v1/repos/<owner>/<name>")
    def repository(self, request: Request, owner: str, name: str) -> bytes:
        """Get a repository."""
        token = self._token(request)
        if isinstance(token, bytes):
            return token
        if token is not None and not token.has("read", "repository"):
            return self._lacks(request, "read:repository")
        path = f"{owner}/{name}".lower()
        if path in self.names.moved:
            return self._redirect(request, f"{owner}/{name}")
        repo = self.repos.get(path)
        role = self._role(token, repo)
        owner, _, name = self.names.spelled(path).partition("/")
        if repo is None or role is None:
            return self._error(request, 404, "The target couldn't be found.")
        return _json(
            request,
            {
                "id": self.names.id(path),
                "owner": {"id": 2, "login": owner, "full_name": "", "username": owner},
                "name": name,
                "full_name": f"{owner}/{name}",
                "empty": False,
                "private": repo.private,
                "fork": False,
                "mirror": repo.mirror,
                "size": 22,
                "html_url": f"{self.url}/{owner}/{name}",
                "clone_url": f"{self.url}/{owner}/{name}.git",
                "default_branch": "main",
                "archived": repo.archived,
                "permissions": {
                    "admin": role == "admin",
                    "push": role in ("write", "admin"),
                    "pull": True,
                },
                "internal": False,
            },
        )

    @app.route("/api/v1/user")
    def user(self, request: Request) -> bytes:
        """Get the authenticated user."""
        token = self._token(request)
        if isinstance(token, bytes):
            return token
        if token is None:
            return self._error(request, 401, "token is required")
        if not token.has("read", "user"):
            return self._lacks(request, "read:user")
        person = self.people.get(token.user, Person())
        return _json(request, self._user(token.user, person, is_told=True))

    @app.route("/api/v1/users/<name>")
    def public_user(self, request: Request, name: str) -> bytes:
        """Get a user."""
        found = self.person(name)
        if name.lower() in self.names.moved:
            return self._redirect(request, name)
        if found is None:
            return self._error(request, 404, "user redirect does not exist")
        token = self.tokens.get(_authorization(request, "token", "bearer") or "")
        is_told = token is not None and token.user in self.admins
        return _json(request, self._user(*found, is_told=is_told))

    @app.route("/api/v1/users/<name>/keys")
    def keys(self, request: Request, name: str) -> bytes:
        """List the given user's public keys."""
        found = self.person(name)
        if found is None:
            return self._error(request, 404, "user redirect does not exist")
        keys = [{"id": number, "key": key} for number, key in enumerate(found[1].keys)]
        return _page(request, keys, "limit")

    @app.route("/api/v1/orgs/<org>/members")
    def members(self, request: Request, org: str) -> bytes:
        """List an organization's members."""
        names = self.orgs.get(org.lower(), [])
        users = [self._user(name, self.people[name], is_told=False) for name in names]
        return _page(request, users, "limit")

    def _user(self, name: str, person: Person, is_told: bool) -> dict[str, Any]:
        return {
            "id": person.id(name),
            "login": name,
            "full_name": "",
            "username": name,
            "active": is_told,
            "prohibit_login": is_told and person.is_shut_out,
        }

    @app.route("/<owner>/<name>.git/info/refs")
    def refs(self, request: Request, owner: str, name: str) -> bytes:
        """Begin a fetch or a push.

        Gitea checks the token's scope for what is begun, but the user's role
        for reading only: pull requests are made by pushes as well.
        """
        credential = _basic(request)
        token = self.tokens.get(credential[1]) if credential else None
        if f"{owner}/{name}".lower() in self.names.moved:
            return self._redirect(request, f"{owner}/{name}")
        repo = self.repos.get(f"{owner}/{name}".lower())
        service = _service(request)
        pushes = service == "git-receive-pack"
        if repo is not None and repo.archived and pushes:
            return _text(request, 403, "This repo is archived.")
        if token is None:
            request.setHeader("WWW-Authenticate", 'Basic realm="Gitea"')
            return _text(request, 401, "Unauthorized")
        if not token.has("write" if pushes else "read", "repository"):
            return _text(request, 403, "Forbidden")
        if repo is None or self._role(token, repo) is None:
            return _text(request, 404, "Repository not found")
        if repo.mirror and pushes:
            return _text(request, 403, "mirror repository is read-only")
        return _advertisement(request, service)

    def _token(self, request: Request) -> TeaToken | bytes | None:
        """Authenticate, or answer; ``None`` for nobody."""
        request.addCookie("i_like_gitea", f"session{len(self.seen)}", path="/", httpOnly=True)
        token = self.tokens.get(_authorization(request, "token", "bearer") or "")
        if token is None and not self.lenient:
            return self._error(request, 401, "invalid username, password or token")
        sudo = request.getHeader("sudo")
        if sudo is not None and token is not None:
            if token.user not in self.admins:
                return _json(request, {"message": "Only administrators allowed to sudo."}, 403)
            found = self.person(sudo)
            if found is None:
                return self._error(request, 404, "user does not exist")
            return TeaToken(found[0], token.scopes)
        return token

    def _redirect(self, request: Request, path: str) -> bytes:
        """Lead to a repository's present name; the location is relative, as Gitea's is."""
        target = request.uri.decode().replace(path, self.names.moved[path.lower()], 1)
        request.setHeader("Location", target)
        return _text(request, 307, "")

    def _lacks(self, request: Request, scope: str) -> bytes:
        return self._error(
            request, 403, f"token does not have at least one of required scope(s): [{scope}]"
        )

    def _error(self, request: Request, code: int, message: str) -> bytes:
        return _json(request, {"message": message, "url": f"{self.url}/api/swagger"}, code)

    def _role(self, token: TeaToken | None, repo: TeaRepo | None) -> str | None:
        if repo is None:
            return None
        role = None if token is None else repo.roles.get(token.user)
        return role or (None if repo.private else "read")


# --- GitLab ----------------------------------------------------------------------


@dataclass
class LabToken:
    """A token of GitLab.

    :ivar kind: ``personal`` (or of a project or group), ``oauth`` or ``job``.
    :ivar project: whose job it is.
    """

    user: str
    scopes: tuple[str, ...] = ("api",)
    kind: str = "personal"
    project: str = ""


@dataclass
class Project:
    """A project on GitLab.

    :ivar members: each direct member's access level.
    :ivar group: the access levels that the group's membership gives.
    :ivar shared: those of groups that the project is shared with.
    :ivar job_pushes: whether the tokens of CI jobs may push.
    """

    members: Mapping[str, int] = field(default_factory=dict)
    group: Mapping[str, int] = field(default_factory=dict)
    shared: Mapping[str, int] = field(default_factory=dict)
    visibility: str = "private"
    repository: str = "enabled"
    archived: bool = False
    job_pushes: bool = False

    def level(self, user: str) -> int:
        """A user's access level; 0 for none."""
        return max(levels.get(user, 0) for levels in (self.members, self.group, self.shared))


class FakeGitLab(Fake):
    """GitLab's REST API and git endpoint."""

    app = Klein()

    def __init__(self, tokens: Mapping[str, LabToken], projects: Mapping[str, Project]) -> None:
        super().__init__()
        self.tokens = dict(tokens)
        self.projects = {path.lower(): project for path, project in projects.items()}
        self.names = Names(projects)
        #: Whether it is too old for tokens to be asked about themselves.
        self.old = False

    # Twisted gives Klein the path decoded, so the project's own slashes are
    # seen; that they arrived encoded is checked.
    @app.route("/api/v4/projects/<path:path>")
    def project(self, request: Request, path: str) -> bytes:
        """Get a single project."""
        raw = request.uri.decode().removeprefix("/api/v4/projects/")
        if "/" in raw:
            return _json(request, {"error": "404 Not Found"}, 404)
        token = self._token(request, "api", "read_api")
        if isinstance(token, bytes):
            return token
        path = unquote(raw)
        if path.isdecimal():
            path = self.names.find(int(path))
        moved = self.names.moved.get(path.lower())
        project = self.projects.get((moved or path).lower())
        if project is None or not self._sees(token, project):
            return _json(request, {"message": "404 Project Not Found"}, 404)
        if moved is not None:
            number = self.names.id(moved)
            request.setHeader("Location", f"{self.url}/api/v4/projects/{number}")
            return _text(request, 301, "This resource has been moved permanently")
        path = self.names.spelled(path)
        return _json(
            request,
            {
                "id": self.names.id(path),
                "name": path.rpartition("/")[2],
                "path_with_namespace": path,
                "default_branch": "main",
                "visibility": project.visibility,
                "http_url_to_repo": f"{self.url}/{path}.git",
                "archived": project.archived,
                "lfs_enabled": True,
                "repository_access_level": project.repository,
                "permissions": {
                    "project_access": _access(project.members, token.user),
                    "group_access": _access(project.group, token.user),
                },
            },
        )

    @app.route("/api/v4/user")
    def user(self, request: Request) -> bytes:
        """Get the current user."""
        token = self._token(request, "api", "read_api", "read_user")
        if isinstance(token, bytes):
            return token
        return _json(
            request,
            {
                "id": account_id(token.user),
                "username": token.user,
                "name": "John Smith",
                "state": "active",
            },
        )

    @app.route("/api/v4/users")
    def users(self, request: Request) -> bytes:
        """List users, by their name."""
        found = self.person(request.args[b"username"][0].decode())
        return _json(request, [] if found is None else [self._user(*found)])

    @app.route("/api/v4/users/<int:number>/keys")
    def keys(self, request: Request, number: int) -> bytes:
        """List SSH keys for a user."""
        found = self._numbered(number)
        if found is None:
            return _json(request, {"message": "404 User Not Found"}, 404)
        usage = ("auth_and_signing", "auth")
        good = [(key, usage[place % 2], None) for place, key in enumerate(found[1].keys)]
        past = "2010-01-01T00:00:00.000Z"
        bad = [
            listed
            for key in found[1].signing
            for listed in ((key, "signing", None), (key, "auth", past))
        ]
        keys = [
            {"id": 1, "title": "x", "key": key, "usage_type": use, "expires_at": expiry}
            for key, use, expiry in (*good, *bad)
        ]
        return _page(request, keys, "per_page")

    @app.route("/api/v4/groups/<group>/members/all")
    def group_members(self, request: Request, group: str) -> bytes:
        """List all members of a group, inherited and invited ones too."""
        names = self.orgs.get(unquote(group).lower(), [])
        users = [{**self._user(n, self.people[n]), "access_level": 30} for n in names]
        return _page(request, users, "per_page")

    @app.route("/api/v4/projects/<int:project>/members/all/<int:number>")
    def project_member(self, request: Request, project: int, number: int) -> bytes:
        """Get a member of a project, an inherited or invited one too."""
        token = self._token(request, "api", "read_api")
        if isinstance(token, bytes):
            return token
        found = self._numbered(number)
        level = 0 if found is None else self.projects[self.names.find(project)].level(found[0])
        if found is None or not level:
            return _json(request, {"message": "404 Not found"}, 404)
        return _json(request, {**self._user(*found), "access_level": level})

    def _numbered(self, number: int) -> tuple[str, Person] | None:
        people = self.people.items()
        return next(((n, person) for n, person in people if person.id(n) == number), None)

    def _user(self, name: str, person: Person) -> dict[str, Any]:
        state = "blocked" if person.is_shut_out else "active"
        return {"id": person.id(name), "username": name, "name": "John Smith", "state": state}

    @app.route("/api/v4/personal_access_tokens/self")
    def token_itself(self, request: Request) -> bytes:
        """Get details on a personal access token, whatever its scopes are."""
        token = self.tokens.get(_authorization(request, "bearer") or "")
        if self.old:
            return _json(request, {"error": "404 Not Found"}, 404)
        if token is None or token.kind == "job":
            return _json(request, {"message": "401 Unauthorized"}, 401)
        if token.kind != "personal":
            problem = "This endpoint requires token type to be a personal access token"
            return _json(request, {"message": f"400 Bad request - {problem}"}, 400)
        return _json(
            request,
            {
                "id": 4,
                "name": "git",
                "revoked": False,
                "active": True,
                "user_id": 1,
                "scopes": list(token.scopes),
                "expires_at": "2030-01-01",
            },
        )

    @app.route("/oauth/token/info")
    def oauth_token(self, request: Request) -> bytes:
        """Get information about an OAuth token."""
        token = self.tokens.get(_authorization(request, "bearer") or "")
        if token is None or token.kind != "oauth":
            error = {"error": "invalid_token", "error_description": "The access token is invalid"}
            return _json(request, error, 401)
        return _json(
            request,
            {"resource_owner_id": 1, "scope": list(token.scopes), "expires_in": 7200},
        )

    @app.route("/api/v4/job")
    def job(self, request: Request) -> bytes:
        """Get job token's job."""
        token = self.tokens.get(request.getHeader("job-token") or "")
        if token is None or token.kind != "job":
            return _json(request, {"message": "401 Unauthorized"}, 401)
        return _json(
            request,
            {
                "id": 8,
                "status": "running",
                "name": "build",
                "web_url": f"{self.url}/{token.project}/-/jobs/8",
                "pipeline": {"id": 6, "project_id": self.names.id(token.project)},
                "user": {"id": account_id(token.user), "username": token.user},
            },
        )

    @app.route("/<path:path>.git/info/refs")
    def refs(self, request: Request, path: str) -> bytes:
        """Begin a fetch or a push."""
        user, password = _basic(request) or ("", "")
        token = self.tokens.get(password)
        # Old names go on as they are, and are not redirected.
        path = self.names.moved.get(path.lower(), path)
        project = self.projects.get(path.lower())
        service = _service(request)
        if token is None or not self._git_scope(token, user, service):
            request.setHeader("Www-Authenticate", 'Basic realm="GitLab"')
            return _text(request, 401, "HTTP Basic: Access denied.")
        if project is None or not self._sees(token, project):
            text = "The project you were looking for could not be found or you don't have"
            return _text(request, 404, f"{text} permission to view it.")
        level = project.level(token.user)
        is_open = project.visibility != "private" and project.repository == "enabled"
        if project.repository == "disabled" or not (level >= 20 or is_open):
            return _text(request, 403, "You are not allowed to download code from this project.")
        if service == "git-receive-pack" and (
            level < 30 or project.archived or (token.kind == "job" and not project.job_pushes)
        ):
            return _text(request, 403, "You are not allowed to push code to this project.")
        return _advertisement(request, service)

    def _token(self, request: Request, *scopes: str) -> LabToken | bytes:
        """Authenticate, or answer."""
        request.setHeader("RateLimit-Remaining", "1999")
        token = self.tokens.get(_authorization(request, "bearer") or "")
        if token is None or token.kind == "job":
            return _json(request, {"message": "401 Unauthorized"}, 401)
        if set(scopes).isdisjoint(token.scopes):
            return _json(
                request,
                {
                    "error": "insufficient_scope",
                    "error_description": "The request requires higher privileges than"
                    " provided by the access token.",
                    "scope": " ".join(scopes),
                },
                403,
            )
        return token

    def _sees(self, token: LabToken, project: Project) -> bool:
        return project.visibility != "private" or project.level(token.user) > 0

    def _git_scope(self, token: LabToken, user: str, service: str) -> bool:
        if token.kind == "job":
            return user == "gitlab-ci-token"
        if token.kind == "oauth" and user != "oauth2":
            return False
        fits = {"api", "write_repository"}
        if service == "git-upload-pack":
            fits.add("read_repository")
        return not fits.isdisjoint(token.scopes)


def _access(levels: Mapping[str, int], user: str) -> dict[str, int] | None:
    if user not in levels:
        return None
    return {"access_level": levels[user], "notification_level": 3}
