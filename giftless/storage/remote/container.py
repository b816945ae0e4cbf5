"""The interface of one bucket or container, which the package of each vendor implements."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import Answer
from giftless.errors import BadRequest
from giftless.interfaces import ObjectFacts, PartUpload, Payload
from giftless.lfs.multipart import Part, PartLimits
from giftless.lfs.objects import (
    RESERVED_PREFIX,
    Action,
    Extras,
    ObjectKey,
    Oid,
    Repo,
    owner_of,
)
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.listing import EntryPage
from giftless.storage.remote.urls import encode_path
from giftless.storage.remote.versions import Version

#: How long a question of ``--check`` may take, in seconds.
CHECK_TIMEOUT: Final = 8.0

#: The object that ``--check`` asks for and tries to upload; it never exists.
PROBE: Final = ObjectKey(
    Repo((RESERVED_PREFIX,)), Oid(hashlib.sha256(b"giftless --check").hexdigest())
)


@dataclass(frozen=True, slots=True)
class FoundPart:
    """A part that has arrived.

    :ivar size: in bytes.
    :ivar tag: what the store calls these bytes (their ``ETag``); may be empty.
    """

    size: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class RunningUpload:
    """An upload in parts that has not ended.

    :ivar name: what its object is to be called in the container.
    :ivar id: what the store calls the upload.
    :ivar began: when, in seconds since the epoch.
    """

    name: str
    id: str
    began: float


#: Parts by number.
Parts = Mapping[int, FoundPart]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where objects lie in a container: ``{prefix}/{org}/{repo}/{oid}``.

    :ivar prefix: without slashes at its ends; may be empty.
    """

    prefix: str

    def name(self, key: ObjectKey) -> str:
        """Return an object's name in the container, not percent-encoded.

        :raises BadRequest: if the container cannot have it; a vendor's class
            says so.
        """
        return self.below(key.path)

    def key_of(self, name: str, trash: bool = False) -> ObjectKey | None:
        """Return the key of the object with a name: the inverse of :meth:`name`.

        :param trash: whether to return the key of what is in the trash, and no other.
        :returns: ``None`` if no object can have this name.
        """
        top = self.below("")
        key = ObjectKey.of_path(name[len(top) :], trash) if name.startswith(top) else None
        if key is None:
            return None
        try:
            return key if self.name(key) == name else None
        except BadRequest:
            return None

    def below(self, path: str) -> str:
        """Return the name that ``path`` has below the prefix."""
        return f"{self.prefix}/{path}" if self.prefix else path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bucket or container is; a vendor's class says more of it.

    :ivar url: its URL for the daemon, without a slash at its end.
    :ivar public_url: the same for clients.
    """

    url: str
    public_url: str


def stays(target: ObjectKey, present: ObjectFacts, source: ObjectFacts) -> bool:
    """Return whether an object stays that is there already where another one is copied to.

    What is in the trash is dated anew by a copy.
    """
    if owner_of(target.repo) is not None:
        return False
    return present.size == source.size and present.damage is None


class Container(ABC):
    """A bucket (S3, GCS) or container (Azure) that objects are kept in.

    Coroutines raise :class:`~giftless.storage.remote.client.StoreError` for
    whatever is the operator's business and not the client's; the stores over
    a container turn that into an answer for the client and a line in the log.

    :param place: where it is.
    :param layout: where objects lie in it.
    :param client: asks it.
    :param clock: tells the time.
    :ivar max_put: how many bytes one upload may have that is not made in
        parts.
    :ivar part_limits: how parts may be.
    :cvar lists_after: whether a list may begin after a name; names come in the order of
        their UTF-8 then.
    """

    max_put: int
    part_limits: PartLimits
    lists_after = False

    def __init__(
        self, place: Place, layout: Layout, client: StoreClient, clock: IReactorTime
    ) -> None:
        self.layout = layout
        self.client = client
        self._place = place
        self._clock = clock

    def _url(self, bucket_url: str, key: ObjectKey) -> str:
        """Return an object's URL.

        :param bucket_url: one of the URLs of the place.
        """
        return f"{bucket_url}/{encode_path(self.layout.name(key))}"

    @abstractmethod
    async def facts(self, key: ObjectKey, thorough: bool) -> ObjectFacts | None:
        """Look at an object.

        Asked many times at once for a batch; :meth:`StoreClient.ask` bounds
        that, retries, and gives up in time.

        :param thorough: whether the checksum is wanted too, where the store
            keeps one.
        :returns: ``None`` only if the store itself says that the object is
            absent: not for a refusal, nor for another server's 404, nor if
            the bucket is missing.
        :raises StoreError: if that cannot be told.
        """

    @abstractmethod
    async def version(self, key: ObjectKey) -> Version | None:
        """Tell which bytes an object has now; see :meth:`facts`."""

    @abstractmethod
    async def sign_upload(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool
    ) -> Action:
        """Sign an upload for a client (``mode: direct``).

        All objects of a batch are signed at the same time, so several
        signatures can be made together.

        :param lifetime: the most seconds that it should be good for.  The
            action's ``expires_in`` is less if what signs it expires before.
        :param replace: whether it may replace what is there.
        """

    @abstractmethod
    async def sign_download(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """Sign a download for a client (``mode: direct``); see :meth:`sign_upload`."""

    @abstractmethod
    async def put_request(
        self, key: ObjectKey, payload: Payload, extras: Extras, create: bool = False
    ) -> Request:
        """Make the upload of an object by the daemon (``mode: proxy``).

        The object must become visible only when all of its bytes have
        arrived: a connection that is cut before must leave nothing.

        :param payload: what is known of the bytes; their length is.
        :param create: whether what is there must stay, where the store can see to that.
        :returns: the request without its body, and without Content-Length.
        """

    @abstractmethod
    async def get_request(self, key: ObjectKey, start: int, end: int) -> Request:
        """Make the download of part of an object by the daemon (``mode: proxy``).

        :param start: the first byte's offset.
        :param end: one past the last byte's offset; more than ``start``.
        """

    @abstractmethod
    async def mark(self, key: ObjectKey, reason: str) -> None:
        """Mark an object as damaged; harmless if it is absent.

        The mark is metadata of the object itself, which :meth:`facts` tells, and which
        an upload replaces with all the rest.

        :param reason: why, in words.
        :raises PayloadTooLarge: if the store cannot mark an object so large.
        """

    def reaches(self, other: Container) -> bool:
        """Tell whether objects of another container of the same service can be copied."""
        return False

    @abstractmethod
    async def copy(
        self,
        source: ObjectKey,
        target: ObjectKey,
        origin: Container | None = None,
        tag: str | None = None,
    ) -> bool:
        """Copy an object with its metadata, within the store, and make sure that it was.

        An object at the target stays if :func:`stays` says so.

        :param origin: the container of the source, if it is another one; :meth:`reaches`
            has said yes of it.
        :param tag: of the only :class:`Version` that may be copied; ``None`` if any may.
        :returns: ``False`` only if the store itself says that the source is absent, or has
            other bytes, or if it is marked as damaged.
        :raises BadRequest: if the container cannot have the target.
        """

    @abstractmethod
    async def delete(self, key: ObjectKey) -> None:
        """Remove an object; harmless if it is absent."""

    @abstractmethod
    async def list_entries(
        self, prefix: str, nested: bool, marker: str | None, limit: int, after: str = ""
    ) -> EntryPage:
        """List what is in the container, one page of it.

        :param prefix: what all names begin with; it is empty or ends in ``/``.
        :param nested: whether names may have another ``/`` behind the prefix.
        :param marker: the marker of the page before.
        :param limit: the most entries of the page, from 1 to
            :data:`giftless.storage.remote.listing.PAGE`.
        :param after: after which name the first page begins, if :attr:`lists_after`.
        :raises BadRequest: if the store says that it knows no such marker.
        :raises StoreError: if the list, or all of the page, cannot be had.
        """

    # -- uploads in parts

    @abstractmethod
    async def find_uploads(self, key: ObjectKey) -> Sequence[str]:
        """Return the ids of uploads of an object that may be gone on with, newest first."""

    @abstractmethod
    async def create_upload(self, key: ObjectKey, extras: Extras, apart: bool = False) -> str:
        """Begin an upload.

        :param apart: whether nobody else may add parts to it, even where all uploads of an
            object share theirs.
        :returns: its id.
        """

    @abstractmethod
    async def find_parts(self, key: ObjectKey, upload: PartUpload) -> Parts | None:
        """Return the parts that have arrived, whatever their sizes.

        :returns: them by number; ``None`` if there is no such upload (any more).
        """

    @abstractmethod
    async def sign_parts(
        self, key: ObjectKey, upload: PartUpload, parts: Sequence[Part], lifetime: int
    ) -> Sequence[Action]:
        """Sign the uploads of parts for a client; see :meth:`sign_upload`.

        There may be thousands: it lets the reactor do other things meanwhile.
        """

    @abstractmethod
    async def part_request(self, key: ObjectKey, upload: PartUpload, part: Part) -> Request:
        """Make the upload of a part by the daemon; see :meth:`put_request`."""

    @abstractmethod
    async def complete_upload(
        self, key: ObjectKey, upload: PartUpload, parts: Parts, extras: Extras, replace: bool
    ) -> str | None:
        """Make the object of its parts.

        It may take minutes.  A request that is tried again may find that it has
        been done.

        :param parts: all of them, as :meth:`find_parts` has found them.
        :param replace: whether an object that is there is to be replaced;
            otherwise it stays, where the store can see to that.
        :returns: the tag of the :class:`Version` that was made, which may be empty;
            ``None`` if it was not done: the upload is not there any more, or has changed,
            or the object is there already.
        """

    async def running_uploads(self, path: str = "") -> Sequence[RunningUpload]:
        """Find the uploads in parts that run, of all objects: the first thousands.

        Where the store removes by itself what nobody goes on with, there are none.

        :param path: what the names of their objects begin with, below the prefix.
        """
        return ()

    @abstractmethod
    async def abort_upload(self, key: ObjectKey, upload: PartUpload) -> None:
        """Throw the parts of an upload away; harmless if it is not there."""

    # -- what answers mean

    @property
    def place(self) -> str:
        """Where the objects are, without credentials."""
        return f"{self._place.url}/{self.layout.below('')}"

    async def time(self) -> float:
        """See :meth:`giftless.interfaces.IDated.time`: the date of any answer at all.

        :raises StoreError: if there is none, or none with a date.
        """

        async def prepare() -> Request:
            return Request("HEAD", self._place.url, {})

        answer = await self.client.ask(prepare, CHECK_TIMEOUT)
        try:
            return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except ValueError:
            raise StoreError("its answer has no date") from None

    @abstractmethod
    def is_absent(self, answer: Answer) -> bool:
        """Whether an answer to GET says that the object, and nothing else, is absent."""

    @abstractmethod
    def problem(self, answer: Answer) -> StoreError:
        """Say in words what an answer means that is no success.

        :param answer: what the store said; its body may hold a code.
        """

    @abstractmethod
    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`.

        :raises ConfigError: naming the option that is wrong.
        :raises StoreError: if it cannot be told which one is.
        """
