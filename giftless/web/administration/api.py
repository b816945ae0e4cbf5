"""Answer requests to the administration's API, however and by whomever they are sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from giftless.errors import BadRequest, NotFound
from giftless.lfs.objects import Repo
from giftless.usecases.administration import Administration
from giftless.usecases.jobs import RETRY_AFTER, Job, Jobs, State
from giftless.usecases.locks import By
from giftless.usecases.reports import ObjectReport, ResultReport, TrashReport
from giftless.web.administration import requests

#: For how many seconds the end of a long operation is waited for.
PATIENCE: Final = 20.0

#: Makes sure that somebody may do with a repository what is to be done, and returns under
#: what path it is kept.
Permit = Callable[[Repo], Awaitable[Repo]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    :ivar query: the parameters of the URL.
    :ivar kind: the ``Content-Type`` of the body.
    :ivar scope: the repository that the URL names; ``None`` if the body or a parameter
        does, or all are meant.
    :ivar by: who asks.
    :ivar permit: asked about each other repository.
    :ivar named: the path that the URL gives, which may be another name of ``scope``.
    """

    query: Mapping[str, str]
    kind: str
    body: bytes
    scope: Repo | None
    by: By
    permit: Permit
    named: Repo | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request.

    :ivar body: JSON.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]


Handler = Callable[[Asked], Awaitable[Reply]]


class AdministrationAPI:
    """Answers requests; whoever calls has made sure that their senders may ask.

    :param administration: does what is asked.
    :param jobs: runs what takes long.
    """

    def __init__(self, administration: Administration, jobs: Jobs) -> None:
        self._administration = administration
        self._jobs = jobs
        self._handlers: Mapping[tuple[str, str], Handler] = {
            ("GET", "objects"): self._objects,
            ("GET", "usage"): self._usage,
            ("GET", "trash"): self._trash,
            ("GET", "aliases"): self._aliases,
            ("POST", "objects/remove"): self._remove,
            ("POST", "trash/restore"): self._restore,
            ("POST", "trash/empty"): self._empty,
            ("POST", "rename"): self._rename,
            ("POST", "copy"): self._copy,
            ("POST", "remove"): self._remove_repository,
            ("POST", "aliases"): self._alias,
        }

    async def answer(self, method: str, name: str, asked: Asked) -> Reply:
        """Answer a request.

        :param name: one of :data:`~giftless.web.administration.names.NAMES`.
        :raises LFSError: if it is refused, or fails.
        """
        handler = self._handlers.get(("GET" if method == "HEAD" else method, name))
        if handler is None:
            raise NotFound("there is no such endpoint")
        return await handler(asked)

    # -- looking

    async def _objects(self, asked: Asked) -> Reply:
        query = requests.parse_list(_scope(asked), asked.query)
        page = await self._administration.page(query)
        objects = [ObjectReport.of(entry) for entry in page.entries]
        return _page("objects", objects, page.next_cursor)

    async def _trash(self, asked: Asked) -> Reply:
        query = requests.parse_trash(_scope(asked), asked.query)
        page = await self._administration.page(query)
        keep = self._administration.keep
        objects = [TrashReport.of(entry, keep) for entry in page.entries]
        return _page("objects", objects, page.next_cursor)

    async def _usage(self, asked: Asked) -> Reply:
        repo = _scope(asked)
        by = requests.parse_kind(asked.query, "repo")
        limit = requests.parse_limit(asked.query, requests.MAX_LIMIT)
        # Whoever owns a repository need not own those below its path.
        below = asked.scope is None
        path = "" if repo is None else repo.path
        return _reply(await self._administration.usage(by, path, limit, below))

    async def _aliases(self, asked: Asked) -> Reply:
        aliases = await self._administration.aliases()
        scope = _scope(asked)
        told = [
            {"name": name, "repo": kept}
            for name, kept in sorted(aliases.items())
            if scope is None or kept == scope.path
        ]
        return _reply({"aliases": told})

    # -- single objects

    async def _remove(self, asked: Asked) -> Reply:
        body = requests.parse_body(asked.body, asked.kind, requests.Objects)
        requests.check_reason(body.reason)
        keys = requests.parse_keys(_repo(asked, body), body.oids)
        return _results(await self._administration.remove(keys, body.reason, asked.by))

    async def _restore(self, asked: Asked) -> Reply:
        body = requests.parse_body(asked.body, asked.kind, requests.Objects)
        keys = requests.parse_keys(_repo(asked, body), body.oids)
        return _results(await self._administration.restore(keys, asked.by))

    async def _alias(self, asked: Asked) -> Reply:
        body = requests.parse_body(asked.body, asked.kind, requests.Naming)
        repo, name = _repo(asked, body), requests.parse_repo(body.name)
        kept = None if body.remove else repo
        await asked.permit(name)
        if body.remove and (await self._administration.aliases()).get(name.path) != repo.path:
            raise NotFound(f"{name} is no other name of {repo}")
        await self._administration.alias(name, kept, asked.by)
        return _reply({"name": name.path, "repo": None if kept is None else kept.path})

    # -- what may take long

    async def _empty(self, asked: Asked) -> Reply:
        body = requests.parse_body(asked.body, asked.kind, requests.Emptying)
        _must_mean(body.really)
        older_than = requests.parse_duration(body.older_than)
        repo = asked.scope or (None if body.repo is None else _repo(asked, body))

        async def work(progress: Callable[[int], None]) -> bytes:
            count = await self._administration.empty(repo, older_than, asked.by, progress)
            return msgspec.json.encode({"objects": count})

        path = "" if repo is None else repo.path
        return await self._run(Job("empty-trash", path), [f"trash/{path}"], work)

    async def _rename(self, asked: Asked) -> Reply:
        source, target = await self._move(asked)
        if source == target and asked.named is not None:
            # Under way or done: the URL's name leads to the target already.
            source = asked.named
        _must_differ(source, target)

        async def work(progress: Callable[[int], None]) -> bytes:
            done = await self._administration.rename(source, target, asked.by, progress)
            return msgspec.json.encode(done)

        job = Job("rename", source.path, target.path)
        return await self._run(job, [source.path, target.path], work)

    async def _copy(self, asked: Asked) -> Reply:
        source, target = await self._move(asked)
        _must_differ(source, target)

        async def work(progress: Callable[[int], None]) -> bytes:
            done = await self._administration.copy(source, target, asked.by, progress)
            return msgspec.json.encode(done)

        job = Job("copy", source.path, target.path)
        return await self._run(job, [source.path, target.path], work)

    async def _remove_repository(self, asked: Asked) -> Reply:
        body = requests.parse_body(asked.body, asked.kind, requests.Removing)
        _must_mean(body.really)
        repo = _repo(asked, body)

        async def work(progress: Callable[[int], None]) -> bytes:
            done = await self._administration.remove_repository(repo, asked.by, progress)
            return msgspec.json.encode(done)

        return await self._run(Job("remove", repo.path), [repo.path], work)

    async def _move(self, asked: Asked) -> tuple[Repo, Repo]:
        body = requests.parse_body(asked.body, asked.kind, requests.Moving)
        source, target = _repo(asked, body), requests.parse_repo(body.to)
        kept = await asked.permit(target)
        # A name that has led to the source becomes a repository of its own.
        return source, target if kept == source else kept

    async def _run(self, job: Job, names: list[str], work: Any) -> Reply:
        state = await self._jobs.run(job, names, work, PATIENCE)
        return _state(state)


def _scope(asked: Asked) -> Repo | None:
    """Return the repository of a request that may be about all."""
    if asked.scope is not None:
        return asked.scope
    path = asked.query.get("repo")
    return requests.parse_repo(path) if path else None


def _repo(asked: Asked, body: requests._Body) -> Repo:
    """Return the repository that a request is about.

    :raises BadRequest: if it names none, or two.
    """
    if asked.scope is None:
        if body.repo is None:
            raise BadRequest("say which repository: 'repo'")
        return requests.parse_repo(body.repo)
    if body.repo is not None:
        raise BadRequest("the URL names the repository: leave 'repo' out")
    return asked.scope


def _must_mean(really: bool) -> None:
    if not really:
        raise BadRequest("this is not undone by anything: say 'really': true")


def _must_differ(source: Repo, target: Repo) -> None:
    if source == target:
        raise BadRequest("the repository has this path already")


def _reply(told: object) -> Reply:
    return Reply(200, msgspec.json.encode(told), {})


def _page(name: str, rows: list[Any], cursor: str | None) -> Reply:
    return _reply({name: rows, **({} if cursor is None else {"next_cursor": cursor})})


def _results(reports: list[ResultReport]) -> Reply:
    return _reply({"objects": reports})


def _state(state: State) -> Reply:
    """Tell how a long operation ended, or how far it is."""
    job = state.job
    told = {"operation": job.operation, "repo": job.repo, "to": job.to, "done": state.done}
    if state.ended_at:
        return _reply({"state": "done", **told, "result": state.result})
    body = msgspec.json.encode({"state": "running", **told})
    return Reply(202, body, {"Retry-After": str(RETRY_AFTER)})
