"""Refuse parts that do not go together with a store that asks another server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from giftless.app.config import Config
from giftless.errors import ConfigError
from giftless.interfaces import IAuthenticator, IDeferring, IForwarding, IObjectStore

#: The section of the storage.
_STORAGE: Final = "storage"

#: The built-in storage that asks another server.
_MIRROR: Final = "mirror"

#: What sections say that are left out, or switch something off.
_ABSENT: Final = ({"type": "sqlite"}, {"type": "none"})


def is_forwarding(
    options: Config,
    store: IObjectStore,
    chain: Sequence[IAuthenticator],
    built: Mapping[str, object],
) -> bool:
    """Tell whether another server decides who may do what, and insist on what that takes.

    :param chain: the authenticators.
    :param built: every part so far, by the dotted path of its section.
    :raises ConfigError: if something else is configured that cannot work then, or if somebody
        would be let in whom nobody has identified.
    """
    for path, part in built.items():
        if IForwarding.providedBy(part) and path != _STORAGE:
            raise ConfigError(
                f"{path}.type",
                "a mirror cannot be inside another storage: the server that is mirrored has to"
                " see who asks; let it be the storage itself",
            )
    forwarding: bool = IForwarding.providedBy(store)
    for path, part in built.items():
        if IDeferring.providedBy(part) and not forwarding:
            raise ConfigError(
                f"{path}.type",
                "lets in everybody, for the server to decide that a mirror asks; the storage is"
                " none (storage: {type: mirror}), so choose another authenticator",
            )
    if not forwarding:
        return False
    for index, authenticator in enumerate(chain):
        if not IDeferring.providedBy(authenticator):
            raise ConfigError(
                f"auth.{index}.type",
                "decides what the server that is mirrored has to decide; allowed with this"
                " storage is auth: [{type: mirror}], and nothing beside it",
            )
    _require_nothing_of_its_own(options)
    return True


def refuse_forwarding(store: IObjectStore) -> None:
    """Raise an error for a command that works on what is stored, if nothing is.

    :raises ConfigError: if another server has it.
    """
    if IForwarding.providedBy(store):
        raise ConfigError(
            "storage.type",
            "a mirror stores nothing of its own: what there is, its sums, its trash and its"
            " garbage are the mirrored server's; see 'giftless cache' for the copies here",
        )


def refuse_mirror(options: Config, what: str) -> None:
    """Raise an error for a command that does not build the storage, if it is a mirror.

    :param what: what the command works on.
    :raises ConfigError: if another server has it.
    """
    if options.storage.get("type") == _MIRROR:
        raise ConfigError("storage.type", f"{what} of a mirror are the mirrored server's")


def _require_nothing_of_its_own(options: Config) -> None:
    sections: tuple[tuple[str, Any], ...] = (
        ("locks", options.locks not in _ABSENT),
        ("catalogue", options.catalogue not in _ABSENT),
        ("quotas", options.quotas.given),
        ("aliases", bool(options.aliases)),
        ("scrub", options.scrub.period is not None),
        ("ssh", options.ssh.enabled),
    )
    reasons = {
        "locks": "keeps the locks",
        "catalogue": "knows what there is",
        "quotas": "decides how much may be stored",
        "aliases": "would be shown a credential that is sent for another name, perhaps of another"
        " server",
        "scrub": "looks after what is stored; copies here are compared with their names",
        "ssh": "has to be shown a credential, and over SSH there is none",
    }
    for section, given in sections:
        if given:
            raise ConfigError(
                section,
                f"does not go with storage: {{type: mirror}}: the server that is mirrored"
                f" {reasons[section]}; leave it out",
            )
