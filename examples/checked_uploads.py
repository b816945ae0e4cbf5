"""A transfer adapter in one file, with an endpoint of its own: no programs, please.

Put this file into a ``twisted/plugins/`` folder, or into a directory that
``plugin_path`` names, and configure::

    transfers: [checked-uploads]

The adapter speaks the ``basic`` protocol, so every client can use it, but its
uploads go to ``{repository}/objects/checked/{oid}``.  That endpoint looks at the
first bytes of each body, and refuses programs for Linux and Windows, in words that
the person who pushes reads.  What it lets pass is stored like any upload: hashed,
bounded, and visible whole or not at all.

``multipart-basic`` and ``giftless`` are left out of ``transfers`` above, since parts
would go past the endpoint.  Somebody who may write, and writes a client of their own,
can still send an object to the server's own endpoint with their credential: this helps
people who commit a program by mistake, and stops nobody who insists.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from giftless.errors import Forbidden, LFSError
from giftless.interfaces import (
    ActionKind,
    Endpoint,
    Fitness,
    IActionTokens,
    IBody,
    IEndpoints,
    IObjects,
    IObjectStore,
    IRepoCall,
    IStreamingStore,
    ITransferAdapter,
    ITransferFactory,
    Lifetime,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Actions, ObjectKey, Oid, Permission

#: How files begin that are programs, and what they are called.
PROGRAMS = {b"\x7fELF": "a program for Linux", b"MZ": "a program for Windows"}

#: What tokens of an upload are for: they open this endpoint, and no other.
UPLOAD = ActionKind(
    "checked-upload",
    Permission.WRITE,
    Lifetime.TRANSFER,
    # Some clients guess a type otherwise.
    {"Content-Type": "application/octet-stream"},
)

#: What tokens of a download are for.
DOWNLOAD = ActionKind("checked-download", Permission.READ, Lifetime.TRANSFER)

#: Where objects are sent to and fetched from, below a repository.
PATH = "objects/checked/{oid}"


@implementer(ITransferAdapter, IEndpoints)
class CheckedUploads:
    """Makes the actions, and brings the endpoints that they lead to.

    :param tokens: makes the actions' tokens.
    """

    name = "basic"

    def __init__(self, tokens: IActionTokens) -> None:
        self._tokens = tokens

    def fitness(self, request: BatchRequest) -> Fitness:
        """See ``ITransferAdapter.fitness``."""
        return Fitness.GOOD

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See ``ITransferAdapter.upload``."""
        return self._actions("upload", UPLOAD, transfers, requester)

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See ``ITransferAdapter.download``."""
        return self._actions("download", DOWNLOAD, transfers, requester)

    def endpoints(self, objects: IObjects) -> Sequence[Endpoint]:
        """See ``IEndpoints.endpoints``."""

        async def receive(call: IRepoCall, oid: str) -> None:
            key = ObjectKey(call.repo, Oid.parse(oid))
            body = CheckedBody(call.body)
            await objects.receive(call.identity, key, call.length, body, [UPLOAD])
            call.respond(200)

        async def send(call: IRepoCall, oid: str) -> None:
            key = ObjectKey(call.repo, Oid.parse(oid))
            download = await objects.open(call.identity, key, [DOWNLOAD])
            try:
                headers = {"Content-Type": "application/octet-stream"}
                await call.send(download, 0, download.stored.size, headers=headers)
            finally:
                download.close()

        return [
            Endpoint(PATH, ("PUT",), receive, UPLOAD),
            Endpoint(PATH, ("GET",), send, DOWNLOAD),
        ]

    def _actions(
        self, action: str, kind: ActionKind, transfers: Sequence[Transfer], requester: Requester
    ) -> list[Actions | LFSError]:
        signer = self._tokens.signer(kind, requester.repo, requester.identity)
        made: list[Actions | LFSError] = []
        for transfer in transfers:
            oid = transfer.key.oid
            href = requester.links.endpoint(PATH.format(oid=oid))
            made.append({action: signer.action(oid, href, transfer.size, transfer.extras)})
        return made


@implementer(IBody)
class CheckedBody:
    """A body that fails if it is a program.

    What it is stands in its first bytes: they are waited for before any are
    passed on.
    """

    def __init__(self, body: IBody) -> None:
        self._body = body
        self._checked = False

    async def read(self) -> Sequence[bytes]:
        """See ``IBody.read``.

        :raises Forbidden: if the body is a program.
        """
        chunks = list(await self._body.read())
        if self._checked or not chunks:
            return chunks
        wanted = max(map(len, PROGRAMS))
        while sum(map(len, chunks)) < wanted and (more := await self._body.read()):
            chunks.extend(more)
        self._checked = True
        beginning = b"".join(chunks)[:wanted]
        for start, kind in PROGRAMS.items():
            if beginning.startswith(start):
                raise Forbidden(f"this file is {kind}; this server keeps no programs")
        return chunks


@implementer(ITransferFactory)
class CheckedUploadsFactory:
    """What giftless finds in this file: offers the adapter for stores that stream."""

    name = "checked-uploads"
    kinds = (UPLOAD, DOWNLOAD)

    def build(self, store: IObjectStore, tokens: IActionTokens) -> CheckedUploads | None:
        """See ``ITransferFactory.build``."""
        return CheckedUploads(tokens) if IStreamingStore.providedBy(store) else None


checked_uploads = CheckedUploadsFactory()
