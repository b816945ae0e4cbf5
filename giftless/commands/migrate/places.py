"""What ``FROM`` and ``TO`` name: a section of the configuration, or of another file."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from giftless.app import config, plugins
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.base import schema
from giftless.commands import CommandError
from giftless.errors import ConfigError
from giftless.interfaces import IBuilder
from giftless.storage.moving.places import is_same_place

#: The type of a section that has both places in it.
MOVING: Final = "moving"

#: What the parts of each kind keep.
_KEPT: Final = {"storage": "objects", "locks": "locks", "catalogue": "the catalogue"}


@dataclass(frozen=True, slots=True)
class Place:
    """A section that describes a part.

    :ivar text: how somebody has named it.
    :ivar path: the dotted path of the section in its file.
    :ivar section: what stands there.
    :ivar file: the file; empty for the configuration of the command.
    """

    text: str
    path: str
    section: Mapping[str, Any]
    file: str = ""

    def build(
        self, interface: type[IBuilder], parts: PartBuilder, beside: Collection[str] = ()
    ) -> Any:
        """Build the part, unless it was built as part of another one.

        :param beside: keys of the section that are not the plugin's.
        :raises ConfigError: if it cannot be built.
        """
        if not self.file and self.path in parts.built:
            return parts.built[self.path]
        try:
            return parts.build(interface, self.section, self.path, beside)
        except ConfigError as error:
            raise schema.below(f"{self.file}:", error) if self.file else error from None


def find_places(kind: str, names: tuple[str, str] | None, settings: Config) -> tuple[Place, Place]:
    """Find where something moves from, and where to.

    :param kind: which section of a configuration it is about: ``storage``, ``locks`` or
        ``catalogue``.
    :param names: the two places as somebody has named them; ``None`` for those of the
        section itself, which is of the type ``moving`` then.
    :raises CommandError: if they cannot be found, or are the same.
    """
    if names is None:
        if getattr(settings, kind).get("type") != MOVING:
            raise CommandError(
                f"say FROM and TO: the configuration's {kind!r} is not of the type {MOVING!r}"
            )
        names = (f"{kind}.from", f"{kind}.to")
    source, target = (_find(kind, name, settings) for name in names)
    if source.section == target.section:
        raise CommandError(f"{source.text} and {target.text} are the same place")
    if is_same_place(source.section, target.section):
        raise CommandError(
            f"{source.text} and {target.text} keep {_KEPT[kind]} in the same place; name another"
            " one as TO"
        )
    return source, target


def _find(kind: str, text: str, settings: Config) -> Place:
    file, colon, path = text, "", ""
    if not os.path.exists(file):
        file, colon, path = text.rpartition(":")
    if file and os.path.exists(file):
        # Variables of the environment are for the configuration of the command alone.
        found = config.load(file, {}).config
        plugins.add_directories(found.plugin_path)
        path = path or kind
        return Place(text, path, _section(kind, path, found, text), file)
    if colon:
        raise CommandError(f"{text}: there is no file {file}")
    return Place(text, text, _section(kind, text, settings, text))


def _section(kind: str, path: str, settings: Config, text: str) -> Mapping[str, Any]:
    first, *steps = path.split(".")
    if first != kind:
        raise CommandError(
            f"{text}: name a file, or a section such as '{kind}' or '{kind}.to' of the"
            " configuration"
        )
    section: Any = getattr(settings, kind)
    for step in steps:
        section = schema.expand(section.get(step)) if isinstance(section, Mapping) else None
    if not isinstance(section, Mapping) or "type" not in section:
        raise CommandError(f"{text}: there is no section of this name")
    return section


def is_served(kind: str, source: Place, target: Place, settings: Config) -> bool:
    """Tell whether the daemon of a configuration uses both places as one."""
    return (
        getattr(settings, kind).get("type") == MOVING
        and (source.file, source.path) == ("", f"{kind}.from")
        and (target.file, target.path) == ("", f"{kind}.to")
    )
