"""The command line of ``giftless keys``."""

from __future__ import annotations

from giftless.commands.keys.generating import GenerateKey
from giftless.commands.keys.listing import ListKeys
from giftless.commands.keys.rotating import RotateKeys
from giftless.commands.object_commands import GroupCommand


class KeysCommand(GroupCommand):
    """The command line of ``giftless keys``."""

    longdesc = "The daemon may run meanwhile."
    subCommands = [
        ["generate", None, GenerateKey, "Append a fresh key to a key file."],
        ["list", None, ListKeys, "Show the keys, and how many objects need each."],
        ["rotate", None, RotateKeys, "Wrap the keys of all objects with the primary key."],
    ]
