"""Check that giftless can read a configuration, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from giftless.app import config, plugins
from giftless.app.config import Config
from giftless.base import schema
from giftless.base.safe_yaml import load_yaml
from giftless.interfaces import IAuthenticatorFactory, IBuilder, IStorageFactory


def check_text(source: str, text: str) -> Config:
    """Check that a configuration can be read, whatever the environment says.

    :raises ConfigError: if it cannot.
    """
    return config.parse(source, text, {}).config


def check_parts(options: Config) -> None:
    """Check that the sections of storage and authenticators have the options of their plugins.

    :raises ConfigError: if one has not.
    """
    plugins.add_directories(options.plugin_path)
    _check(IStorageFactory, options.storage, "storage")
    for index, section in enumerate(options.auth):
        _check(IAuthenticatorFactory, section, f"auth.{index}")


def _check(kind: type[IBuilder], section: Mapping[str, Any], key: str) -> None:
    plugin = plugins.choose(kind, section.get("type"), f"{key}.type")
    rest = {name: value for name, value in section.items() if name != "type"}
    schema.convert(rest, plugin.Options, key)


def plain_data(text: str) -> dict[str, Any]:
    """Return what :func:`check_text` has let pass, as plain data."""
    return load_yaml(text) or {}
