"""Hold the configuration of a container against the code, without a container."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from giftless.app import plugins
from giftless.app.config import Config, parse
from giftless.base import schema
from giftless.interfaces import (
    IAuthenticatorFactory,
    ICatalogueFactory,
    ILockStoreFactory,
    IStorageFactory,
)
from giftless.usecases.locks import LockPolicy
from tests.docs.pages import ROOT

#: Where a container finds its secrets.
SECRETS = "/run/secrets/"

#: What the image has in place of a file that somebody mounts.
IMAGE_CONFIG = ROOT / "etc" / "container.yaml"

#: What stands in a file of a secret.
SECRET = "host=database password=a-secret-of-more-than-thirty-two-bytes"


def configured(text: str, environ: Mapping[str, str], directory: Path) -> Config:
    """Load a configuration as a container does, down to the options of each plugin.

    :param text: what stands in the file.
    :param environ: the container's variables; files below :data:`SECRETS` need not exist.
    :param directory: where such files are made instead.
    :raises ConfigError: if a variable or a key is none.
    """
    there = {}
    for name, value in environ.items():
        there[name] = value
        if value.startswith(SECRETS):
            file = directory / value.removeprefix(SECRETS).replace("/", "_")
            file.write_text(f"{SECRET}\n")
            there[name] = str(file)
    config = parse("giftless.yaml", text, there).config
    _convert(IStorageFactory, config.storage, "storage")
    for index, section in enumerate(config.auth):
        _convert(IAuthenticatorFactory, section, f"auth.{index}")
    _convert(ILockStoreFactory, config.locks, "locks", LockPolicy.__struct_fields__)
    _convert(ICatalogueFactory, config.catalogue, "catalogue")
    return config


def options(kind: Any, section: Mapping[str, Any]) -> Any:
    """Return the options of a section's plugin."""
    return _convert(kind, section, "section")


def _convert(kind: Any, section: Mapping[str, Any], key: str, beside: tuple[str, ...] = ()) -> Any:
    plugin = plugins.choose(kind, section["type"], f"{key}.type")
    rest = {name: value for name, value in section.items() if name != "type"}
    return schema.convert(rest, plugin.Options, key, beside)
