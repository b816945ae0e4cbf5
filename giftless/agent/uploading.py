"""Uploads: ask what is missing, send that in parts and commit, or resume the upload."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from giftless.agent.errors import Again, Outdated, TransferError
from giftless.agent.http import Client, Reply
from giftless.agent.plan import Part, Plan, Step, read_plan
from giftless.agent.progress import Progress
from giftless.agent.protocol import Action, Upload
from giftless.agent.reading import read_blocks
from giftless.agent.resuming import TUS, ResumingUploader
from giftless.agent.retrying import Pause, patiently
from giftless.agent.workers import Crew, Workers

#: How long before it expires a part is not begun any more, in seconds.
_MARGIN: Final = 10

#: How often the server is asked what is missing.  If it fails, it fails for each
#: object of a push, and nothing would be lost if the push were made again.
_ASK_ATTEMPTS: Final = 4

#: How long a commit may be silent, in seconds: the server may read all parts.
_COMMIT_TIMEOUT: Final = 900.0

#: Refusals of a part that a new plan may mend: it has expired, somebody else
#: has finished or thrown the upload away, bytes were damaged on the way.
_OUTDATED: Final = frozenset({400, 401, 403, 404, 409, 410, 412})


class Uploader:
    """Uploads one object.

    :param request: what git-lfs wants.
    :param action: where the server tells what is missing.
    :param client: sends requests.
    :param workers: send parts.
    :param progress: is told of every byte.
    :param pause: waits.
    :param clock: tells the time, in seconds.
    """

    def __init__(
        self,
        request: Upload,
        action: Action,
        client: Client,
        workers: Workers,
        progress: Progress,
        pause: Pause = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = request
        self._action = action
        self._client = client
        self._workers = workers
        self._progress = progress
        self._pause = pause
        self._clock = clock
        self._asked = clock()
        self._resumes = True

    def run(self) -> None:
        """Upload.

        What has arrived when it fails stays on the server: the next push goes
        on from there.

        :raises TransferError: if it does not succeed.
        """
        patiently(self._round, self._pause)

    def _round(self) -> None:
        plan = self._ask()
        if plan is None:
            return
        try:
            if plan.resume is not None:
                self._resume(plan.resume)
                return
            self._progress.begin(self._request.size - plan.missing)
            self._workers.run(plan.parts, self._send_part)
            if plan.commit is not None:
                self._commit(plan.commit)
        except Outdated as error:
            raise Again(error.reason) from None

    def _resume(self, action: Action) -> None:
        uploader = ResumingUploader(
            self._request, action, self._client, self._progress, self._pause
        )
        try:
            uploader.run()
        except Outdated:
            # If it is not just late, something on the way does not let it through: parts may.
            self._resumes = False
            raise

    def _ask(self) -> Plan | None:
        action, request = self._action, self._request
        self._asked = self._clock()
        header = {**(action.header or {}), **(TUS if self._resumes else {})}
        reply = patiently(
            lambda: self._client.ask("POST", action.href, header),
            self._pause,
            _ASK_ATTEMPTS,
        )
        if reply.status in (401, 403):
            raise TransferError(
                f"{reply.reason}; if this push took very long, push again:"
                " what has arrived is not sent again",
                reply.status,
            )
        return read_plan(reply.checked().body, request.oid, request.size)

    def _send_part(self, part: Part, crew: Crew[Part]) -> None:
        if part.expires_in and self._clock() > self._asked + part.expires_in - _MARGIN:
            raise Outdated("the permission to send parts has expired")
        header = dict(part.header or {})
        if part.want_digest:
            header["Content-MD5"] = self._md5(part)
        reply = patiently(lambda: self._attempt(part, header, crew), crew.pause)
        if reply.status in _OUTDATED:
            raise Outdated(reply.reason)
        reply.checked()

    def _attempt(self, part: Part, header: dict[str, str], crew: Crew[Part]) -> Reply:
        body = _Sending(self._request.path, part, self._progress, crew)
        arrived = False
        try:
            reply = self._client.send(part.method, part.href, header, body, part.size)
            arrived = reply.good
            return reply
        finally:
            if not arrived:
                body.take_back()

    def _commit(self, step: Step) -> None:
        reply = patiently(
            lambda: self._client.ask(step.method, step.href, step.header, _COMMIT_TIMEOUT),
            self._pause,
        )
        if reply.status == 409:
            raise Outdated(reply.reason)
        reply.checked()

    def _md5(self, part: Part) -> str:
        """Make the value of a ``Content-MD5`` header (RFC 1864)."""
        digest = hashlib.md5(usedforsecurity=False)
        for data in read_blocks(self._request.path, part.pos, part.size):
            digest.update(data)
        return base64.b64encode(digest.digest()).decode()


class _Sending:
    """The bytes of a part, counted as the connection takes them.

    :param path: the object's file.
    :param part: which of its bytes.
    :param progress: is told of them.
    :param crew: is told that the part is under way.
    """

    def __init__(self, path: str, part: Part, progress: Progress, crew: Crew[Part]) -> None:
        self._path = path
        self._part = part
        self._progress = progress
        self._crew = crew
        self._count = 0

    def __iter__(self) -> Iterator[bytes]:
        for data in read_blocks(self._path, self._part.pos, self._part.size):
            self._crew.check()
            yield data
            self._count += len(data)
            self._progress.add(len(data))
            self._crew.under_way()

    def take_back(self) -> None:
        """Count the bytes no longer: they have not arrived."""
        self._progress.add(-self._count)
