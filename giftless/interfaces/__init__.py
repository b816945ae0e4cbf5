"""Every public interface: the contract between giftless and its plugins.

What a storage backend can do is declared by the interfaces that it provides
(stream, sign, tell its free space); transfer adapters ask for the interface
and never for a class.  Methods described as coroutines may be ``async def``
or return a ``Deferred``; none may block the reactor: what blocks goes through
:class:`IBlocking`.
"""

from giftless.interfaces.actions import IActionSigner, IPreAuthorizer
from giftless.interfaces.auth import (
    Credentials,
    IAuthenticator,
    Identity,
    IGrants,
    INameless,
    Ticket,
)
from giftless.interfaces.bodies import IBody
from giftless.interfaces.environment import Environment, IBlocking
from giftless.interfaces.locks import ILockStore
from giftless.interfaces.multipart import (
    IExternalMultipartStore,
    IMultipartStore,
    IStreamingMultipartStore,
    PartUpload,
)
from giftless.interfaces.plugins import (
    IAuthenticatorFactory,
    IBuilder,
    ICheckable,
    IFactory,
    ILockStoreFactory,
    IStorageFactory,
    ITransferFactory,
)
from giftless.interfaces.storage import (
    ICapacity,
    IExternalStore,
    IInspector,
    IObjectStore,
    IStoredFile,
    IStoredObject,
    IStreamingStore,
    ObjectFacts,
)
from giftless.interfaces.transfers import Fitness, ILinks, ITransferAdapter, Requester, Transfer

__all__ = [
    "Credentials",
    "Environment",
    "Fitness",
    "IActionSigner",
    "IAuthenticator",
    "IAuthenticatorFactory",
    "IBlocking",
    "IBody",
    "IBuilder",
    "ICapacity",
    "ICheckable",
    "IExternalMultipartStore",
    "IExternalStore",
    "IFactory",
    "IGrants",
    "IInspector",
    "ILinks",
    "ILockStore",
    "ILockStoreFactory",
    "IMultipartStore",
    "INameless",
    "IObjectStore",
    "IPreAuthorizer",
    "IStorageFactory",
    "IStoredFile",
    "IStoredObject",
    "IStreamingMultipartStore",
    "IStreamingStore",
    "ITransferAdapter",
    "ITransferFactory",
    "Identity",
    "ObjectFacts",
    "PartUpload",
    "Requester",
    "Ticket",
    "Transfer",
]
