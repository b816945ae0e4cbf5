"""Are Git and git-lfs set up, which server do they use, and is an LFS server there?"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin, urlsplit

import msgspec

from giftless.base.git_settings import run_git
from giftless.base.http_client import Answer
from giftless.base.server_words import shown
from giftless.client.asking import Outgoing
from giftless.client.errors import ServerError
from giftless.commands.doctor import probe
from giftless.commands.doctor.failures import OPERATOR, USER, Unreachable
from giftless.commands.doctor.session import REDIRECTING, Session, told, words_of
from giftless.commands.findings import Finding, failed, ok, warning
from giftless.lfs.objects import Operation

Add = Callable[[Finding], None]

#: What proxies answer if the server behind them does not.
_GATEWAY: Final = frozenset({502, 503, 504})

#: Statuses of an LFS server that knows the endpoint.
_KNOWS: Final = frozenset({200, 401, 403, 422, 429, 503, 507})

#: What a giftless says of a path below which no repository can be.
_NO_REPOSITORY: Final = re.compile(r"no such endpoint|names no repository")

_TITLE: Final = re.compile(rb"<title>([^<]{1,80})", re.IGNORECASE)

#: What people are told about an instance that is no LFS server.
_EXAMPLE: Final = "https://HOST/ORG/REPO.git/info/lfs"


async def look_at_tools(session: Session, add: Add) -> None:
    """Look whether git-lfs is installed, and whether git calls it."""
    version = await session.blocking.run(run_git, "lfs", "version")
    if version is None:
        where = "" if shutil.which("git-lfs") is None else " (it is there, and does not run)"
        add(
            failed(
                "git-lfs",
                f"git finds no git-lfs{where}: large files stay what they are, or pointers",
                user="install git-lfs, then run: git lfs install",
            )
        )
        return
    name = version.split(" ", 1)[0]
    if session.clone.setting("filter.lfs.process") or session.clone.setting("filter.lfs.clean"):
        add(ok("git-lfs", f"{name} is installed, and git calls it"))
    else:
        add(
            failed(
                "git-lfs",
                f"{name} is installed, but git does not call it: files are committed whole, and"
                " come out as pointers",
                user="run: git lfs install",
            )
        )


async def look_at_settings(session: Session, add: Add) -> bool:
    """Look which server git-lfs uses, and what says so.

    :returns: whether there is one.
    """
    try:
        down = await session.endpoint(Operation.DOWNLOAD)
        up = await session.endpoint(Operation.UPLOAD)
    except ServerError as error:
        add(
            failed(
                "lfs.url",
                error.problem,
                user=f"name the server: git config -f .lfsconfig lfs.url {_EXAMPLE}",
            )
        )
        return False
    add(ok("lfs.url", f"{down.name} ({down.source})"))
    if up.name != down.name:
        add(ok("lfs.url", f"{up.name} for uploads ({up.source})"))
    for endpoint in {up.source: up, down.source: down}.values():
        if ".lfsconfig" in endpoint.source and urlsplit(endpoint.url).password:
            add(
                warning(
                    "lfs.url",
                    f"{endpoint.source} has a password in it, and everybody who can clone reads it",
                    user="take it out, have it changed, and let a credential helper keep the new"
                    " one (git config --global credential.helper)",
                )
            )
    return True


async def reach(session: Session, add: Add) -> Answer | None:
    """Send a first batch, without a credential, and look whether an LFS server answers.

    :returns: its answer; ``None`` if it is none of one.
    """
    content = await session.batch_of(Operation.DOWNLOAD, probe.WANTED)
    source = (await session.endpoint(Operation.DOWNLOAD)).source
    try:
        outgoing = await session.request(Operation.DOWNLOAD, "POST", "/objects/batch", content)
        answer = await _answer(session, outgoing, add)
    except Unreachable as error:
        base, _ = await session.base(Operation.DOWNLOAD)
        add(
            failed(
                "server",
                f"{_origin(base)} cannot be reached: {error.problem} ({source})",
                user=USER[error.kind],
                operator=OPERATOR[error.kind],
            )
        )
        return None
    except ServerError as error:
        add(
            failed(
                "server",
                error.problem,
                user="correct the setting that it names; with SSH, look whether you can log in",
            )
        )
        return None
    session.direct = answer.headers.get("server") == "giftless"
    base, _ = await session.base(Operation.DOWNLOAD)
    problem = await _judge(session, base, source, answer)
    add(problem or ok("server", f"{_origin(base)} answers as an LFS server"))
    return None if problem is not None and problem.verdict == "failed" else answer


async def _answer(session: Session, outgoing: Outgoing, add: Add) -> Answer:
    """Send the batch, and follow the server where it redirects."""
    answer = await session.send(outgoing)
    if answer.status not in REDIRECTING or "location" not in answer.headers:
        return answer
    answer = await session.follow(outgoing)
    base, _ = await session.base(Operation.DOWNLOAD)
    first = urljoin(outgoing.url, (await session.send(outgoing)).headers.get("location", ""))
    there = first.partition("?")[0].removesuffix("/objects/batch")
    if there != base:
        add(
            warning(
                "server",
                f"{shown(base)} redirects to {shown(there)}: each request is sent twice",
                user=f"write lfs.url as {shown(there)}",
            )
        )
        session.move(Operation.DOWNLOAD, there)
    return answer


async def _judge(session: Session, base: str, source: str, answer: Answer) -> Finding | None:
    """Return what is wrong if no LFS server has made the answer; ``None`` if one has."""
    words = words_of(answer)
    if answer.status == 200:
        try:
            session.reply(answer, probe.WANTED)
            return None
        except ServerError:
            return await _no_server(session, base, source, answer)
    if answer.status == 401 or (words is not None and answer.status in _KNOWS):
        return None
    if answer.status == 404 and words is not None and not _NO_REPOSITORY.search(words):
        # It may show itself to those that log in.
        return None
    if answer.status == 400 and b"HTTPS port" in answer.body:
        return failed(
            "server",
            f"{shown(base)} is asked by http:// and speaks https:// ({source})",
            user="write https:// in that setting",
        )
    if answer.status in _GATEWAY:
        return failed(
            "server",
            f"{_origin(base)} answers {told(answer)}: a proxy is there, and does not reach the"
            " LFS server behind it",
            operator="start the server, and let the proxy forward to where it listens",
        )
    if answer.status >= 500:
        return failed(
            "server",
            f"{_origin(base)} fails: {told(answer)}",
            operator="look into the server's log"
            f" ({answer.headers.get('x-request-id', 'at this time')})",
        )
    return await _no_server(session, base, source, answer)


async def _no_server(session: Session, base: str, source: str, answer: Answer) -> Finding:
    """Say that something else is there, and what the URL should be if that can be told."""
    what = told(answer)
    if title := _TITLE.search(answer.body):
        what = f'{answer.status} and a page "{title[1].decode("utf-8", "replace").strip()}"'
    elif answer.status == 200:
        what = "200 and something else than a batch reply"
    advice = f"correct that setting; such URLs look like {_EXAMPLE}"
    hint = ""
    if example := await example_url(session, _origin(base)):
        hint = "; a Git LFS server is there, but not under this path"
        advice = f"correct that setting; the server says that its URLs look like {example}"
    return failed(
        "server",
        f"{shown(base)} is no LFS server's URL: it answers {what}{hint} ({source})",
        user=f"{advice}. It is set by: git config -f .lfsconfig lfs.url URL",
        operator="if the URL is right, let the proxy pass on all paths, POST requests too",
    )


async def example_url(session: Session, origin: str) -> str:
    """Ask the root of a server how its URLs look; empty if it is no giftless."""
    try:
        answer = await session.send(
            Outgoing("GET", f"{origin}/", {"Accept": "application/json"}), limit=65_536
        )
        found = msgspec.json.decode(answer.body)
    except (ServerError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    example = found.get("lfs_url") if isinstance(found, dict) else None
    return shown(example) if isinstance(example, str) else ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
