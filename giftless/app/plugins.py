"""Find plugins by kind and name, and build what the configuration selects.

Built-in parts are registered in ``twisted/plugins/giftless_plugin.py``,
exactly as a third party's are in a file of its own.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from twisted.logger import Logger
from twisted.plugin import IPlugin, getCache, getPlugins
from twisted.python.reflect import namedAny
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

import twisted.plugins
from giftless.base import schema
from giftless.errors import ConfigError
from giftless.interfaces import Environment, IBuilder, IFactory

_log = Logger()

F = TypeVar("F", bound=IFactory)


class LazyPlugin:
    """A plugin that imports its code when it is used.

    Reading a plugin folder imports every file in it, for each ``twistd``
    command, so what stands there must be cheap.

    :param interface: the kind of plugin.
    :param name: what selects it in the configuration.
    :param target: the dotted name of a class; an instance of it does the work.
    """

    def __init__(self, interface: type[IFactory], name: str, target: str) -> None:
        self.name = name
        self._target = target
        directlyProvides(self, IPlugin, interface)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_target":
            raise AttributeError(name)
        return getattr(namedAny(self._target)(), name)


def add_directories(directories: Sequence[str]) -> None:
    """Look for plugin files in more directories.

    :raises ConfigError: if one is not a directory.
    """
    for index, directory in enumerate(directories):
        path = os.path.abspath(directory)
        if not os.path.isdir(path):
            raise ConfigError(
                f"plugin_path.{index}", f"found {directory!r}, allowed is an existing directory"
            )
        if path not in twisted.plugins.__path__:
            twisted.plugins.__path__.append(path)


def find(interface: type[F]) -> dict[str, F]:
    """Find all plugins of a kind.

    A file that cannot be imported, and a plugin whose code cannot be imported
    or does not fulfil the interface, are logged by name and left out.

    :param interface: one of the factory interfaces.
    :returns: the plugins by name.
    :raises ConfigError: if two have the same name.
    """
    found: dict[str, F] = {}
    for plugin in getPlugins(interface, twisted.plugins):
        name = getattr(plugin, "name", None)
        try:
            verifyObject(interface, plugin)
        except Exception as error:  # a lazy plugin's code is imported here
            _log.error(
                "plugin {name} is left out: {error}",
                name=repr(name or plugin),
                error=" ".join(str(error).split()) or type(error).__name__,
            )
            continue
        if name in found:
            raise ConfigError("", f"two plugins for {interface.__name__} are called {name!r}")
        found[str(name)] = plugin
    return found


def report_broken() -> list[str]:
    """Log the plugin files that could not be imported, by name.

    :returns: their paths.
    """
    loaded = getCache(twisted.plugins)
    broken = []
    for directory in twisted.plugins.__path__:
        if not os.path.isdir(directory):
            continue
        for file in sorted(os.listdir(directory)):
            module, extension = os.path.splitext(file)
            if extension == ".py" and module != "__init__" and module not in loaded:
                broken.append(os.path.join(directory, file))
    for path in broken:
        _log.error("plugin file {path} could not be imported and is left out", path=path)
    return broken


def build(
    interface: type[IBuilder],
    section: Mapping[str, Any],
    path: str,
    environment: Environment,
    beside: Collection[str] = (),
) -> Any:
    """Build what a section with a ``type`` describes.

    :param section: ``type`` and the options of the plugin of that name.
    :param path: the section's dotted path in the configuration.
    :param beside: keys of the section that are not the plugin's.
    :returns: what the plugin's factory built.
    :raises ConfigError: if the type or an option cannot be used.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(
            path, f"found {schema.describe(section)}, but this is a section with keys"
        )
    plugins = find(interface)
    known = ", ".join(sorted(plugins))
    name = section.get("type")
    if name is None:
        raise ConfigError(schema.join(path, "type"), f"is missing; available: {known}")
    if not isinstance(name, str) or name not in plugins:
        raise ConfigError(
            schema.join(path, "type"), f"found {schema.describe(name)}, available: {known}"
        )
    plugin = plugins[name]
    rest = {key: value for key, value in section.items() if key != "type"}
    options = schema.convert(rest, plugin.Options, path, beside)
    try:
        return plugin.build(options, environment)
    except ConfigError as error:
        raise ConfigError(schema.join(path, error.path), error.problem) from None
