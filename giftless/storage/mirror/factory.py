"""Build the store that ``storage: {type: mirror}`` describes."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from giftless.base.addresses import parse_networks
from giftless.base.dialling import Lookups
from giftless.base.files import derived_key
from giftless.base.reaching_client import Closing
from giftless.base.repeated import Repeated
from giftless.base.schema import below
from giftless.base.units import Duration, Size
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.storage.cache.building import build_reads
from giftless.storage.mirror.asking import Asker
from giftless.storage.mirror.context import Context
from giftless.storage.mirror.dialling import Connection
from giftless.storage.mirror.passes import Passes
from giftless.storage.mirror.permissions import Permissions
from giftless.storage.mirror.store import MirrorStore
from giftless.storage.mirror.upstreams import UpstreamOptions, Upstreams

#: How often permissions are looked through that hold no more, in seconds.
_SWEPT: Final = 3600.0

#: The file in the state directory that the keys are derived from.
_KEY: Final = "mirror-key"


class MirrorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: mirror}``.

    :ivar path: the directory in which objects' bytes are kept; made if it is missing.
    :ivar limit: how many bytes are kept at most.
    :ivar upstreams: the servers that are mirrored.
    :ivar offline: whether what is kept is served while its server cannot be reached, to
        those whom it has let read that repository: ``refuse`` or ``serve``.
    :ivar remember: for how long that is remembered.
    :ivar timeout: how long a server has for an answer, and may be silent in the middle of an
        object, in seconds.  git-lfs asks again after 30.
    """

    path: str
    limit: Size
    upstreams: list[UpstreamOptions]
    offline: Literal["refuse", "serve"] = "refuse"
    remember: Duration = Duration(86_400)
    timeout: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 20


class MirrorFactory:
    """Builds a :class:`MirrorStore` from :class:`MirrorOptions`."""

    Options = MirrorOptions

    def build(self, options: MirrorOptions, environment: Environment) -> MirrorStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if an option cannot be used.
        """
        if not options.upstreams:
            raise ConfigError("upstreams", "found an empty list, allowed is one server or more")
        reactor: Any = environment.reactor
        lookup, found = Lookups(reactor), []
        for index, given in enumerate(options.upstreams):
            try:
                upstream = given.checked()
                networks = parse_networks("networks", upstream.networks)
            except ConfigError as error:
                raise below(f"upstreams.{index}", error) from None
            connection = Connection(reactor, upstream.url, lookup, networks, options.timeout)
            Closing(connection).setServiceParent(environment.services)
            found.append((upstream, Asker(upstream.url, connection, options.timeout)))
        context = Context(
            Upstreams(found),
            build_reads(options.path, int(options.limit), environment),
            Passes(derived_key(environment.state_dir, _KEY, b"passes"), environment.wall_clock),
            self._permissions(options, environment),
            environment.blocking,
            environment.reactor,
            environment.wall_clock,
        )
        return MirrorStore(context)

    def _permissions(self, options: MirrorOptions, environment: Environment) -> Permissions | None:
        if options.offline == "refuse":
            return None
        permissions = Permissions(
            environment.state_dir,
            derived_key(environment.state_dir, _KEY, b"permissions"),
            options.remember,
            environment.blocking,
            environment.wall_clock,
        )
        sweeping = Repeated(permissions.sweep, _SWEPT, environment.reactor)
        sweeping.setServiceParent(environment.services)
        return permissions
