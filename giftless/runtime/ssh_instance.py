"""Serve SSH in one process: the listener on its sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from giftless.base.metrics.counts import Counts
from giftless.errors import ConfigError
from giftless.interfaces import Event
from giftless.runtime.orders import SSHOrders
from giftless.runtime.questions import Answerer
from giftless.runtime.sockets.adopting import Ports
from giftless.runtime.sockets.endpoints import ssh_listenings
from giftless.runtime.sockets.proxied import believes_of
from giftless.sshd.options import ListenerOptions

if TYPE_CHECKING:
    from giftless.sshd.front import ListenerFront

_log = Logger(namespace="giftless.ssh")

#: What Conch cannot be imported without, beside Twisted.
_NEEDED: Final = ("bcrypt", "cryptography")


class SSHInstance:
    """The listener, and its ports.

    :param orders: what to serve.
    :param reactor: the reactor that it runs on.
    :param counts: where this process counts what it does; ``None`` if nobody is told.
    :raises ConfigError: if the configuration cannot be used.
    :ivar answerers: who answers what the daemon asks: nobody.
    :ivar sockets: how many endpoints there are.
    """

    answerers: Mapping[str, Answerer] = {}

    def __init__(self, orders: SSHOrders, reactor: Any, counts: Counts | None = None) -> None:
        self._orders = orders
        self._front = build_listener(orders.options, reactor, counts)
        believes = believes_of(orders.trusted_proxies)
        self._ports = Ports(reactor, orders.processes == 1, believes)
        self._endpoints = ssh_listenings(orders.endpoints)
        self.sockets = len(self._endpoints)

    async def start(self, descriptors: Sequence[int]) -> None:
        """Serve on sockets that are bound already.

        :param descriptors: one for each endpoint, in their order.
        :raises ConfigError: if an endpoint cannot be made.
        """
        await self._front.start()
        for descriptor, endpoint in zip(descriptors, self._endpoints, strict=True):
            await self._ports.adopt(descriptor, endpoint, self._front.factory)

    def publish(self, event: Event) -> None:
        """Tell nobody: observers are in the workers."""

    async def retire(self) -> None:
        """Accept no more connections, and wait until each has ended with its last session."""
        await self._ports.stop()
        await self._front.retire()

    async def stop(self) -> None:
        """Accept no more connections, let running sessions finish in time, and end."""
        await self._ports.stop()
        await self._front.drain(self._orders.shutdown_timeout)


def build_listener(
    options: ListenerOptions, reactor: Any, counts: Counts | None = None
) -> ListenerFront:
    """Build what serves clients of SSH.

    :param counts: see :class:`SSHInstance`.
    :raises ConfigError: if Conch is not installed, or there are no host keys.
    """
    if not all(map(find_spec, _NEEDED)):
        raise ConfigError(
            "ssh.endpoints", "needs Twisted Conch; install it with: pip install 'giftless[ssh]'"
        )
    from giftless.sshd.front import ListenerFront
    from giftless.sshd.host_keys import load_host_keys

    keys = load_host_keys(options.host_keys, options.state_dir)
    for fingerprint in keys.fingerprints:
        _log.info("clients of SSH know this server by {fingerprint}", fingerprint=fingerprint)
    return ListenerFront(options, keys, reactor, counts or Counts())
