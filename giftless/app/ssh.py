"""Build the front for SSH."""

from __future__ import annotations

from giftless.app.backends import Backends
from giftless.app.config import Config
from giftless.app.services import Services
from giftless.base.client_memory import Memory
from giftless.interfaces import Environment, IStreamingStore
from giftless.monitoring.ssh import SSHCounter
from giftless.ssh.authenticate import RepositoryAuthentication
from giftless.ssh.context import Context
from giftless.ssh.front import SSHFront
from giftless.ssh.peers import Peers
from giftless.ssh.processor import Processor
from giftless.ssh.sessions import Sessions
from giftless.transfer.registry import TransferRegistry
from giftless.transfer.ssh import SSHTransfer


def build_ssh_front(
    options: Config,
    environment: Environment,
    backends: Backends,
    services: Services,
    memory: Memory,
) -> SSHFront:
    """Build the front for SSH.

    :param memory: what this process holds in memory for clients of any front.
    :raises ConfigError: if the configuration cannot be used.
    """
    limits, clock = options.limits, environment.reactor
    return SSHFront(
        Context(
            clock,
            environment.blocking,
            memory,
            limits.request_body,
            Peers(options.ssh.trusted),
            Sessions(limits.connections_per_address, clock),
            _processor(options, backends, services),
            backends.keyrings,
            _authentication(options, services),
            None if backends.metrics is None else SSHCounter(backends.metrics),
        )
    )


def _processor(options: Config, backends: Backends, services: Services) -> Processor | None:
    """Build what answers requests; ``None`` if clients talk to the store directly."""
    if not IStreamingStore.providedBy(backends.store):
        return None
    limits = options.limits
    return Processor(
        services.server(TransferRegistry([SSHTransfer()])),
        services.locks,
        services.gate,
        services.events,
        services.guarded,
        services.counted,
        services.counted_locks,
        limits.batch_objects,
        limits.object_size,
    )


def _authentication(options: Config, services: Services) -> RepositoryAuthentication:
    """Build what answers ``git-lfs-authenticate``."""
    tokens = services.repository_tokens
    assert tokens is not None, "there are repository tokens where there is SSH"
    return RepositoryAuthentication(
        tokens, services.guarded, services.gate, services.events, options.public_url
    )
