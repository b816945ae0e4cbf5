"""One run of the agent: git-lfs's requests, one object after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

from giftless.agent import protocol
from giftless.agent.downloading import Downloader, Temporary
from giftless.agent.errors import TransferError
from giftless.agent.gitconfig import temporary_folder
from giftless.agent.http import Client
from giftless.agent.progress import Progress
from giftless.agent.protocol import Action, Download, Init, Upload
from giftless.agent.slots import Slots
from giftless.agent.uploading import Uploader
from giftless.agent.workers import Workers


class Session:
    """Answers requests.

    One thread makes the requests, and another may end the session.

    :param init: what git-lfs said first.
    :param write: writes a line for git-lfs, from any thread.
    :param folder: finds where temporary files go.
    """

    def __init__(
        self,
        init: Init,
        write: Callable[[bytes], None],
        folder: Callable[[], Path] = temporary_folder,
    ) -> None:
        self._limit = max(1, init.concurrenttransfers)
        self._write = write
        self._find_folder = folder
        self._client = Client(self._limit)
        self._lock = threading.Lock()
        self._temporary: Temporary | None = None
        self._ended = False

    def handle(self, request: Upload | Download) -> None:
        """Transfer an object, and tell git-lfs how it went."""
        # By now git-lfs has moved the last download away, if it is good.
        self._discard()
        progress = Progress(request.size, partial(self._tell, request.oid))
        try:
            if isinstance(request, Upload):
                self._upload(request, progress)
            else:
                self._download(request, progress)
        except TransferError as error:
            # Nothing may follow the message that ends it.
            progress.close(complete=False)
            self._discard()
            self._write(protocol.failed(request.oid, error.code, error.message))

    def end(self) -> None:
        """Remove temporary files, and start no more transfers."""
        with self._lock:
            self._ended = True
        self._discard()

    def _upload(self, request: Upload, progress: Progress) -> None:
        action = _action(request)
        Uploader(request, action, self._client, self._workers, progress).run()
        progress.close(complete=True)
        self._write(protocol.uploaded(request.oid))

    def _download(self, request: Download, progress: Progress) -> None:
        action = _action(request)
        with self._lock:
            if self._ended:
                raise TransferError("git-lfs has gone")
            temporary = self._temporary = Temporary(self._folder, request.oid)
        Downloader(request, action, self._client, self._workers, progress).run(temporary.path)
        progress.close(complete=True)
        self._write(protocol.downloaded(request.oid, str(temporary.path)))

    def _discard(self) -> None:
        with self._lock:
            if self._temporary is not None:
                self._temporary.remove()
                self._temporary = None

    def _tell(self, oid: str, so_far: int, since_last: int) -> None:
        self._write(protocol.progress(oid, so_far, since_last))

    @cached_property
    def _folder(self) -> Path:
        return self._find_folder()

    @cached_property
    def _workers(self) -> Workers:
        # The first one needs no slot.
        slots = Slots(self._folder / "giftless-connections", self._limit - 1)
        return Workers(self._limit, slots)


def _action(request: Upload | Download) -> Action:
    if request.action is None:
        raise TransferError(
            "git-lfs has not asked a server; giftless cannot be lfs.standalonetransferagent"
        )
    return request.action
