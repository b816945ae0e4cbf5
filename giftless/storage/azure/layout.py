"""Where a container is, and where blobs lie in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from giftless.errors import BadRequest
from giftless.lfs.objects import TRASH_LENGTH, ObjectKey, owner_of
from giftless.storage.remote import container
from giftless.storage.remote.container import Layout

#: The longest name of a blob, in characters.
MAX_NAME: Final = 1024


@dataclass(frozen=True, slots=True)
class Place(container.Place):
    """Where a container is.

    :ivar account: the storage account's name.
    :ivar container: the container's name.
    :ivar credential: the option that the credential is from.
    """

    account: str
    container: str
    credential: str


@dataclass(frozen=True, slots=True)
class BlobLayout(Layout):
    """Where blobs lie: only names that Azure does not take for another one."""

    def name(self, key: ObjectKey) -> str:
        """See :meth:`giftless.storage.remote.container.Layout.name`.

        :raises BadRequest: if Azure could take the name for another one.
        """
        name = Layout.name(self, key)
        if "\\" in name or any(part.endswith(".") for part in name.split("/")):
            raise BadRequest(
                "this server's storage takes no repository with a backslash in its name"
                " or a dot at the end of a part of it"
            )
        # What can be stored can be moved to the trash.
        most = MAX_NAME if owner_of(key.repo) else MAX_NAME - TRASH_LENGTH
        if len(name) > most:
            raise BadRequest("the repository's path is too long for this server's storage")
        return name
