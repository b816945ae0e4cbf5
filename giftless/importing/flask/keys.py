"""What becomes of each key of the old configuration: none is passed over in silence.

Values are never quoted: they may be secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from giftless.base.showing import describe

#: What becomes of a key: it is said by another one now; the same, but not quite; it has no
#: effect, or none is needed; or somebody has to decide.
Result = Literal["translated", "changed", "unneeded", "not-translatable"]

#: Stands for a key that is not there.
_ABSENT: Final = object()


class Note(msgspec.Struct, frozen=True):
    """What has become of a key.

    :ivar key: the key in the old configuration, as a path.
    :ivar to: the key that says it now; empty if none does.
    :ivar words: what to know or to do; empty if nothing.
    """

    key: str
    result: Result
    to: str = ""
    words: str = ""


class Notes:
    """Collects what has become of keys.

    :ivar items: that, in order.
    """

    def __init__(self) -> None:
        self.items: list[Note] = []

    def translated(self, key: str, to: str) -> None:
        """Note that a key is said by another one."""
        self.items.append(Note(key, "translated", to))

    def changed(self, key: str, to: str, words: str) -> None:
        """Note that a key is said by another one, with a difference."""
        self.items.append(Note(key, "changed", to, words))

    def unneeded(self, key: str, words: str) -> None:
        """Note that nothing needs to be said."""
        self.items.append(Note(key, "unneeded", "", words))

    def refused(self, key: str, words: str) -> None:
        """Note that a key cannot be translated, and what to do."""
        self.items.append(Note(key, "not-translatable", "", words))

    @property
    def is_complete(self) -> bool:
        """Whether there is no key that somebody has to decide about."""
        return all(note.result != "not-translatable" for note in self.items)


class Keys:
    """A section of the old configuration, whose keys are taken one by one.

    :param value: the section, or what is in its place.
    :param path: where it is.
    :param notes: are told of what is no section.
    :ivar path: as given.
    """

    def __init__(self, value: object, path: str, notes: Notes) -> None:
        self.path = path
        self._notes = notes
        self._left: dict[Any, Any] = {}
        if isinstance(value, Mapping):
            self._left = dict(value)
        elif value is not None:
            notes.refused(path, f"found {describe(value)}, which is no section")

    def at(self, name: object) -> str:
        """Return the path of a key."""
        return f"{self.path}.{name}" if self.path else str(name)

    def names(self) -> list[str]:
        """Return the keys that have not been taken."""
        return [str(name) for name in self._left]

    def take(self, name: str) -> Any:
        """Take a key, whatever its value is; ``None`` if it is not there."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        """Take a key that is text; ``None`` if it is empty or not there."""
        value = self._left.pop(name, None)
        if value is None or value == "":
            if value == "":
                self._notes.unneeded(self.at(name), "is empty")
            return None
        if not isinstance(value, str):
            self._notes.refused(self.at(name), f"found {describe(value)}, which is no text")
            return None
        return value

    def number(self, name: str) -> float | None:
        """Take a key that is a number, 0 or more; ``None`` if it is not there."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value < float("inf"):
            self._notes.refused(self.at(name), f"found {describe(value)}, which is no number")
            return None
        return float(value)

    def inside(self, name: str) -> Keys:
        """Take a section."""
        return Keys(self._left.pop(name, None), self.at(name), self._notes)

    def unneeded(self, words: str, *names: str) -> None:
        """Note of keys that nothing needs to be said: of some, or of all that are left."""
        for name in names or tuple(self._left):
            if self._left.pop(name, _ABSENT) is not _ABSENT:
                self._notes.unneeded(self.at(name), words)

    def end(self, words: str = "is no key of the Flask giftless 0.6.2") -> None:
        """Note that the keys which are left cannot be translated."""
        for name in self._left:
            self._notes.refused(self.at(name), words)
        self._left = {}
