"""Build the store that ``storage: {type: local}`` describes."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec

from giftless.base.identities import remembered_in
from giftless.base.showing import file_name
from giftless.errors import ConfigError
from giftless.interfaces import Environment, IResumableStore
from giftless.lfs.multipart import PART_SIZE
from giftless.lfs.objects import Repo
from giftless.storage.local import DEFAULT_PATH
from giftless.storage.local.root import NotTheStore
from giftless.storage.local.store import LocalStore
from giftless.storage.local.sweeper import Sweeper
from giftless.storage.wrapping import lend


class LocalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: local}``.

    :ivar path: the directory that holds the objects; made if it is missing and nothing
        was ever kept there.
    :ivar prefix: a path below it, in front of ``{org}/{repo}/{oid}``.
    :ivar part_size: the size of parts, in bytes; larger for objects that would
        have more than 10,000.
    :ivar multipart_expiry: after how many seconds without a new part an upload
        in parts is given up and its parts are removed.
    :ivar resumable_expiry: after how many seconds without a new byte an upload that
        could be gone on with is given up, and what has come of it is removed.
    """

    path: str = DEFAULT_PATH
    prefix: str = ""
    part_size: Annotated[int, msgspec.Meta(ge=1)] = PART_SIZE
    multipart_expiry: Annotated[int, msgspec.Meta(ge=1)] = 7 * 86400
    resumable_expiry: Annotated[int, msgspec.Meta(ge=1)] = 7 * 86400


class LocalFactory:
    """Builds :class:`LocalStore` from :class:`LocalOptions`."""

    Options = LocalOptions

    def build(self, options: LocalOptions, environment: Environment) -> LocalStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if the prefix is not a plain relative path, or the
            directory cannot be made or read, or is not the store that was there.
        """
        prefix = options.prefix.strip("/")
        if prefix:
            try:
                Repo.parse(prefix.split("/"))
            except Exception as error:
                raise ConfigError("prefix", f"is not a plain relative path: {error}") from None
        place = f"local {os.path.abspath(options.path)}"
        remembered = remembered_in(environment.state_dir, place)
        store = LocalStore(
            options.path, prefix, environment.blocking, options.part_size, remembered
        )
        try:
            store.open_disks()
            store.sweep()
        except NotTheStore as error:
            raise ConfigError("path", error.problem) from None
        except OSError as error:
            raise ConfigError(
                "path",
                f"{file_name(options.path)}cannot be used: {error.strerror};"
                " give a directory that the daemon may write to, which runs as user"
                f" {os.geteuid()}",
            ) from None
        uploads = store.resumable(options.resumable_expiry, environment.reactor)
        lend(store, uploads, IResumableStore)

        async def sweep_parts(before: float) -> int:
            return await environment.blocking.run(store.parts.sweep, before)

        for sweep, what, expiry in (
            (sweep_parts, "abandoned uploads in parts", options.multipart_expiry),
            (uploads.sweep, "abandoned resumable uploads", options.resumable_expiry),
        ):
            sweeper = Sweeper(sweep, what, expiry, environment.reactor, environment.wall_clock)
            sweeper.setServiceParent(environment.services)
        return store
