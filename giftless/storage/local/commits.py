"""Make objects of files that are complete.  Everything here blocks."""

from __future__ import annotations

import errno

from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.local import damage
from giftless.storage.local.disks import Disks, Place
from giftless.storage.local.extras import ExtrasFiles
from giftless.storage.local.files import Upload


class Commits:
    """Makes the objects of a store.

    :param disks: where objects are.
    :param extras: where their extras are.
    """

    def __init__(self, disks: Disks, extras: ExtrasFiles) -> None:
        self._disks = disks
        self._extras = extras

    def commit(self, upload: Upload, place: Place, key: ObjectKey, extras: Extras) -> None:
        """Make a file an object, durably and at once or not at all.

        :param upload: the file.
        :param place: where the object was to be when the file was made.  If that has turned
            out to be on another disk, the object is a copy of the file.
        :raises OSError: from the file system.
        """
        if extras:
            self._extras.write(key, extras)
        try:
            upload.rename(place.path)
        except OSError as error:
            if not self.discover(key, error):
                raise
            place = self._disks.place_of(key)
            copy = upload.copy(place.root.enter)
            try:
                copy.rename(place.path)
            finally:
                copy.close()
        damage.clear([(place.root.enter(), place.path)])

    def discover(self, key: ObjectKey, error: OSError) -> bool:
        """Return whether an upload failed because of a link to a disk that was not known."""
        return error.errno == errno.EXDEV and self._disks.discover(self._disks.path(key))
