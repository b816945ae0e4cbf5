"""Leave TLS out of a process that has no use for it.

Twisted imports OpenSSL wherever it is installed, and that takes 8 MB of each process.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Final

from giftless.app import plugins
from giftless.app.config import Config, EndpointOptions
from giftless.interfaces import (
    IAuthenticatorFactory,
    ICatalogueFactory,
    IFactory,
    IKeyringFactory,
    ILockStoreFactory,
    IObserverFactory,
    IStorageFactory,
    ITransferFactory,
)

_OPENSSL: Final = "OpenSSL"
_ENDPOINTS: Final = "twisted.internet.endpoints"

#: Server endpoints that accept no TLS.
_PLAIN: Final = re.compile(r"(tcp6?|unix|systemd):")


def uses_tls(options: Config) -> bool:
    """Tell whether a worker may use Twisted's TLS: ``False`` if it certainly does not.

    What a part does is known of built-in ones only.
    """
    chosen: list[tuple[type[IFactory], object]] = [
        (IStorageFactory, options.storage.get("type")),
        (ILockStoreFactory, options.locks.get("type")),
        (ICatalogueFactory, options.catalogue.get("type")),
        *((IAuthenticatorFactory, section.get("type")) for section in options.auth),
        *((IKeyringFactory, section.get("type")) for section in options.ssh.keys),
        *((IObserverFactory, section.get("type")) for section in options.observers),
        *((ITransferFactory, name) for name in options.transfers),
    ]
    return not all(
        is_plain(endpoint.listen if isinstance(endpoint, EndpointOptions) else endpoint)
        for endpoint in options.endpoints
    ) or any(_may_use_tls(kind, name) for kind, name in chosen)


def _may_use_tls(kind: type[IFactory], name: object) -> bool:
    plugin = plugins.named(kind).get(name) if isinstance(name, str) else None
    return getattr(plugin, "tls", True) is not False


def is_plain(description: str) -> bool:
    """Tell whether a server endpoint certainly accepts no TLS."""
    return _PLAIN.match(description) is not None


def leave_out() -> None:
    """Import the reactor and the endpoints as if OpenSSL were not installed.

    Whatever is imported later finds OpenSSL, and can use it; but ``startTLS`` of
    connections, and ``connectSSL`` and ``listenSSL`` of the reactor, are not there.  Does
    nothing if one of them has been imported before.
    """
    if {_OPENSSL, _ENDPOINTS, "twisted.internet.tcp"} & sys.modules.keys():
        return
    # The import of a name that is None fails, and Twisted takes that for a missing package.
    sys.modules[_OPENSSL] = None  # type: ignore[assignment]
    try:
        importlib.import_module("twisted.internet.reactor")
        importlib.import_module(_ENDPOINTS)
    finally:
        del sys.modules[_OPENSSL]


def bring_in() -> None:
    """Let endpoints know TLS after all: the configuration names one when it is read again."""
    endpoints = importlib.import_module(_ENDPOINTS)
    if endpoints.TLSMemoryBIOFactory is None:
        # What has been imported from it before sees its new names as well.
        importlib.reload(endpoints)
