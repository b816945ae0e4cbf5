"""Every public interface: the contract between giftless and its plugins.

What a storage backend can do is declared by the interfaces that it provides
(stream, sign, tell its free space); transfer adapters ask for the interface
and never for a class.  Methods described as coroutines may be ``async def``
or return a ``Deferred``; none may block the reactor: what blocks goes through
:class:`IBlocking`.
"""

from giftless.interfaces.actions import (
    ActionKind,
    IActionSigner,
    IActionTokens,
    Lifetime,
)
from giftless.interfaces.auth import (
    Bearer,
    Credential,
    Credentials,
    IAnonymous,
    IAuthenticator,
    Identity,
    IGrants,
    Password,
    PublicKey,
    Ticket,
    Unreadable,
)
from giftless.interfaces.bodies import IBody
from giftless.interfaces.environment import (
    Environment,
    IBlocking,
    IBuilder,
    IFactory,
    IPartBuilder,
    Section,
)
from giftless.interfaces.events import (
    Arrival,
    BatchAnswered,
    Event,
    IObserver,
    LockCreated,
    LockForced,
    LockReleased,
    ObjectDeleted,
    ObjectServed,
    ObjectStored,
    Refused,
)
from giftless.interfaces.fronts import IFront
from giftless.interfaces.locks import ILockStore
from giftless.interfaces.multipart import (
    IExternalMultipartStore,
    IMultipartStore,
    IStreamingMultipartStore,
    PartUpload,
)
from giftless.interfaces.plugins import (
    IAuthenticatorFactory,
    ICheckable,
    ILockStoreFactory,
    IObserverFactory,
    IStorageFactory,
    ITransferFactory,
)
from giftless.interfaces.storage import (
    MAX_PAGE,
    ICapacity,
    IDeleting,
    IExternalStore,
    IInspector,
    IListing,
    IObjectStore,
    IReadableStore,
    IStoredFile,
    IStoredObject,
    IStreamingStore,
    ListedObject,
    ObjectFacts,
    ObjectPage,
    Payload,
)
from giftless.interfaces.transfers import (
    Fitness,
    ILinks,
    IPartPlanner,
    ITransferAdapter,
    Requester,
    Transfer,
)
from giftless.interfaces.usecases import IDownload, IObjects

__all__ = [
    "MAX_PAGE",
    "ActionKind",
    "Arrival",
    "BatchAnswered",
    "Bearer",
    "Credential",
    "Credentials",
    "Environment",
    "Event",
    "Fitness",
    "IActionSigner",
    "IActionTokens",
    "IAnonymous",
    "IAuthenticator",
    "IAuthenticatorFactory",
    "IBlocking",
    "IBody",
    "IBuilder",
    "ICapacity",
    "ICheckable",
    "IDeleting",
    "IDownload",
    "IExternalMultipartStore",
    "IExternalStore",
    "IFactory",
    "IFront",
    "IGrants",
    "IInspector",
    "ILinks",
    "IListing",
    "ILockStore",
    "ILockStoreFactory",
    "IMultipartStore",
    "IObjectStore",
    "IObjects",
    "IObserver",
    "IObserverFactory",
    "IPartBuilder",
    "IPartPlanner",
    "IReadableStore",
    "IStorageFactory",
    "IStoredFile",
    "IStoredObject",
    "IStreamingMultipartStore",
    "IStreamingStore",
    "ITransferAdapter",
    "ITransferFactory",
    "Identity",
    "Lifetime",
    "ListedObject",
    "LockCreated",
    "LockForced",
    "LockReleased",
    "ObjectDeleted",
    "ObjectFacts",
    "ObjectPage",
    "ObjectServed",
    "ObjectStored",
    "PartUpload",
    "Password",
    "Payload",
    "PublicKey",
    "Refused",
    "Requester",
    "Section",
    "Ticket",
    "Transfer",
    "Unreadable",
]
