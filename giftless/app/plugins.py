"""Find plugins by kind and name, and build what the configuration selects.

Built-in parts are registered in ``twisted/plugins/giftless_plugin.py``,
exactly as a third party's are in a file of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Any, Final, TypeVar

from twisted.logger import Logger
from twisted.plugin import CachedDropin, IPlugin, getCache
from twisted.python.reflect import namedAny
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

import twisted.plugins
from giftless.base import schema
from giftless.base.showing import describe, describe_failure, file_name
from giftless.errors import ConfigError
from giftless.interfaces import (
    Environment,
    IAuthenticatorFactory,
    IBuilder,
    ICatalogueFactory,
    IFactory,
    IKeyringFactory,
    IKeyWrapperFactory,
    ILockStoreFactory,
    IObserverFactory,
    IPartBuilder,
    IStorageFactory,
    ITransferFactory,
)

_log = Logger()

F = TypeVar("F", bound=IFactory)

#: The interfaces of all kinds of plugins.
KINDS: Final = (
    IStorageFactory,
    IAuthenticatorFactory,
    IKeyringFactory,
    IKeyWrapperFactory,
    ILockStoreFactory,
    ICatalogueFactory,
    ITransferFactory,
    IObserverFactory,
)


class LazyPlugin:
    """A plugin that imports its code when it is used.

    Reading a plugin folder imports every file in it, for each ``twistd``
    command, so what stands there must be cheap.

    :param interface: the kind of plugin.
    :param name: what selects it in the configuration.
    :param target: the dotted name of a class; an instance of it does the work.
    :ivar tls: whether what it builds may use Twisted's TLS.
    """

    def __init__(
        self, interface: type[IFactory], name: str, target: str, *, tls: bool = True
    ) -> None:
        self.name = name
        self.tls = tls
        self._target = target
        directlyProvides(self, IPlugin, interface)

    @cached_property
    def _plugin(self) -> Any:
        try:
            factory = namedAny(self._target)
        except AttributeError:
            raise ImportError(f"there is no {self._target}") from None
        return factory()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._plugin, name)


def add_directories(directories: Sequence[str]) -> None:
    """Look for plugin files in more directories.

    :raises ConfigError: if one is not a directory.
    """
    for index, directory in enumerate(directories):
        path = os.path.abspath(directory)
        if not os.path.isdir(path):
            raise ConfigError(
                f"plugin_path.{index}",
                f"{file_name(directory)}is no directory, allowed is an existing one",
            )
        if path not in twisted.plugins.__path__:
            twisted.plugins.__path__.append(path)


def find(interface: type[F]) -> dict[str, F]:
    """Find all plugins of a kind that can be used.  Imports the code of all of them.

    :param interface: one of the factory interfaces.
    :returns: the plugins by name.
    :raises ConfigError: if two have the same name.
    """
    found = named(interface)
    return {name: plugin for name, plugin in found.items() if not _problem_of(interface, plugin)}


def choose(interface: type[F], name: object, path: str) -> F:
    """Find the plugin of a name.  Imports the code of this one only.

    :param interface: one of the factory interfaces.
    :param name: what the configuration says; ``None`` if it says nothing.
    :param path: the dotted path of the key that says it.
    :raises ConfigError: if there is no such plugin, if it cannot be used, or
        if two of the kind have the same name.
    """
    found = named(interface)
    if not isinstance(name, str) or name not in found:
        is_wrong = "is missing;" if name is None else f"found {describe(name)},"
        available = ", ".join(sorted(find(interface)))
        raise ConfigError(path, f"{is_wrong} available: {available}")
    if problem := _problem_of(interface, found[name]):
        raise ConfigError(path, f"the plugin {name!r} cannot be used: {problem}")
    return found[name]


def _plugins(interface: type[F]) -> Sequence[F]:
    """Return the plugins of a kind, without importing their code."""
    return _found(interface, tuple(twisted.plugins.__path__))


@cache
def _found(interface: type[F], directories: tuple[str, ...]) -> Sequence[F]:
    """Find the plugins of a kind.

    As :func:`twisted.plugin.getPlugins` does, which looks at every file of every
    directory again each time, and logs the traceback of a broken one again.
    """
    found = []
    for dropin in _dropins(directories).values():
        for plugin in dropin.plugins:
            try:
                adapted = interface(plugin, None)
            except Exception:  # The cache is older than what the file depends on.
                _log.failure("plugin file {file} cannot be imported", file=dropin.moduleName)
            else:
                if adapted is not None:
                    found.append(adapted)
    return found


@cache
def _dropins(directories: tuple[str, ...]) -> Mapping[str, CachedDropin]:
    """Import the plugin files of ``twisted.plugins``, or read Twisted's cache of them.

    :param directories: where its files are now.
    :returns: what is in each file, by the name of the module.
    """
    found: Mapping[str, CachedDropin] = getCache(twisted.plugins)
    return found


def named(interface: type[F]) -> dict[str, F]:
    """Return the plugins of a kind that have a name, without importing their code."""
    found: dict[str, F] = {}
    for plugin in _plugins(interface):
        name = getattr(plugin, "name", None)
        if name is None:
            continue
        if name in found:
            raise ConfigError("", f"two plugins for {interface.__name__} are called {name!r}")
        found[str(name)] = plugin
    return found


def failed(path: str, name: str, error: Exception) -> ConfigError:
    """Make the error for a plugin that fails where it is built.

    :param path: the dotted path of the section.
    """
    return ConfigError(
        path,
        f"the plugin {name!r} fails with {describe_failure(error)}; what it says is not shown,"
        " because it may hold a secret",
    )


def _problem_of(interface: type[IFactory], plugin: object) -> str:
    """Import a plugin's code.

    :returns: why it does not fulfil the interface; empty if it does.
    """
    try:
        verifyObject(interface, plugin)
    except Exception as error:  # a lazy plugin's code is imported here
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def unusable() -> list[str]:
    """Import the code of every plugin of every kind.

    :returns: a line for each that cannot be used, with its name and the reason.
    """
    return [
        f"plugin {getattr(plugin, 'name', None) or plugin!r} cannot be used: {problem}"
        for interface in KINDS
        for plugin in _plugins(interface)
        if (problem := _problem_of(interface, plugin))
    ]


def report_broken_files() -> None:
    """Log the plugin files that cannot be imported."""
    for problem in broken_files():
        _log.error("{problem}", problem=problem)


def broken_files() -> list[str]:
    """Try to import every plugin file.

    :returns: a line for each that cannot be imported, with its path.
    """
    loaded = _dropins(tuple(twisted.plugins.__path__))
    broken = []
    for directory in twisted.plugins.__path__:
        if not os.path.isdir(directory):
            continue
        for file in sorted(os.listdir(directory)):
            module, extension = os.path.splitext(file)
            if extension == ".py" and module != "__init__" and module not in loaded:
                path = os.path.join(directory, file)
                broken.append(f"plugin file {path} could not be imported and is left out")
    return broken


@implementer(IPartBuilder)
class PartBuilder:
    """Builds parts from their sections, and what is nested in them.

    :param lend: makes the environment that factories are lent; it is given
        this builder.
    :param path: the dotted path of the section in which the parts' sections
        stand; empty for the configuration itself.
    :param built: where to record the parts.
    :ivar built: every part so far, at any depth, by its full dotted path.
    :ivar environment: what a factory is lent whose own section is at ``path``.
    """

    def __init__(
        self,
        lend: Callable[[IPartBuilder], Environment],
        path: str = "",
        built: dict[str, object] | None = None,
    ) -> None:
        self._path = path
        self.built = {} if built is None else built
        self.environment = lend(self)

    def build(
        self,
        interface: type[IBuilder],
        section: Mapping[str, Any],
        key: str,
        beside: Collection[str] = (),
    ) -> Any:
        """Build a part.  See :meth:`giftless.interfaces.IPartBuilder.build`.

        :param beside: keys of the section that are not the plugin's.
        """
        if not isinstance(section, Mapping):
            raise ConfigError(key, f"found {describe(section)}, but this is a section with keys")
        plugin = choose(interface, section.get("type"), schema.join(key, "type"))
        rest = {name: value for name, value in section.items() if name != "type"}
        options = schema.convert(rest, plugin.Options, key, beside)
        path = schema.join(self._path, key)
        nested = PartBuilder(lambda parts: replace(self.environment, parts=parts), path, self.built)
        try:
            part = plugin.build(options, nested.environment)
        except ConfigError as error:
            raise schema.below(key, error) from None
        except Exception as error:
            raise failed(key, plugin.name, error) from None
        self.built[path] = part
        return part
