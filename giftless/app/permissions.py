"""Warn of files that others may read, or write, although the daemon relies on them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from giftless.app.config import Config
from giftless.base.safe_yaml import load_yaml
from giftless.base.schema import IN_FILE

#: Options that hold a secret.
_SECRETS: Final = {
    "account_key",
    "client_secret",
    "connection_string",
    "conninfo",
    "hmac_secret",
    "key",
    "password",
    "secret",
    "secret_access_key",
    "secrets",
}

#: Options that name a file with a secret.
_SECRET_FILES: Final = {
    "client_secret_file",
    "credentials_file",
    "host_keys",
    "htpasswd",
    "key_file",
    "password_file",
    "private_key_file",
    "secret_file",
    "secrets_file",
    "token_file",
}

#: Options that name a file that says who may do what.
_TRUSTED_FILES: Final = {"access", "authorities_file", "keys_file", "revoked_file"}

#: Variables that name files with credentials, by the type of the storage that reads
#: them; and where these are without the variable.
_CREDENTIALS: Final = {
    "s3": ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    "gcs": (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "~/.config/gcloud/application_default_credentials.json",
    ),
}

#: Where container engines put the secrets of one container: Docker with mode 0444, since
#: nobody else is there.
_OF_THE_CONTAINER: Final = "/run/secrets/"

_READ: Final = "others can read it, and it holds a secret: chmod o-rwx"
_WRITE: Final = "others can write to it, and could change what the daemon does: chmod o-w"
_GROUP: Final = "its group can write to it, and could change what the daemon does: chmod g-w"


def warnings(config: Config, source: str, text: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Look at the files that a configuration names.  Blocks.

    :param source: the configuration file's name; empty without one.
    :param text: what is in it.
    :returns: a line for each that others may read or write, and should not.
    """
    if source:
        yield from _look(source, secret=holds_secret(load_yaml(text)), group=True)
    yield from _look(config.state_dir)
    for directory in config.plugin_path:
        yield from _look(directory, group=True)
        for file in _plugin_files(directory):
            yield from _look(file, group=True)
    sections = {name: getattr(config, name) for name in config.__struct_fields__}
    for name, value in dict.fromkeys(_options(sections)):
        if name in _SECRET_FILES or name.removesuffix(IN_FILE) in _SECRETS - {name}:
            yield from _look(value, secret=True)
        elif name in _TRUSTED_FILES:
            yield from _look(value)
        elif name == "type" and value in _CREDENTIALS:
            variable, usual = _CREDENTIALS[value]
            home = environ.get("HOME", "")
            yield from _look(environ.get(variable) or usual.replace("~", home), secret=True)
    for path in _tls_keys(config):
        yield from _look(path, secret=True)


def holds_secret(data: Any) -> bool:
    """Whether a secret stands in a configuration.

    :param data: the configuration, or a part of it, as plain data.
    """
    return any(value for name, value in _options(data) if name in _SECRETS)


def without_secrets(data: Any) -> Any:
    """Return a copy of a configuration that can be shown.

    :param data: the configuration, or a part of it, as plain data.
    """
    if isinstance(data, Mapping):
        return {
            name: "(a secret)" if name in _SECRETS and inner else without_secrets(inner)
            for name, inner in data.items()
        }
    return [*map(without_secrets, data)] if isinstance(data, list) else data


def _look(path: str, secret: bool = False, group: bool = False) -> Iterator[str]:
    """Look at one file or directory.

    :param secret: whether it holds a secret.
    :param group: whether its group must not write to it, either.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    # In a directory with the sticky bit everybody makes files and changes only his own.
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield f"{path}: {_WRITE}"
    elif mode & stat.S_IWGRP and group:
        yield f"{path}: {_GROUP}"
    if mode & stat.S_IROTH and secret and not path.startswith(_OF_THE_CONTAINER):
        yield f"{path}: {_READ}"


def _options(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of all options, at any depth, and of lists of texts."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, str):
                yield str(name), str(inner)
            elif isinstance(inner, list) and all(isinstance(each, str) for each in inner):
                yield from ((str(name), str(each)) for each in inner)
            else:
                yield from _options(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _options(inner)


def _plugin_files(directory: str) -> Iterable[str]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    return [os.path.join(directory, name) for name in names if name.endswith(".py")]


def _tls_keys(config: Config) -> Iterator[str]:
    """Yield the files of private keys that endpoints name."""
    for endpoint in config.endpoints:
        description = endpoint if isinstance(endpoint, str) else endpoint.listen
        for part in description.split(":"):
            name, _, path = part.partition("=")
            if name == "privateKey":
                yield path
