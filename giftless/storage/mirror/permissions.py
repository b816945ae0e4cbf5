"""Who was allowed to read which repository, and until when that is remembered.

A file for each of them, whose name tells nobody who it is and whose time is when the server
has said so last: so all workers know it, and a restart forgets nothing.
"""

from __future__ import annotations

import contextlib
import hmac
import os
from typing import Final

from twisted.logger import Logger

from giftless.interfaces import Credential, IBlocking, WallClock
from giftless.storage.mirror.upstreams import Place, authorization

_log = Logger()

#: Below which name the files are in the state directory.
DIRECTORY: Final = "mirror-permissions"

#: For how many seconds what was noted need not be noted again.
_RESOLUTION: Final = 30.0

#: How many notes a worker knows to be fresh.
_MOST: Final = 10_000

#: How many files a folder may have; there are 256 folders.  A server that lets in everybody
#: lets in any credential that somebody makes up.
_MOST_FILES: Final = 400

#: By how many seconds a time may lie ahead: clocks are set.
_AHEAD: Final = 60.0


class Permissions:
    """Remembers that callers may read repositories.

    :param state_dir: the daemon's state directory.
    :param key: what the names of files are made with: they must not tell a password.
    :param remember: for how many seconds that holds.
    :param blocking: works with the files.
    :param wall_clock: dates them.
    :param most: how many files a folder may have; the oldest go first.
    """

    def __init__(
        self,
        state_dir: str,
        key: bytes,
        remember: float,
        blocking: IBlocking,
        wall_clock: WallClock,
        most: int = _MOST_FILES,
    ) -> None:
        self._directory = os.path.join(state_dir, DIRECTORY)
        self._key = key
        self._remember = remember
        self._blocking = blocking
        self._wall_clock = wall_clock
        self._most = most
        #: When this worker has noted something last, by the name of the file.
        self._noted: dict[str, float] = {}

    async def allow(self, place: Place, credential: Credential | None) -> None:
        """Note that the server has let somebody read a repository just now."""
        name, now = self._name(place, credential), self._wall_clock()
        if 0 <= now - self._noted.get(name, -_RESOLUTION) < min(_RESOLUTION, self._remember / 4):
            return
        try:
            await self._blocking.run(self._touch, name, now)
        except OSError as error:
            # Whoever is served now must not be refused because of a later outage.
            _log.error("a permission cannot be remembered: {error}", error=error)
            return
        while len(self._noted) >= _MOST:
            del self._noted[next(iter(self._noted))]
        self._noted[name] = now

    async def forget(self, place: Place, credential: Credential | None) -> None:
        """Note that the server does not let somebody read a repository any more."""
        name = self._name(place, credential)
        self._noted.pop(name, None)
        try:
            await self._blocking.run(self._remove, name)
        except OSError as error:
            _log.error("a permission that was lost cannot be forgotten: {error}", error=error)

    async def until(self, place: Place, credential: Credential | None) -> float | None:
        """Tell until when somebody may read a repository though the server cannot be asked.

        :returns: seconds since the epoch; ``None`` if they may not.
        """
        at = await self._blocking.run(self._time, self._name(place, credential))
        now = self._wall_clock()
        if at is None or at > now + _AHEAD or at + self._remember <= now:
            return None
        return at + self._remember

    async def sweep(self) -> None:
        """Remove what holds no more."""
        await self._blocking.run(self._sweep, self._wall_clock() - self._remember)

    def _name(self, place: Place, credential: Credential | None) -> str:
        shown = authorization(credential).get("Authorization", "")
        said = f"{place.api}\0{shown}".encode()
        name = hmac.digest(self._key, said, "sha256").hex()
        return f"{name[:2]}/{name}"

    def _touch(self, name: str, now: float) -> None:
        path = os.path.join(self._directory, name)
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        is_new = not os.path.exists(path)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.utime(path, (now, now))
        if is_new:
            self._make_room(folder)

    def _make_room(self, folder: str) -> None:
        """Forget who was let in longest ago, of more than may be remembered."""
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries]
        if len(paths) <= self._most:
            return
        dated = []
        for path in paths:
            # Other workers remove some, too.
            with contextlib.suppress(FileNotFoundError):
                dated.append((os.stat(path).st_mtime, path))
        for _, path in sorted(dated)[: -self._most]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._directory, name))

    def _time(self, name: str) -> float | None:
        try:
            return os.stat(os.path.join(self._directory, name)).st_mtime
        except FileNotFoundError:
            return None

    def _sweep(self, before: float) -> None:
        for folder, _, names in os.walk(self._directory):
            for name in names:
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    if os.stat(path).st_mtime < before:
                        os.unlink(path)
