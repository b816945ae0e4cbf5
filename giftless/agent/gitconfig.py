"""Where git's configuration wants files to go."""

from __future__ import annotations

import tempfile
from pathlib import Path

from giftless.agent.errors import TransferError
from giftless.base.git_settings import run_git


def temporary_folder() -> Path:
    """Return where git-lfs keeps unfinished downloads, made if it is missing.

    It is on the file system of the objects, which git-lfs moves downloads to.
    What a killed agent leaves there goes when git-lfs tidies up.

    :raises TransferError: if it cannot be made.
    """
    directory = run_git("rev-parse", "--git-common-dir")
    if directory is None:
        return Path(tempfile.gettempdir())
    storage = (run_git("config", "--type=path", "lfs.storage") or "").rstrip("\n") or "lfs"
    # An absolute lfs.storage stands for itself.
    folder = Path(directory.rstrip("\n"), storage, "tmp").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TransferError(f"cannot make {folder}: {error.strerror}") from None
    return folder
