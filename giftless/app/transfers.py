"""From the names of transfers to what answers for them: adapters and action tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from giftless.app import plugins
from giftless.auth.actions import ActionOptions, ActionTokens
from giftless.errors import ConfigError
from giftless.interfaces import (
    IObjectStore,
    IPartPlanner,
    IResuming,
    ITransferAdapter,
    ITransferFactory,
    WallClock,
)
from giftless.transfer.kinds import BUILT_IN
from giftless.transfer.registry import TransferRegistry


@dataclass(frozen=True, slots=True)
class Transfers:
    """The transfers that a server offers.

    :ivar tokens: makes and recognises the tokens of their actions.
    :ivar adapters: each by the dotted path of its name in the configuration, best
        first.
    """

    tokens: ActionTokens
    adapters: Mapping[str, ITransferAdapter]

    @property
    def registry(self) -> TransferRegistry:
        """The choice between them."""
        return TransferRegistry(tuple(self.adapters.values()))

    @property
    def planner(self) -> IPartPlanner | None:
        """The one that plans uploads in parts, if one does."""
        for adapter in self.adapters.values():
            if IPartPlanner.providedBy(adapter):
                return adapter
        return None

    @property
    def resumes(self) -> bool:
        """Whether uploads of one go on where they broke off, by endpoints of the server."""
        return _resuming(self.adapters.values()) is not None


def build_transfers(
    factories: Mapping[str, ITransferFactory],
    store: IObjectStore,
    secret: bytes,
    options: ActionOptions,
    wall_clock: WallClock,
) -> Transfers:
    """Build the adapters of those transfers that the store can serve.

    :param factories: each by the dotted path of its name, best first.
    :param secret: what the tokens are signed with.
    :param options: for how long they are good.
    :param wall_clock: tells when they expire.
    :raises ConfigError: if the store can serve none, or if two kinds of action
        have one name.
    """
    kinds = {kind.name: kind for kind in BUILT_IN}
    for path, factory in factories.items():
        for kind in factory.kinds:
            if kinds.setdefault(kind.name, kind) != kind:
                raise ConfigError(
                    path,
                    f"{factory.name!r} has a kind of action called {kind.name!r}, which is"
                    " another transfer's; leave one of them out",
                )
    tokens = ActionTokens(secret, options, kinds.values(), wall_clock)
    adapters = {}
    for path, factory in factories.items():
        try:
            adapter = factory.build(store, tokens)
        except Exception as error:
            raise plugins.failed(path, factory.name, error) from None
        if adapter is not None:
            adapters[path] = adapter
    if not adapters:
        names = ", ".join(factory.name for factory in factories.values())
        raise ConfigError("transfers", f"the storage can serve none of: {names}")
    _let_resume(adapters.values())
    return Transfers(tokens, adapters)


def _resuming(adapters: Iterable[ITransferAdapter]) -> IResuming | None:
    for adapter in adapters:
        if IResuming.providedBy(adapter):
            return adapter
    return None


def _let_resume(adapters: Collection[ITransferAdapter]) -> None:
    """Let those that plan uploads leave some to the one that resumes them."""
    resuming = _resuming(adapters)
    if resuming is None:
        return
    for adapter in adapters:
        if IPartPlanner.providedBy(adapter):
            adapter.resume_by(resuming)


def choose_factories(names: Sequence[str]) -> dict[str, ITransferFactory]:
    """Find the plugins of transfers.

    :returns: each by the dotted path of its name.
    :raises ConfigError: if there is no plugin of a name, or it cannot be used.
    """
    paths = {f"transfers.{index}": name for index, name in enumerate(names)}
    return {path: plugins.choose(ITransferFactory, name, path) for path, name in paths.items()}
