"""Let wrappers around stores provide what the stores inside provide."""

from __future__ import annotations

from typing import Any

from zope.interface import alsoProvides

from giftless.interfaces import ICopied, IObjectStore, IReadableStore


def pass_on(wrapper: IObjectStore, store: IObjectStore, *interfaces: Any) -> None:
    """Let a wrapper provide interfaces that the store inside provides, by its methods.

    :param wrapper: provides those of them afterwards which the store provides.
    :param interfaces: those of which every method may be called of the store itself: it
        neither gives nor takes bytes or sizes that the wrapper has changed, nor does it lead
        clients past the wrapper.
    """
    for interface in interfaces:
        if interface.providedBy(store):
            lend(wrapper, store, interface)


def lend(wrapper: IObjectStore, part: object, *interfaces: Any) -> None:
    """Let a wrapper provide interfaces by the methods of one of its parts.

    :param part: has what the interfaces name themselves, not what they inherit.
    """
    for interface in interfaces:
        for name in interface.names():
            setattr(wrapper, name, getattr(part, name))
        alsoProvides(wrapper, interface)


def without_copies(store: IReadableStore) -> IReadableStore:
    """Return a store as it reads what it keeps itself, for whoever examines that."""
    kept: IReadableStore = store.kept() if ICopied.providedBy(store) else store
    return kept
