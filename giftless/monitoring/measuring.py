"""Measure stores and authenticators from outside: they know nothing of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError
from zope.interface import directlyProvides, implementer, providedBy

from giftless.errors import Disconnected, Forbidden, LFSError, Unauthorized
from giftless.interfaces import (
    Credentials,
    IAnonymous,
    IAuthenticator,
    IBody,
    IClaimedUpload,
    Identity,
    IForwarding,
    IObjectStore,
    IResumableStore,
    Payload,
)
from giftless.lfs.objects import ObjectKey, Repo
from giftless.monitoring.metrics import Metrics

#: The methods of stores that are requests: not those that only sign or compute.
OPERATIONS: Final = (
    "sizes",
    "sizes_and_room",
    "room",
    "inspect",
    "open",
    "put",
    "begin",
    "put_part",
    "claim",
    "commit",
    "abort",
    "list",
    "mark",
    "copy",
    "share",
    "delete",
    "forward",
)

#: Those that receive bytes from a client.
UPLOADS: Final = {"put", "put_part", "append"}

#: Tells the time in seconds, of a clock that nobody can set.
Seconds = Callable[[], float]

#: Stands between a method of a store and who calls it.
Watched = Callable[[str, Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]


def measured_store(
    store: IObjectStore,
    backend: str,
    metrics: Metrics,
    seconds: Seconds,
    watched: Watched = lambda _, method: method,
) -> IObjectStore:
    """Count and time what a store is asked.

    :param backend: the type of the store.
    :param watched: is given the name of each method that receives bytes from a client, and
        the method, and returns what is called for it.
    :returns: a store with the same interfaces.
    """

    def measure(operation: str, method: Any) -> Any:
        return _measure(method, backend, operation, metrics, seconds)

    measured: Any = _Measured(store)
    directlyProvides(measured, providedBy(store))
    for operation in OPERATIONS:
        method = getattr(store, operation, None)
        if method is not None:
            if operation in UPLOADS:
                method = watched(operation, method)
            setattr(measured, operation, measure(operation, method))
    if IResumableStore.providedBy(store):
        claim = measured.claim

        async def measured_claim(key: ObjectKey, size: int) -> IClaimedUpload:
            upload = await claim(key, size)
            return _MeasuredUpload(upload, key, size, watched, measure)

        measured.claim = measured_claim
    if IForwarding.providedBy(store):

        def for_caller(*arguments: Any) -> IObjectStore:
            view = store.for_caller(*arguments)
            return measured_store(view, backend, metrics, seconds, watched)

        measured.for_caller = for_caller
    if not IObjectStore.providedBy(measured):
        raise TypeError("a store provides IObjectStore")
    return measured


@implementer(IClaimedUpload)
class _MeasuredUpload:
    """An upload of which is counted and timed what its store is asked.

    :param upload: the upload.
    :param key: its object.
    :param size: of the object, in bytes.
    :param watched: as :func:`measured_store` has it.
    :param measure: is given the name of a method and the method, and returns what is
        called for it.
    """

    def __init__(
        self,
        upload: IClaimedUpload,
        key: ObjectKey,
        size: int,
        watched: Watched,
        measure: Callable[[str, Any], Any],
    ) -> None:
        self._upload = upload

        async def append(_: ObjectKey, rest: Payload, body: IBody) -> None:
            await upload.append(body)

        receive = measure("append", watched("append", append))

        async def append_rest(body: IBody) -> None:
            await receive(key, Payload(size - (upload.offset or 0)), body)

        self.append = append_rest
        self.commit = measure("commit", upload.commit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._upload, name)


class _Measured:
    """The store that is measured, for everything that is no request."""

    def __init__(self, store: IObjectStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _measure(
    method: Callable[..., Awaitable[Any]],
    backend: str,
    operation: str,
    metrics: Metrics,
    seconds: Seconds,
) -> Callable[..., Awaitable[Any]]:
    requests, durations = metrics.store_requests, metrics.store_seconds
    well = requests.place((backend, operation, "ok"))
    took = durations.place((backend, operation))
    running = metrics.uploads.place(())
    values = requests.values
    step = 1.0 if operation in UPLOADS else 0.0

    async def ask(*arguments: Any, **named: Any) -> Any:
        began = seconds()
        values[running] += step
        try:
            result = await method(*arguments, **named)
        except BaseException as error:
            requests.add((backend, operation, _outcome(error)))
            raise
        else:
            values[well] += 1.0
            return result
        finally:
            values[running] -= step
            durations.observe_at(took, seconds() - began)

    return ask


def _outcome(error: BaseException) -> str:
    if isinstance(error, LFSError):
        return error.cause
    if isinstance(error, Disconnected):
        return "disconnected"
    return "cancelled" if isinstance(error, CancelledError | GeneratorExit) else "failed"


@implementer(IAuthenticator)
class MeasuredAuthenticator:
    """Counts what an authenticator says.

    Credentials that it leaves to others are not counted.

    :param authenticator: says it.
    :param name: its type.
    """

    def __init__(self, authenticator: IAuthenticator, name: str, metrics: Metrics) -> None:
        self._authenticator = authenticator
        self._ask = authenticator.authenticate
        self._values = metrics.authentications.values
        self._accepted, self._refused, self._failed = (
            metrics.authentications.place((name, result))
            for result in ("accepted", "refused", "failed")
        )
        if IAnonymous.providedBy(authenticator):
            directlyProvides(self, IAnonymous)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._authenticator, name)

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        try:
            identity = await self._ask(credentials, repo)
        except (Unauthorized, Forbidden):
            self._values[self._refused] += 1.0
            raise
        except CancelledError:
            raise
        except Exception:
            self._values[self._failed] += 1.0
            raise
        if identity is not None:
            self._values[self._accepted] += 1.0
        return identity
