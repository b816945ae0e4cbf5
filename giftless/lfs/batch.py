"""Parse and render the batch API (Git LFS specification, ``docs/api/batch.md``).

``POST …/objects/batch`` carries an operation and up to a hundred or so
objects.  Whatever is wrong with the request as a whole raises; whatever is
wrong with one object becomes that object's own error, because clients stop at
a status other than 200 and hang on a reply that leaves an object out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from giftless.errors import BadRequest, LFSError, PayloadTooLarge, Unprocessable
from giftless.lfs.objects import MAX_SIZE, NO_EXTRAS, Actions, Extra, Extras, Oid, Operation

#: The media type of every Git LFS request and response.
MEDIA_TYPE: Final = "application/vnd.git-lfs+json"

#: The one hash algorithm that oids are made with.
HASH_ALGORITHM: Final = "sha256"

#: The most bytes that one object's ``x-*`` members may have as JSON; they
#: travel in a header of the upload.
MAX_EXTRAS_BYTES: Final = 2048


#: The longest name of a git ref that is passed on, in characters.
MAX_REF_CHARS: Final = 1024

#: JSON has one kind of number, so 1.0 is 1.  Up to here a float is exact.
MAX_EXACT: Final = 2**53


class _WireBatch(msgspec.Struct):
    """A batch request.

    The git ref is a hint for authentication: clients send it as an object, empty, ``null``
    or in a list, and any value will do.
    """

    operation: str
    objects: list[dict[str, object]]
    transfers: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    ref: object = msgspec.UNSET
    hash_algo: str | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def is_first_version(self) -> bool:
        """Whether it has nothing but what the first version of the API had."""
        return self.transfers is self.ref is self.hash_algo is msgspec.UNSET


class RequestedObject(msgspec.Struct, frozen=True, gc=False):
    """One object of a batch.

    :ivar text: the oid exactly as the client sent it, echoed in the reply.
    :ivar size: the object's size in bytes, echoed as well.
    :ivar extras: the object's ``x-*`` members, without their ``x-``.
    :ivar error: why the object is refused, or ``None`` if it is well-formed.
    """

    text: str
    size: int
    extras: Extras
    error: LFSError | None = None

    @property
    def oid(self) -> Oid:
        """The oid; only for an object without an error."""
        return Oid(self.text)


#: What git-lfs itself is called begins with this.
STOCK_CLIENT: Final = "git-lfs/"


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A parsed batch request.

    :ivar objects: one per distinct oid, in the order of the request.
    :ivar transfers: the transfer adapters that the client offers.
    :ivar client: what the client calls itself (``User-Agent``).
    :ivar objects_only: whether the reply must have no member but ``objects``.
        git-lfs up to 1.2 takes every member for a list of objects.
    :ivar ref: the full name of the git ref that the batch is for, as a server is told that
        is asked in its turn; empty if the client names none.
    """

    operation: Operation
    objects: tuple[RequestedObject, ...]
    transfers: tuple[str, ...]
    client: str = ""
    objects_only: bool = False
    ref: str = ""

    @property
    def is_stock(self) -> bool:
        """Whether the client is git-lfs itself."""
        return self.client.startswith(STOCK_CLIENT)

    @property
    def is_giftless_client(self) -> bool:
        """Whether the client is giftless-client, which looks at the status alone.

        It takes an object without actions for one that the server has, whatever its
        error says.  Its ``User-Agent`` is that of a library for HTTP or of a browser;
        but it alone offers this transfer, and it asks for one object at a time.
        """
        is_single = len(self.objects) == 1
        return is_single and "multipart-basic" in self.transfers and not self.is_stock


class ObjectError(msgspec.Struct, frozen=True):
    """An object's ``error`` in a batch reply: an HTTP-like code and words."""

    code: int
    message: str


class ObjectReply(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One object of a batch reply; without actions the server has it already."""

    oid: str
    size: int
    authenticated: bool = False
    actions: Actions | None = None
    error: ObjectError | None = None

    @classmethod
    def refused(cls, wanted: RequestedObject, error: LFSError) -> ObjectReply:
        """Return the reply for ``wanted``, which is refused with ``error``."""
        return cls(wanted.text, wanted.size, error=ObjectError(error.code, error.message))


class BatchReply(msgspec.Struct, frozen=True):
    """A batch reply: the chosen transfer adapter and an entry per object.

    :ivar transfer: sent to every client that knows it, because up to 3.7.1 git-lfs
        restarts its adapter for each batch without it.
    :ivar objects: one entry per requested object, in the request's order.
    """

    transfer: str
    objects: list[ObjectReply]
    hash_algo: str = HASH_ALGORITHM


_decoder = msgspec.json.Decoder(_WireBatch)
_encoder = msgspec.json.Encoder()


def parse_batch(
    body: bytes, max_objects: int, max_object_size: int, client: str = ""
) -> BatchRequest:
    """Parse the body of a batch request.

    :param body: JSON, as received.
    :param max_objects: how many objects one batch may have.
    :param max_object_size: the largest object that may be uploaded, in bytes.
    :param client: what the client calls itself.
    :raises BadRequest: if the body is not JSON.
    :raises Unprocessable: if it is, but does not have the batch API's shape.
    :raises PayloadTooLarge: if it has more than ``max_objects`` objects.
    """
    try:
        wire = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Unprocessable(f"this is not a batch request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    try:
        operation = Operation(wire.operation)
    except ValueError:
        raise Unprocessable("the operation must be 'upload' or 'download'") from None
    check_count(len(wire.objects), max_objects)
    limit = max_object_size if operation is Operation.UPLOAD else MAX_SIZE
    named = None if wire.hash_algo is msgspec.UNSET else wire.hash_algo
    conflict = hash_conflict(named)
    return BatchRequest(
        operation,
        distinct(_parse_object(member, limit, conflict) for member in wire.objects),
        tuple(wire.transfers or ("basic",)),
        client,
        wire.is_first_version,
        _ref_of(wire.ref),
    )


def _ref_of(ref: object) -> str:
    """Return the name of a git ref; empty if it is of a form that names none."""
    name = ref.get("name") if isinstance(ref, dict) else None
    if not isinstance(name, str) or len(name) > MAX_REF_CHARS or not name.isprintable():
        return ""
    return name


def check_count(count: int, most: int) -> None:
    """Raise an error unless a batch has as many objects as it may have.

    :param count: how many it has.
    :raises Unprocessable: if it has none.
    :raises PayloadTooLarge: if it has more than ``most``.
    """
    if not count:
        raise Unprocessable("the batch names no objects")
    if count > most:
        raise PayloadTooLarge(
            f"the batch names {count} objects; send at most {most} at a time"
            " (git config lfs.transfer.batchSize)"
        )


def hash_conflict(algorithm: str | None) -> LFSError | None:
    """Return why objects cannot be named by a hash algorithm; ``None`` if they can.

    :param algorithm: its name; ``None`` or empty if the client does not say.
    """
    if algorithm in (None, "", HASH_ALGORITHM):
        return None
    return _HashAlgorithmConflict(f"this server's objects are named by {HASH_ALGORITHM}")


def distinct(objects: Iterable[RequestedObject]) -> tuple[RequestedObject, ...]:
    """Return one object for each oid, in order; those with two sizes are refused."""
    found: dict[str, RequestedObject] = {}
    for item in objects:
        first = found.setdefault(item.text, item)
        if first.size != item.size:
            found[item.text] = RequestedObject(
                first.text, first.size, {}, Unprocessable("the batch gives this oid two sizes")
            )
    return tuple(found.values())


def _parse_object(
    member: dict[str, object], max_size: int, conflict: LFSError | None
) -> RequestedObject:
    oid, size = member.get("oid"), member.get("size")
    if isinstance(size, float) and size.is_integer() and abs(size) <= MAX_EXACT:
        size = int(size)
    if not isinstance(oid, str) or not isinstance(size, int) or isinstance(size, bool):
        raise Unprocessable("each object needs an 'oid' (a string) and a 'size' (a whole number)")
    # Most objects have an oid and a size and nothing else.
    extras, error = _parse_extras(member) if len(member) > 2 else (NO_EXTRAS, None)
    problem = object_problem(oid, size, max_size, conflict)
    return RequestedObject(oid, size, extras, problem or error)


def object_problem(
    oid: str, size: int, max_size: int, conflict: LFSError | None = None
) -> LFSError | None:
    """Return why an object of a batch is refused, whatever the store has; ``None`` if it is not.

    :param size: its size in bytes.
    :param max_size: the largest that it may have.
    :param conflict: what is wrong with all objects of the batch, if anything is.
    """
    if not Oid.PATTERN.fullmatch(oid):
        return Unprocessable(Oid.FORM)
    if conflict is not None:
        return conflict
    if not 0 <= size <= MAX_SIZE:
        return Unprocessable(f"the size must be between 0 and {MAX_SIZE} bytes")
    if size > max_size:
        return too_large(size, max_size)
    return None


def too_large(size: int, max_size: int) -> PayloadTooLarge:
    """Make what a client is told whose object is too large.

    :param size: its size in bytes.
    :param max_size: the largest that it may have.
    """
    return PayloadTooLarge(f"the object has {size} bytes; this server takes up to {max_size}")


class _HashAlgorithmConflict(LFSError):
    """The client names objects by another hash (batch API, object error 409)."""

    code = 409
    cause = "hash-algorithm"


def _parse_extras(member: dict[str, object]) -> tuple[Extras, LFSError | None]:
    extras = {name[2:]: value for name, value in member.items() if name.startswith("x-")}
    if not extras:
        return {}, None
    checked: dict[str, Extra] = {}
    for name, value in extras.items():
        if not isinstance(value, Extra):
            return {}, Unprocessable(f"x-{name} must be a string, a number, a boolean or null")
        checked[name] = value
    if len(_encoder.encode(extras)) > MAX_EXTRAS_BYTES:
        return {}, Unprocessable(f"the x-* members have more than {MAX_EXTRAS_BYTES} bytes")
    return checked, None


def render_batch(reply: BatchReply, objects_only: bool = False) -> bytes:
    """Render a batch reply as JSON.

    :param objects_only: see :attr:`BatchRequest.objects_only`.
    """
    return _encoder.encode({"objects": reply.objects} if objects_only else reply)
