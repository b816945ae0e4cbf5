"""Uploads in one piece that go on where they broke off: tus 1.0.0.

The server knows how far an upload is, whoever has sent what.  So nothing is remembered here,
and the next push goes on as well as the next attempt does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final

from giftless.agent.errors import Again, Outdated, TransferError
from giftless.agent.http import Client, Reply
from giftless.agent.progress import Progress
from giftless.agent.protocol import Action, Upload
from giftless.agent.reading import read_blocks
from giftless.agent.retrying import Pause, Retries

#: What says that tus is spoken, in every request, and in the question how to upload.
TUS: Final = {"Tus-Resumable": "1.0.0"}

#: How long an answer may be silent, in seconds: with the last byte the server makes the object,
#: and may read all of it.
_TIMEOUT: Final = 900.0

#: Refusals after which the server is asked for another way: the bytes that it had were wrong,
#: the permission has expired, the server does not resume any more, or a proxy lets none of
#: this through.
_OUTDATED: Final = frozenset({400, 401, 403, 404, 405, 410, 412, 415, 501})


class ResumingUploader:
    """Uploads one object.

    :param request: what git-lfs wants.
    :param action: where the upload is.
    :param client: sends requests.
    :param progress: is told of every byte.
    :param pause: waits.
    """

    def __init__(
        self,
        request: Upload,
        action: Action,
        client: Client,
        progress: Progress,
        pause: Pause = time.sleep,
    ) -> None:
        self._request = request
        self._href = action.href
        self._header = {**(action.header or {}), **TUS}
        self._client = client
        self._progress = progress
        self._retries = Retries(pause)

    def run(self) -> None:
        """Upload what the server does not have.

        What has arrived when it fails stays on the server.

        :raises Outdated: if the server has to be asked for another way.
        :raises TransferError: if it does not succeed.
        """
        furthest = -1
        while True:
            try:
                offset = self._ask()
                if offset > furthest:
                    furthest = offset
                    self._retries.reset()
                # What was counted and has not arrived is sent again.
                self._progress.begin(offset)
                if offset < self._request.size:
                    self._send(offset)
            except Again as error:
                self._retries.wait(error)
            else:
                return

    def _ask(self) -> int:
        """Ask how many bytes the server has; all of them only if the object is stored.

        :raises Again: if it is worth another attempt.
        """
        reply = self._checked(self._client.ask("HEAD", self._href, self._header, _TIMEOUT))
        return self._offset(reply)

    def _send(self, offset: int) -> None:
        """Send the rest.

        :param offset: where it begins.
        :raises Again: if it has not arrived, or not all of it.
        """
        header = {
            **self._header,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
        }
        rest = self._request.size - offset
        reply = self._client.send("PATCH", self._href, header, self._rest(offset), rest, _TIMEOUT)
        arrived = self._offset(self._checked(reply))
        if arrived < self._request.size:
            raise Again(f"{reply.request}: the server took the bytes up to {arrived} only")

    def _rest(self, offset: int) -> Iterator[bytes]:
        for data in read_blocks(self._request.path, offset, self._request.size - offset):
            yield data
            self._progress.add(len(data))

    def _checked(self, reply: Reply) -> Reply:
        if reply.status == 409:
            # Somebody else sends the same object, or an older request of ours has just ended.
            raise Again(reply.reason)
        if reply.status in _OUTDATED:
            raise Outdated(reply.reason)
        return reply.checked()

    def _offset(self, reply: Reply) -> int:
        text = reply.headers.get("Upload-Offset", "")
        offset = int(text) if re.fullmatch(r"[0-9]{1,19}", text) else -1
        if not 0 <= offset <= self._request.size:
            raise TransferError(f"{reply.request}: the server does not say how far the upload is")
        return offset
