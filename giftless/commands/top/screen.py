"""A terminal: what it shows, its size, and the keys that are pressed."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

#: Enter and leave the screen that full-screen programs use; the cursor is hidden there.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"

#: To the first line; to the end of the line, and of the screen, nothing.
_HOME, _REST, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

#: How large a terminal is that does not say so: columns and lines.
USUAL: Final = (80, 24)

#: Ends the program, if it is pressed.
QUIT: Final = b"qQ\x04"


def is_terminal() -> bool:
    """Tell whether this process shows something to somebody, and listens to keys."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def size() -> tuple[int, int]:
    """Return how many columns and lines there are."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return USUAL
    return columns or USUAL[0], lines or USUAL[1]


class Screen:
    """The whole terminal, until :func:`whole_screen` ends.

    :ivar waker: the descriptor that signals wake it by.
    """

    def __init__(self) -> None:
        self._keys, self._shown = sys.stdin.fileno(), sys.stdout.fileno()
        self._before = termios.tcgetattr(self._keys)
        self._woken, self.waker = os.pipe()
        for end in (self._woken, self.waker):
            os.set_blocking(end, False)

    def enter(self) -> None:
        """Take the terminal: keys come at once, and are not shown."""
        tty.setcbreak(self._keys)
        self._write(_ENTER)

    def leave(self) -> None:
        """Give the terminal back as it was."""
        # It may be gone.
        with suppress(OSError, termios.error):
            self._write(_LEAVE)
        with suppress(termios.error):
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)

    def close(self) -> None:
        """Close the pipe that signals wake it by."""
        os.close(self._woken)
        os.close(self.waker)

    def show(self, lines: Sequence[str]) -> None:
        """Show lines, which must fit."""
        body = f"{_REST}\r\n".join(lines)
        self._write(f"{_HOME}{body}{_REST}{_BELOW}")

    def wait(self, seconds: float) -> bool:
        """Wait for a key, for another size of the terminal, or for some time.

        :returns: whether to go on.
        """
        ready, _, _ = select.select([self._keys, self._woken], [], [], seconds)
        if self._woken in ready:
            os.read(self._woken, 4096)
        if self._keys in ready:
            pressed = os.read(self._keys, 4096)
            return bool(pressed) and not set(pressed) & set(QUIT)
        return True

    def pause(self, number: int, frame: FrameType | None) -> None:
        """Give the terminal back while the process is stopped (Ctrl-Z)."""
        self.leave()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here it goes on.
        signal.signal(signal.SIGTSTP, handler)
        self.enter()

    def _write(self, text: str) -> None:
        # Not through Python's buffer: it takes nothing from a signal's handler while it is
        # being written, and Ctrl-Z may come just then.
        data = text.encode(sys.stdout.encoding, sys.stdout.errors or "strict")
        while data:
            data = data[os.write(self._shown, data) :]


@contextmanager
def whole_screen() -> Iterator[Screen]:
    """Use the terminal, and give it back however that ends."""
    screen = Screen()
    signals: dict[int, Any] = {
        signal.SIGWINCH: lambda *_: None,
        signal.SIGTSTP: screen.pause,
        signal.SIGTERM: _end,
        signal.SIGHUP: _end,
    }
    before = {number: signal.signal(number, handler) for number, handler in signals.items()}
    woken = signal.set_wakeup_fd(screen.waker, warn_on_full_buffer=False)
    try:
        screen.enter()
        yield screen
    finally:
        screen.leave()
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        screen.close()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
