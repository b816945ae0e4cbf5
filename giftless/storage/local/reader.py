"""What the server's user may do with files, as their modes say."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reader:
    """A user, and the groups that it is in.

    Access control lists are not looked at.
    """

    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, directory: os.stat_result) -> Reader:
        """Return who serves a store: this process's user; for root, the directory's owner.

        Root may read everything, but the daemon need not run as root.
        """
        uid = os.geteuid()
        if uid != 0:
            return cls(uid, frozenset({os.getegid(), *os.getgroups()}))
        try:
            name = pwd.getpwuid(directory.st_uid).pw_name
        except KeyError:  # as in a container
            return cls(directory.st_uid, frozenset({directory.st_gid}))
        return cls(directory.st_uid, frozenset(os.getgrouplist(name, directory.st_gid)))

    def may(self, status: os.stat_result, wanted: int) -> bool:
        """Whether a mode lets the user do something.

        :param wanted: :data:`os.R_OK`, :data:`os.W_OK` and :data:`os.X_OK`, joined.
        """
        mode = stat.S_IMODE(status.st_mode)
        if status.st_uid == self.uid:
            mode >>= 6
        elif status.st_gid in self.groups:
            mode >>= 3
        return mode & wanted == wanted
