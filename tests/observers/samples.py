"""One event of each type, for tests and for the examples on the page about events."""

from __future__ import annotations

from typing import Final

from giftless.interfaces import (
    AliasChanged,
    Arrival,
    BatchAnswered,
    CollectionEnded,
    ConfigurationReloaded,
    Event,
    LockCreated,
    LockForced,
    LockReleased,
    ObjectDeleted,
    ObjectFaulty,
    ObjectMarked,
    ObjectRestored,
    ObjectServed,
    ObjectStored,
    ObjectTrashed,
    QuotaWarned,
    Refused,
    RepositoryCopied,
    RepositoryMoved,
    ScrubEnded,
    TokenMinted,
)
from giftless.lfs.locks import Lock
from giftless.lfs.objects import Operation
from tests.support.making import key_of, repo_of

#: When they happened, in seconds since the epoch: 2026-11-28T17:00:00.25Z.
MOMENT: Final = 1795885200.25

_KEY = key_of(b"a model", "acme/rocket")
_LOCK = Lock("98c28be9130dbb06", repo_of("acme/rocket"), "art/logo.psd", "alice", 1795884000)
_HELD = Lock(
    _LOCK.id, _LOCK.repo, _LOCK.path, _LOCK.owner, _LOCK.locked_at, principal="basic#alice"
)
_BOB = "github:github.com#id:583231"

#: One event of each type.
SAMPLES: Final[tuple[Event, ...]] = (
    ObjectStored(_KEY, 7, "alice", Arrival.STREAMED, "basic#alice", "art/logo.psd"),
    ObjectServed(_KEY, 7, 7, True, "bob", _BOB),
    ObjectDeleted(_KEY, "alice", "its SHA-256 is another", "basic#alice"),
    ObjectMarked(_KEY, "alice", "its SHA-256 is another", "basic#alice"),
    ObjectFaulty(_KEY, 7, "wrong", "it has 6 bytes", "giftless (scrub)"),
    ObjectTrashed(_KEY, 7, "giftless gc (root)", "no ref leads to it"),
    ObjectRestored(_KEY, 7, "alice", "basic#alice"),
    RepositoryMoved(repo_of("acme/rocket"), repo_of("acme/engine"), "giftless repo (root)"),
    RepositoryCopied(
        repo_of("acme/rocket"),
        repo_of("acme/fork"),
        118,
        "bob",
        _BOB,
        "192.0.2.7",
        "5f0c2d6a91b37e48",
    ),
    AliasChanged(repo_of("acme/old"), repo_of("acme/rocket"), "giftless repo (root)"),
    CollectionEnded(repo_of("acme/rocket"), "giftless gc (root)", 118, 3, 5, 1048576, 1),
    ScrubEnded(34200, 1270000000000, 1269999983616, {"wrong": 1}, 2461204.5, "giftless (scrub)"),
    LockCreated(_HELD),
    LockReleased(_HELD),
    LockForced(_HELD, "bob", _BOB, "192.0.2.7", "5f0c2d6a91b37e48"),
    BatchAnswered(
        repo_of("acme/rocket"),
        "alice",
        Operation.UPLOAD,
        "basic",
        98,
        1,
        {"no-room": 1},
        "basic#alice",
    ),
    Refused(
        "bad-credential",
        401,
        "the user or the password is wrong",
        repo_of("acme/rocket"),
        address="192.0.2.7",
        request_id="5f0c2d6a91b37e48",
    ),
    QuotaWarned("acme", True, 80_000_000_000, 2_500_000_000, 100_000_000_000, 0.8),
    TokenMinted("ci", ("obj:acme/*:read",), 1795888800, "giftless token (root)"),
    ConfigurationReloaded("/etc/giftless/giftless.yaml"),
)
